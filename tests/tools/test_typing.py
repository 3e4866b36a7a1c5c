"""A tool keeps the types of its function; conditions, agents and hooks are checked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("typing_cases.py")


@pytest.mark.timeout(180)
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_inferred_types() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=CASES.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
