"""`make fuzz SECONDS=n`: every target for n seconds, two at a time. Prints what was run; exit status 1 if it found any.

What a run finds new stays in build/fuzz/corpus, so the next one goes on there; inputs that fail are in
build/fuzz/found. To see one again: `build/fuzz/c/fuzz_json FILE`, or `python tests/fuzz/again.py json FILE`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import building

OUT = building.ROOT / "build" / "fuzz"
DICTIONARIES = building.HERE / "dictionaries"
MOST = {"decoders": 8192, "shapes": 4096, "calls": 2048, "work": 300, "num": 128}  # bytes of an input


class Job(NamedTuple):
    name: str
    command: list[str]
    env: dict[str, str]
    seeds: list[Path]
    dictionary: str


class Outcome(NamedTuple):
    name: str
    runs: int
    seconds: float
    edges: int
    found: list[str]
    log: str


def jobs(names: list[str], *, with_python: bool) -> list[Job]:
    c = [name for name in building.C_TARGETS if not names or f"c:{name}" in names]
    py = [name for name in building.PY_TARGETS if not names or f"py:{name}" in names] if with_python else []
    made = []
    for name, path in building.c_targets(OUT / "c", names=c).items() if c else ():
        corpora = building.seeds(name, building.C_TARGETS[name], OUT)
        made.append(Job(f"c:{name}", [str(path)], dict(os.environ), corpora, _dictionary(name)))
    env = building.python_targets(OUT) if py else {}
    for name in py:
        command = [sys.executable, str(building.HERE / "atheris_run.py"), name]
        corpora = building.seeds(name, building.PY_TARGETS[name], OUT)
        made.append(Job(f"py:{name}", command, env, corpora, _dictionary(name)))
    return made


def _dictionary(name: str) -> str:
    return {
        "sse": "sse",
        "scan": "sse",
        "num": "num",
        "shape": "json",
        "decoders": "wire",
        "shapes": "wire",
        "calls": "wire",
    }.get(name, "json")


def fuzz(job: Job, seconds: int) -> Outcome:
    kind, name = job.name.split(":")
    corpus, found = OUT / "corpus" / f"{kind}_{name}", OUT / "found" / f"{kind}_{name}"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    before = time.monotonic()
    done = subprocess.run(
        [
            *job.command, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=3000", "-print_final_stats=1",
            f"-max_len={MOST.get(name, 1024)}", f"-dict={DICTIONARIES / job.dictionary}.dict",
            f"-artifact_prefix={found}/", str(corpus), *map(str, job.seeds),
        ],
        env=job.env, capture_output=True, text=True, errors="replace", timeout=seconds + 300, check=False,
    )  # fmt: skip
    log = done.stdout + done.stderr
    (OUT / f"{kind}_{name}.log").write_text(log)
    runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log) or re.findall(r"^#(\d+)", log, re.M) or [0]
    edges = re.findall(r"cov: (\d+)", log) or [0]
    artifacts = re.findall(r"Test unit written to (\S+)", log)
    if done.returncode and not artifacts:
        artifacts = [f"exit status {done.returncode}, see {OUT / f'{kind}_{name}.log'}"]
    return Outcome(job.name, int(runs[-1]), time.monotonic() - before, int(edges[-1]), artifacts, log)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=int, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="c:NAME or py:NAME")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401

        with_python = True
    except ImportError:
        with_python = False
        if os.environ.get("MILLSTREAM_REQUIRE_FUZZ") == "1":
            raise
        print("atheris is not installed: only the C targets run")
    todo = jobs(options.targets, with_python=with_python)
    print(f"{'target':<12} {'executions':>12} {'per second':>11} {'edges':>6}  found")
    total, n_found = 0, 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in pool.map(lambda job: fuzz(job, options.seconds), todo):
            rate = done.runs / max(done.seconds, 0.001)
            print(f"{done.name:<12} {done.runs:>12,} {rate:>11,.0f} {done.edges:>6}  {' '.join(done.found) or 0}")
            if done.found:
                print("\n".join(done.log.splitlines()[-40:]))
            total += done.runs
            n_found += len(done.found)
    print(f"{len(todo)} targets, {total:,} executions, {n_found} found")
    return 1 if n_found else 0


if __name__ == "__main__":
    sys.exit(main())
