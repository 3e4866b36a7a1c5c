"""The README's Python blocks: the one without a network runs and prints what its comments say, the other compiles."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_the_synchronous_block_prints_what_it_says() -> None:
    _, block = blocks()
    promised = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "README.md", "exec"), {})
    assert out.getvalue().splitlines() == promised


def test_the_first_block_is_valid_python_of_about_ten_lines() -> None:
    block, _ = blocks()
    compile(block, "README.md", "exec")
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 12
