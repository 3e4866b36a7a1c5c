"""Is the cost of a byte the same in a large event as in a small one? Run alone: python -m bench.scaling

A parser that looks at its buffer again with each chunk is O(n^2): it passes every small test. So one line is fed in
256-byte chunks, at 64 MiB against 1 MiB (at most 2 x per byte) and at doubled sizes (at most x 2.3 in time).
Source of the rule: CONVENTIONS.md, rules 3 and 17.

glibc serves blocks up to some size from memory that the process has already, and larger ones with new pages, which the
kernel must clear: 3 to 4 times the cost per byte, whoever asks. To compare like with like the measurement runs in a
process of its own in which every large block is new (EQUAL_MEMORY). The report shows both.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from bench import peers
from bench.fixtures import cut

MiB = 1 << 20
CHUNK_BYTES = 256
MAX_RATIO = 2.0
MAX_DOUBLING = 2.3
EQUAL_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "131072"}
DOUBLINGS = [MiB << n for n in range(6)]


def feed(chunks: list[bytes]) -> str:
    (message,) = peers.collect(peers.millstream(chunks))
    return message.data


def join(chunks: list[bytes]) -> str:
    """What the memory of this machine allows: Python's own growing buffer, without any parsing."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
    return buffer.decode()


def seconds(n_bytes: int, repeat: int, run: Callable[[list[bytes]], str] = feed) -> float:
    """The least time for one `data:` line of about n_bytes; a busy machine can only add to it."""
    pattern = bytes(range(0x20, 0x7F))
    data = (pattern * (n_bytes // len(pattern) + 1))[:n_bytes]
    chunks = cut(b"data: " + data + b"\n\n", CHUNK_BYTES)
    times = []
    for _ in range(repeat):
        start = time.process_time()
        text = run(chunks)
        times.append(time.process_time() - start)
        if len(text) != n_bytes and run is feed:
            raise AssertionError("wrong answer")
    return min(times)


def per_byte(run: Callable[[list[bytes]], str] = feed) -> tuple[float, float]:
    """ns per byte in a line of 1 MiB and in one of 64 MiB."""
    return seconds(MiB, 15, run) / MiB * 1e9, seconds(64 * MiB, 5, run) / (64 * MiB) * 1e9


def doubling() -> list[tuple[int, float]]:
    return [(n, seconds(n, 5)) for n in DOUBLINGS]


def worst_doubling(times: list[tuple[int, float]]) -> float:
    """The mean factor over two doublings, where it is largest: a single one is mostly noise on a busy machine."""
    return max((c / a) ** 0.5 for (_, a), _, (_, c) in zip(times, times[1:], times[2:], strict=False))


def measure(environment: dict[str, str]) -> dict[str, list[float]]:
    """Run this module in a new process: `line` and `join` (ns/byte at 1 and 64 MiB), `doublings` (seconds)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.scaling", "--json"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> int:
    if "--json" in sys.argv:
        times = [seconds for _, seconds in doubling()]
        print(json.dumps({"line": per_byte(), "join": per_byte(join), "doublings": times}))
        return 0
    found = measure(EQUAL_MEMORY)
    small, large = found["line"]
    print(f"1 MiB: {small:.3f} ns/byte; 64 MiB: {large:.3f} ns/byte; ratio {large / small:.2f} (at most {MAX_RATIO})")
    times = list(zip(DOUBLINGS, found["doublings"], strict=True))
    print(*(f"{n // MiB:3} MiB {t * 1e3:8.2f} ms" for n, t in times), sep="\n")
    print(f"worst factor for a doubling: {worst_doubling(times):.2f} (at most {MAX_DOUBLING})")
    return large / small > MAX_RATIO or worst_doubling(times) > MAX_DOUBLING


if __name__ == "__main__":
    raise SystemExit(main())
