"""docs/topics/events.md names every event and every reason, and its program prints what the page says."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import typing
from pathlib import Path

import millstream as ms

PAGE = (Path(__file__).parents[2] / "docs" / "topics" / "events.md").read_text(encoding="utf-8")
KINDS = {(typing.get_origin(kind) or kind).__name__ for kind in typing.get_args(ms.Event)}


def test_the_program_prints_what_the_page_says() -> None:
    [program] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "events.md", "exec"), {"__name__": "events"})
    assert out.getvalue().splitlines() == re.findall(r"^# (.*)$", program, re.MULTILINE)


def test_every_kind_of_event_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| (`[A-Z]\w+`(?:, `[A-Z]\w+`)*) \|", PAGE, re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"\w+", row)]
    assert sorted([*explained, "Start", "Error", "Finish"]) == sorted(KINDS)


def test_every_reason_to_end_is_explained_and_no_other() -> None:
    explained = re.findall(r'^\| `"(\w+)"` \|', PAGE, re.MULTILINE)
    assert sorted(explained) == sorted(one.value for one in ms.FinishReason)


def test_what_the_page_says_of_events() -> None:
    event = ms.Finish(ms.FinishReason.LENGTH)
    assert event.reason == "length"
    assert pickle.loads(pickle.dumps(event)) == event
    wire = ms.encoder("millstream.events.v1")
    body = wire.encode(ms.Start()) + wire.encode(event) + wire.close()
    decoder = ms.decoder("millstream.events.v1")
    assert [*decoder.feed(body), *decoder.close()][-1] == event
