"""Cores, limits, and what the kernel says about a process. Linux; elsewhere the figures that need /proc are 0."""

from __future__ import annotations

import gc
import os
import resource
from contextlib import suppress
from pathlib import Path

__all__ = [
    "CLIENT_CPU",
    "SERVER_CPU",
    "cpu_ns",
    "fds",
    "loads",
    "memory",
    "open_files",
    "peak",
    "pin",
    "reset_peak",
    "waited",
]

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVER_CPU, CLIENT_CPU = CPUS[0], CPUS[-1]
SPARE_FILES = 200
KIB = 1024


def pin(cpu: int, nice: int = 0) -> None:
    """Keep this process on one core, and give it a priority if it may have it."""
    if len(CPUS) > 1:
        os.sched_setaffinity(0, [cpu])
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with suppress(OSError):  # where the kernel weighs sessions against each other, that alone has no effect
            Path("/proc/self/autogroup").write_text(str(nice))


def open_files(wanted: int) -> int:
    """Raise the limit of open files, and return how many streams of `wanted` a process can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + SPARE_FILES if hard == resource.RLIM_INFINITY else min(wanted + SPARE_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return min(wanted, most - SPARE_FILES)


def limit() -> str:
    """The most open files that this process may have, as a text."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return "none" if hard == resource.RLIM_INFINITY else f"{hard:,}"


def fds() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def loads() -> str:
    """The load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def memory(pid: int | str = "self") -> int:
    """Bytes of memory that a process has for itself, with its share of what it shares (PSS)."""
    if pid == "self":
        gc.collect()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * KIB


def reset_peak() -> None:
    """Let `peak` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most bytes that were resident since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * KIB


def cpu_ns(pid: int | str = "self") -> int:
    """Nanoseconds of CPU that the main thread of a process took."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def waited() -> float:
    """Seconds that this process was ready and the kernel ran others."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
