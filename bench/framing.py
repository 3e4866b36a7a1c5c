"""The section on framing: bytes to messages, on every shape of load; and whether long lines cost more per byte."""

from __future__ import annotations

import sys

from bench import compare, fixtures, scaling
from bench.section import Section, table

# On `steady`: framing of 200-byte deltas in 16 KiB chunks. The gate and the aim.
TARGETS = {"httpx-sse": (15.0, 25.0), "openai": (20.0, None)}


def section() -> Section:
    rows = []
    for name in fixtures.names():
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += compare.compare(fixtures.shape(name))
    kept = compare.compare(fixtures.shape("steady"), keep=True)
    print("scaling ...", file=sys.stderr, flush=True)
    found, usual = scaling.measure(scaling.EQUAL_MEMORY), scaling.measure({})
    small, large = found["line"]
    times = list(zip(scaling.DOUBLINGS, found["doublings"], strict=True))
    lines = [[f"{n >> 20} MiB", f"{t * 1e3:.2f}", f"{t / n * 1e9:.3f}"] for n, t in times]
    lines.append(["64 MiB", f"{large * (64 << 20) / 1e6:.2f}", f"{large:.3f}"])
    text = [
        f"{compare.ROUNDS} rounds, parsers taking turns, CPU time. `bench/peers.py` is what the rows run,",
        "`bench/fixtures.py` makes the shapes; `correct`: event, data and id of all messages are those that the shape",
        "was made of. `httpx-sse` is its decoders in one plain loop, the most it can do; `iter_sse`: what users call.",
        "",
        *compare.table(rows),
        "\n`steady` with all messages kept to the end: fresh memory costs each the same, so the ratios shrink.\n",
        *compare.table(kept),
        "\n### One line in 256-byte chunks\n",
        *table(["line", "ms", "ns/byte"], lines, " rr"),
        "\nAll large blocks of memory are new here, for every size. With glibc's own choice small lines get memory",
        f"that the process has already: {usual['line'][0]:.3f} ns/byte at 1 MiB, {usual['line'][1]:.3f} at 64 MiB;",
        f"so does a `bytearray` grown by these chunks, and decoded: {usual['join'][0]:.3f} and {usual['join'][1]:.3f}.",
        "\n### Shapes\n",
        *(f"- `{row.shape!r}`" for row in rows if row.parser == "millstream"),
    ]
    out = Section(text)
    steady = {row.parser: row for row in rows if row.shape.name == "steady"}
    for peer, (gate, aim) in TARGETS.items():
        out.at_least(f"framing of 200-byte deltas, against {peer}", gate, steady[peer].ratio, aim=aim)
    out.at_most("byte of a 64 MiB line against 1 MiB", scaling.MAX_RATIO, large / small)
    out.at_most("time for twice the line", scaling.MAX_DOUBLING, scaling.worst_doubling(times))
    out.wrong = [str(row.shape) for row in rows if row.parser == "millstream" and not row.correct]
    return out
