"""The page of examples/answers in a real browser, whose own `EventSource` reconnects and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from server.processes import RECORDING, site, until

ROOT = Path(__file__).parents[2]
TEXT = orjson.loads((ROOT / f"src/millstream/_recordings/{RECORDING}.sse.truth.json").read_bytes())["text"]


def text_of(browser: Any, element: str) -> str:
    """The text as the page holds it; `.text` of selenium is as it is laid out."""
    found: str = browser.execute_script("return document.querySelector(arguments[0]).textContent", element)
    return found


def ask(browser: Any, url: str) -> None:
    browser.get(url)
    browser.execute_script("document.querySelector('form').requestSubmit()")


def finished(browser: Any) -> str:
    return until(lambda: (state := text_of(browser, "#state")).startswith("length") and state)


def test_the_page_shows_the_answer(browser: Any) -> None:
    with site("examples.answers.app:app") as url:
        ask(browser, url)
        assert finished(browser) == "length, 1 connection"
        assert text_of(browser, "#answer") == TEXT


@pytest.mark.parametrize("cut_after", [1800, 2500])
def test_a_browser_that_is_cut_off_again_and_again_loses_nothing(browser: Any, cut_after: int) -> None:
    with site("browser.cutting:app", CUT_AFTER=str(cut_after)) as url:
        ask(browser, url)
        connections = int(finished(browser).split()[1])
        assert text_of(browser, "#answer") == TEXT
    assert connections > 3


def test_a_reload_in_the_middle_shows_the_answer_from_its_beginning(browser: Any) -> None:
    with site("examples.answers.app:app", speed="1") as url:
        ask(browser, url)
        begun = until(lambda: len(text := text_of(browser, "#answer")) > 20 and text)
        assert len(begun) < len(TEXT)
        browser.refresh()
        finished(browser)
        assert text_of(browser, "#answer") == TEXT


def test_an_answer_that_does_not_exist_is_not_asked_for_again(browser: Any) -> None:
    with site("examples.answers.app:app") as url:
        browser.get(url + "#AAAAAAAAAAAAAAAAAAAAAA")
        assert until(lambda: text_of(browser, "#state")) == "there is no such answer"
