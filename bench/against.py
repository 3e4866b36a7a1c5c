"""Measure bench_core.py of this tree and of another commit by turns, and write how they compare: `make bench-compare`.

By turns, because a machine changes its speed while it measures. The best round of each row counts: what disturbs only
slows it down. Writes build/bench/comparison.txt and pytest-benchmark's JSON beside it.
"""

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "bench"
ROUNDS = 3


def prepare(ref: str) -> Path:
    """The other tree, compiled."""
    tree = WORK / "base"
    subprocess.run(["rm", "-rf", WORK], check=True)
    tree.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", ref], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(tree, filter="data")
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=tree, check=True)
    return tree


def measure(tree: Path, out: Path) -> dict[str, float]:
    """Seconds of the best round of each row. The benchmarks are those of this tree, for both."""
    command = [sys.executable, "-m", "pytest", "-q", "bench/bench_core.py", f"--benchmark-json={out}"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return {row["name"]: row["stats"]["min"] for row in json.loads(out.read_text())["benchmarks"]}


def main(ref: str) -> None:
    trees = {"before": prepare(ref), "after": ROOT}
    best: dict[str, dict[str, float]] = {name: {} for name in trees}
    for i in range(ROUNDS):
        for name, tree in trees.items():
            for row, seconds in measure(tree, WORK / f"{name}-{i}.json").items():
                best[name][row] = min(seconds, best[name].get(row, seconds))
    lines = [f"This tree against {ref}, best of {ROUNDS} runs by turns:", ""]
    lines += ["| benchmark | before | after | ratio |", "|---|---|---|---|"]
    for row in sorted(best["before"].keys() & best["after"].keys()):
        before, after = best["before"][row], best["after"][row]
        lines.append(f"| {row} | {before * 1e6:.1f} us | {after * 1e6:.1f} us | {after / before:.2f} |")
    text = "\n".join(lines) + "\n"
    (WORK / "comparison.txt").write_text(text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
