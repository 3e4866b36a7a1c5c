"""The Python blocks of the how-to pages run, and print what their comments say."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from pathlib import Path

import pytest

HOWTO = Path(__file__).parent.parent / "docs" / "howto"
RUN = ["observe.md", "test_your_streaming_code.md"]  # the others show files to write, not programs


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in RUN:
        for i, block in enumerate(re.findall(r"^ *```python\n(.*?)^ *```", (HOWTO / page).read_text(), re.S | re.M)):
            found.append((f"{page}:{i + 1}", textwrap.dedent(block)))
    return found


@pytest.mark.parametrize(("name", "block"), blocks(), ids=lambda value: value if value.count("\n") == 0 else "")
def test_the_block_runs_and_prints_what_it_says(name: str, block: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, name, "exec"), {"__name__": name})
    promised = re.findall(r"^ *# (.*)$", block, re.M)
    assert out.getvalue().splitlines()[: len(promised)] == promised
