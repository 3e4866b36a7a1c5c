"""The Python blocks of the how-to pages run, and print what their comments say."""

from __future__ import annotations

import contextlib
import gc
import io
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

HOWTO = Path(__file__).parent.parent / "docs" / "howto"
RUN = ["observe.md", "test_your_streaming_code.md"]  # the others show files to write, not programs


def blocks_of(page: str) -> list[str]:
    return [
        textwrap.dedent(b) for b in re.findall(r"^ *```python\n(.*?)^ *```", (HOWTO / page).read_text(), re.S | re.M)
    ]


def blocks() -> list[tuple[str, str]]:
    return [(f"{page}:{i}", block) for page in RUN for i, block in enumerate(blocks_of(page), 1)]


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector is afterwards what it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
def test_tune_is_one_program_that_prints_what_it_says() -> None:
    out = io.StringIO()
    namespace = {"__name__": "tune.md"}
    with contextlib.redirect_stdout(out):
        for i, block in enumerate(blocks_of("tune.md"), 1):
            exec(compile(block, f"tune.md:{i}", "exec"), namespace)
    promised = [line for block in blocks_of("tune.md") for line in re.findall(r"^ *# (.*)$", block, re.M)]
    assert out.getvalue().splitlines() == promised


@pytest.mark.parametrize(("name", "block"), blocks(), ids=lambda value: value if value.count("\n") == 0 else "")
def test_the_block_runs_and_prints_what_it_says(name: str, block: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, name, "exec"), {"__name__": name})
    promised = re.findall(r"^ *# (.*)$", block, re.M)
    assert out.getvalue().splitlines()[: len(promised)] == promised
