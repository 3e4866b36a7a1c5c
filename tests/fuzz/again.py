"""Runs one of `targets.py` over files: `python tests/fuzz/again.py TARGET FILE...`, without atheris."""

import sys
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
target = import_module("fuzz.targets").TARGETS[sys.argv[1]]
for path in sys.argv[2:]:
    target(Path(path).read_bytes())
print(f"{len(sys.argv) - 2} passed, 0 failed")
