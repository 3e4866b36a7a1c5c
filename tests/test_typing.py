"""What the checkers infer: mypy --strict and pyright over `typing/cases.py`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CHECKERS = {
    "mypy": ["--strict", "--no-incremental", "--follow-imports=silent"],
    "pyright": ["--pythonpath", sys.executable],
}


@pytest.mark.timeout(180)  # the checkers read a good part of the package, and pyright may have to fetch node first
@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("cases", ["typing/cases.py", "objects/typing_cases.py"])
def test_r0011_r0015_types_are_inferred(checker: str, cases: str) -> None:
    """Row 11: both checkers pass. Row 15: `final()` of an `ObjectStream[T]` is a `T`."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    command = [sys.executable, "-m", checker, *CHECKERS[checker], str(TESTS / cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=TESTS.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_r0011_a_wrong_type_is_found(tmp_path: Path) -> None:
    """The cases above prove something only if the package is typed for the checker: `py.typed`, no silent Any."""
    wrong = tmp_path / "wrong.py"
    body = "async def f(s: ms.Stream[int]) -> list[str]:\n    return await s.collect()\n"
    wrong.write_text("import millstream as ms\n\n" + body)
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", *CHECKERS["mypy"], str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=TESTS.parent)
    assert done.returncode == 1
    assert 'expected "list[str]"' in done.stdout
