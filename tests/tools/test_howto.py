"""The how-to: each block prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "tools.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_block_prints_what_it_says(block: str) -> None:
    promised = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    assert promised
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, PAGE.name, "exec", dont_inherit=True), {"__name__": "howto"})
    assert out.getvalue().splitlines() == promised
