"""Is the cost of a byte the same in a large event as in a small one? Run alone: python -m bench.scaling

A parser that looks at its buffer again with each chunk is O(n^2): it passes every small test. So one line is fed in
256-byte chunks, at 64 MiB against 1 MiB (at most 2 x per byte) and at doubled sizes (at most x 2.3 in time).
Source of the rule: CONVENTIONS.md, rules 3 and 17.
"""

import statistics
import time

from bench import peers
from bench.fixtures import cut

MiB = 1 << 20
CHUNK_BYTES = 256
MAX_RATIO = 2.0
MAX_DOUBLING = 2.3
DOUBLINGS = [MiB << n for n in range(6)]


def seconds(n_bytes: int, repeat: int) -> float:
    """The median time to parse one `data:` line of about n_bytes."""
    pattern = bytes(range(0x20, 0x7F))
    data = (pattern * (n_bytes // len(pattern) + 1))[:n_bytes]
    chunks = cut(b"data: " + data + b"\n\n", CHUNK_BYTES)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        messages = peers.millstream(chunks)
        times.append(time.perf_counter() - start)
        if [m.data for m in messages] != [data.decode()]:
            raise AssertionError("wrong answer")
    return statistics.median(times)


def per_byte() -> tuple[float, float]:
    """ns per byte in a line of 1 MiB and in one of 64 MiB."""
    return seconds(MiB, 15) / MiB * 1e9, seconds(64 * MiB, 3) / (64 * MiB) * 1e9


def doubling() -> list[tuple[int, float]]:
    return [(n, seconds(n, 5)) for n in DOUBLINGS]


def worst_doubling(times: list[tuple[int, float]]) -> float:
    """The mean factor over two doublings, where it is largest: a single one is mostly noise on a busy machine."""
    return max((c / a) ** 0.5 for (_, a), _, (_, c) in zip(times, times[1:], times[2:], strict=False))


if __name__ == "__main__":
    small, large = per_byte()
    print(f"1 MiB: {small:.3f} ns/byte; 64 MiB: {large:.3f} ns/byte; ratio {large / small:.2f} (at most {MAX_RATIO})")
    times = doubling()
    print(*(f"{n // MiB:3} MiB {t * 1e3:8.2f} ms" for n, t in times), sep="\n")
    print(f"worst factor for a doubling: {worst_doubling(times):.2f} (at most {MAX_DOUBLING})")
    raise SystemExit(large / small > MAX_RATIO or worst_doubling(times) > MAX_DOUBLING)
