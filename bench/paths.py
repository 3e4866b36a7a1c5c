"""The section on the hottest paths: their time by pytest-benchmark, and their instructions, counted beforehand."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.hot import PATHS
from bench.instructions import BASELINE
from bench.section import Section, figure, table


def section() -> Section:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        command = [sys.executable, "-m", "pytest", "-q", "bench/bench_core.py", f"--benchmark-json={out}"]
        command += ["--benchmark-max-time=0.5", "-k", "hot_path"]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit("bench_core.py failed")
        found = {row["params"]["name"]: row for row in json.loads(out.read_text())["benchmarks"]}
    counted = json.loads(BASELINE.read_text()) if BASELINE.exists() else []
    rows = []
    for name, (unit, n, _) in PATHS.items():
        stats = found[name]["stats"]
        times = [figure(stats[key] / n * 1e9) for key in ("median", "q1", "q3")]
        counts = [f"{one['counts'][name]:,.0f}" if name in one["counts"] else "" for one in counted]
        rows.append([name, unit, times[0], f"{times[1]} to {times[2]}", *counts])
    pythons = [one["environment"]["python"].split(",")[0].removeprefix("CPython ") for one in counted]
    head = ["path", "unit", "ns", "middle half", *(f"instructions, {name}" for name in pythons)]
    text = [
        "`bench/hot.py` has them. Wall clock time by pytest-benchmark, which a busy machine makes longer; instructions",
        "by callgrind (`make bench-instructions`), which it does not.",
        "",
        *table(head, rows, "  rrrr"),
    ]
    return Section(
        text, data={name: {"ns": row["stats"]["median"] / PATHS[name][1] * 1e9} for name, row in found.items()}
    )
