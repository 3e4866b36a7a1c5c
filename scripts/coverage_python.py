"""`make coverage-python`: branches of src/millstream that each room's own tests take. Exit status 1 if one is missing.

Each room is run by itself, so that nobody else's tests count for it, with its subprocesses. What never counts is named
in `[tool.coverage.report]` of pyproject.toml. Compiled modules are not seen here: see `make coverage` for csrc/.

Arguments: rooms; all of them if there are none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "coverage"
PACKAGE = ROOT / "src" / "millstream"

# Two other rooms, and what compares shapes with the slow path message by message: an hour when traced, no branch more.
NOT_FOR_DECODERS = ["encoders", "requests", "test_mutations.py"]
NOT_FOR_DECODERS += [f"test_shapes_{name}.py" for name in ("differential", "mutation", "triples")]

# What is measured, in src/millstream, and by which tests. A module without tests of its own is a detail of those named.
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "top": (
        ["errors.py", "limits.py", "__init__.py"],
        ["tests/test_errors.py", "tests/test_limits.py", "tests/test_exports.py"],
    ),
    "events": (["events/*"], ["tests/events"]),
    "messages": (
        ["messages/*"],
        [
            "tests/test_messages.py",
            "tests/objects/test_schema.py",
            "tests/objects/test_types.py",
            "tests/tools/test_tool.py",
        ],
    ),
    "decoders": (
        ["protocols/*.py"],
        ["tests/protocols", "tests/test_errors.py", *(f"--ignore=tests/protocols/{name}" for name in NOT_FOR_DECODERS)],
    ),
    "encoders": (["protocols/encoders/*"], ["tests/protocols/encoders"]),
    "requests": (["protocols/requests/*"], ["tests/protocols/requests"]),
    "streams": (["streams/*"], ["tests/streams", "tests/http/test_aiohttp.py"]),
    "testing": (["testing/*"], ["tests/test_testing.py"]),
    "objects": (["objects/*"], ["tests/objects"]),
    "tools": (["tools/*"], ["tests/tools"]),
    "relay": (["relay/*"], ["tests/relay"]),
    "providers": (["providers/*"], ["tests/providers"]),
    "http": (["http/*"], ["tests/http"]),
    "server": (["server/*"], ["tests/server"]),
    "compat": (["compat/*"], ["tests/compat"]),
    "cli": (["cli/*"], ["tests/cli"]),
}

# What rooms must reach that are not at 100 %, in percent: there is none. But before 3.12 no tracer is told of a frame
# through which an exception is thrown into a coroutine, as by cancelling: what it does then counts for another file.
FLOORS: dict[str, float] = {}
if sys.version_info < (3, 12):
    FLOORS = {"relay": 99.0, "server": 99.0, "streams": 99.6}


def main(rooms: list[str]) -> int:
    if unknown := set(rooms) - set(ROOMS):
        sys.exit(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    bad = [room for room in rooms or ROOMS if not passes(room)]
    print(f"below: {', '.join(bad)}" if bad else "every room's own tests take all of its branches")
    return 1 if bad else 0


def passes(room: str) -> bool:
    """Run the tests of a room, print what they do not take, and say whether they passed and took enough."""
    files, tests = ROOMS[room]
    data = OUT / room
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    began = time.monotonic()
    # Tests of types run mypy, which is none of our code, and slow when it is traced.
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--ignore-glob=*/test_typing.py", *tests]
    passed = coverage(room, "run", f"--source={PACKAGE}", *pytest)
    coverage(room, "combine", "--quiet", str(data))
    print(f"--- {room}: {time.monotonic() - began:.0f} s", flush=True)
    include = ",".join(str(PACKAGE / pattern) for pattern in files)
    floor = FLOORS.get(room, 100)
    return coverage(room, "report", f"--include={include}", f"--fail-under={floor}") and passed


def coverage(room: str, *arguments: str) -> bool:
    """Run a command of coverage.py with the data of a room."""
    examples = os.environ.get("MILLSTREAM_HYPOTHESIS_EXAMPLES", "50")
    environ = {"COVERAGE_FILE": str(OUT / room / ".coverage"), "MILLSTREAM_HYPOTHESIS_EXAMPLES": examples}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environ, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
