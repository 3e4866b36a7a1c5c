"""Tables, and the file where they go."""

from __future__ import annotations

import platform
import statistics
from importlib.metadata import version

from bench.load import machine
from bench.report import ROOT, commit, cpu

__all__ = ["RESULTS", "environment", "markdown", "middle", "percentile", "spread"]

PACKAGES = ("httpx2", "aiohttp", "httptools", "uvloop", "uvicorn", "starlette", "sse-starlette")


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def percentile(values: list[float], part: float) -> float:
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * part))] if found else 0.0


def middle(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float], scale: float) -> str:
    """The median and the quartiles."""
    low, high = (percentile(values, part) * scale for part in (0.25, 0.75))
    return f"{middle(values) * scale:.2f} ({low:.2f}-{high:.2f})"


def environment(n: int, nice: int) -> list[str]:
    cores = f"generator on CPU {machine.SERVER_CPU}, client on CPU {machine.CLIENT_CPU}"
    return [
        f"- machine: {cpu()}, {len(machine.CPUS)} CPUs, {platform.system()} {platform.release()}; {cores}",
        f"- load average of the machine when this began: {machine.loads()}; priority of the measured processes: {nice}",
        f"- {platform.python_implementation()} {platform.python_version()}; millstream at {commit()}; "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        f"- limit of open files: {machine.limit()}, which allows {n:,} streams in a process",
    ]


RESULTS = ROOT / "bench" / "RESULTS_LOAD.md"
