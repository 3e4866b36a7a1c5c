"""Instructions of the hottest paths, counted by callgrind and compared with bench/instructions.json.

`python -m bench.instructions` (`make bench-instructions`) fails if a path takes LIMIT more than the baseline;
`--update` writes the baseline of this environment. Counts depend on the interpreter, the compiler, the C library and
the packages below the paths: where these differ from every baseline, the counts are only reported.

Each path has a process of its own. It runs to warm up, gives what it must give, and is counted from there: callgrind is
told by a client request where to begin and where to end, so neither the start of the interpreter nor imports are in the
counts. Hashes have a fixed seed, and the garbage collector is off.

CPython's cache of methods goes by addresses. How large the environment is, and where the checkout lies, moves these,
and two names in one place of the cache cost up to 3 % more. They never cost less: what is too much, or becomes a
baseline, is counted in LAYOUTS environments of different size, and the least counts.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import millstream
from bench.hot import PATHS

BASELINE = Path(__file__).with_name("instructions.json")
LIMIT = 0.03
LAYOUTS = 4
PACKAGES = ("anyio", "cython", "msgspec", "orjson")

# valgrind's client requests are instructions that do nothing outside of it.
CLIENT = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(void) { CALLGRIND_DUMP_STATS; CALLGRIND_STOP_INSTRUMENTATION; }
"""


def environment() -> dict[str, str]:
    """What the counts depend on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "compiler": _said(*(os.environ.get("CC") or "cc").split(), "-dumpfullversion"),
        "machine": f"{platform.machine()}, {'avx2' if 'avx2' in _cpu_flags() else 'without avx2'}",
        "libc": " ".join(platform.libc_ver()),
        "valgrind": subprocess.run(
            ["valgrind", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        **{name: version(name) for name in PACKAGES},
    }


def _said(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cpu_flags() -> set[str]:
    """valgrind passes on what the machine has, and libc and orjson choose their loops by it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}


def count_here(name: str, client: str) -> None:
    """Run a path between the two client requests: in a process under callgrind."""
    library = ctypes.CDLL(client)
    _, units, make = PATHS[name]
    run = make()
    for _ in range(2):  # the interpreter specialises what has run
        found = run()
        if found != units:
            raise AssertionError(f"{found} came out, not {units}")
    gc.collect()
    gc.disable()
    library.begin()
    run()
    library.end()


def build_client(folder: Path) -> Path:
    source, out = folder / "client.c", folder / "client.so"
    source.write_text(CLIENT)
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", out, source], check=True)
    return out


def count(name: str, layout: int, client: Path, folder: Path) -> float:
    """Return instructions per unit of a path, with the memory laid out in one of LAYOUTS ways."""
    out = folder / f"{name}-{layout}.out"
    command = ["valgrind", "--tool=callgrind", "-q", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    command += [sys.executable, "-m", "bench.instructions", "--one", name, str(client)]
    root = Path(__file__).resolve().parents[1]
    paths = os.environ.get("PYTHONPATH", str(Path(millstream.__file__).parents[1]))
    env = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    env["MOVES_ADDRESSES"] = "x" * 700 * layout
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    for part in sorted(folder.glob(f"{out.name}.*")):
        for line in part.read_text().splitlines():
            if line.startswith(("summary:", "totals:")) and int(line.split()[1]):
                return int(line.split()[1]) / PATHS[name][1]
    raise SystemExit(f"{name}: callgrind counted nothing")


def count_all(names: list[str], layouts: Sequence[int]) -> dict[str, float]:
    """Return the least counts of each path."""
    tasks = [(name, layout) for name in names for layout in layouts]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        client = build_client(folder)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda task: count(*task, client, folder), tasks)
            least: dict[str, float] = {}
            for (name, _), one in zip(tasks, found, strict=True):
                least[name] = min(one, least.get(name, one))
            return {name: round(one, 1) for name, one in least.items()}


def compare(counts: dict[str, float], baseline: dict[str, float]) -> tuple[list[str], list[str]]:
    """Lines of a table, and what is too much."""
    lines, bad = [], []
    for name, found in counts.items():
        unit = PATHS[name][0]
        was = baseline.get(name)
        if was is None:
            lines.append(f"{name:26} {found:12,.0f} per {unit:8} new")
            bad.append(f"{name}: not in the baseline")
            continue
        change = found / was - 1
        lines.append(f"{name:26} {found:12,.0f} per {unit:8} was {was:12,.0f} {change:+7.1%}")
        if change > LIMIT + 1e-9:
            bad.append(f"{name}: {change:+.1%} instructions, {LIMIT:.0%} is the limit")
    return lines, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", nargs="*", help="only these: " + ", ".join(PATHS))
    parser.add_argument("--update", action="store_true", help="write the baseline of this environment")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        count_here(*options.one)
        return 0
    if not shutil.which("valgrind"):
        print("valgrind is missing: nothing counted (apt-get install valgrind)", file=sys.stderr)
        return 1
    unknown = set(options.path) - PATHS.keys()
    if unknown:
        parser.error(f"no path is called {min(unknown)}; there are {', '.join(PATHS)}")
    here = environment()
    kept: list[dict[str, Any]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else []
    same = next((one for one in kept if one["environment"] == here), None)
    nearest = max(kept, key=lambda one: len(one["environment"].items() & here.items()), default=None)
    shown = same or nearest or {"environment": {}, "counts": {}}
    counts = count_all(options.path or list(PATHS), range(LAYOUTS if options.update else 1))
    high = [name for name, found in counts.items() if found > shown["counts"].get(name, found) * (1 + LIMIT)]
    if high and same is not None:
        again = count_all(high, range(1, LAYOUTS))
        counts |= {name: min(counts[name], again[name]) for name in high}
    lines, bad = compare(counts, shown["counts"])
    print(*lines, sep="\n")
    if options.update:
        if same is None:
            # One for each version of Python: what was counted with other tools is of no use any more.
            minor = here["python"].split(".")[1]
            kept = [one for one in kept if one["environment"]["python"].split(".")[1] != minor]
            kept.append(same := {"environment": here, "counts": {}})
        same["counts"] |= counts
        kept.sort(key=lambda one: one["environment"]["python"])
        BASELINE.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"wrote {BASELINE.name}")
        return 0
    if same is None:
        for key, value in here.items():
            was = shown["environment"].get(key)
            if was != value:
                print(f"only reported: {key} is {value}, and was {was} for the baseline")
        return 0
    print(*bad, sep="\n", file=sys.stderr)
    if bad:
        print("If this is wanted: make bench-instructions UPDATE=1, and say why in the commit", file=sys.stderr)
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
