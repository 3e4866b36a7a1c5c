"""The section on JSON that grows, and whether its targets are met. In a process of its own, as all sections: what other
benchmarks leave in memory would be work for the garbage collector here. Alone: python -m bench.json_report
"""

import statistics
import sys
from importlib.metadata import version

from bench import json_compare, json_docs
from bench.json_compare import Row
from bench.json_docs import DELTA_BYTES, SIZES, document
from bench.json_peers import DELTAS, OWN, PEERS, WHOLE
from bench.section import Section

PACKAGES = (
    "jiter",
    "pydantic_core",
    "partial-json-parser",
    "streaming-json-parser",
    "streaming-json-parser-native",
    "jsonriver",
    "ijson",
    "orjson",
)
MAX_NS = 20.0
MAX_GROWTH = 2.0
MAX_DELTAS = 1.5
MAX_WHOLE = 1.25
# shape, size -> at least so many times faster than jiter, which parses again
JITER = {("one long string", "100 kB"): 50, ("many records", "100 kB"): 400, ("many records", "1 MB"): 1000}

Cells = dict[tuple[str, str, int, str], Row]
Whole = dict[str, dict[str, list[list[float]]]]


def judge(out: Section, cells: Cells, whole: Whole) -> None:
    for shape in json_docs.shapes():
        ns = cells[shape, "100 kB", 16, OWN].ns
        out.at_most(f"ns/byte of {shape}, 100 kB in 16 B", MAX_NS, ns, unit="")
    for shape in json_docs.shapes():
        growth = cells[shape, "1 MB", 16, OWN].ns / cells[shape, "10 kB", 16, OWN].ns
        out.at_most(f"byte of {shape} in 1 MB against 10 kB, in 16 B", MAX_GROWTH, growth)
    worst = max((row for row in cells.values() if row.peer == DELTAS), key=lambda row: row.ratio)
    out.at_most(f"deltas on, worst cell ({where(worst)})", MAX_DELTAS, worst.ratio)
    for (shape, size), least in JITER.items():
        ratio = cells[shape, size, 16, "jiter, again"].ratio
        out.at_least(f"against jiter, {shape}, {size} in 16 B", least, ratio)
    nearest = min((row for row in cells.values() if row.peer not in (OWN, DELTAS)), key=lambda row: row.ratio)
    out.at_least(f"nearest peer of all cells ({nearest.peer}, {where(nearest)})", 1, nearest.ratio)
    for text in whole["jiter"]:
        ratio = whole_ratio(whole, "millstream", text, 0)
        out.at_most(f"whole document at once against jiter, {text}", MAX_WHOLE, ratio)


def where(row: Row) -> str:
    return f"{row.document.shape}, {row.document.size} in {row.delta} B"


def whole_ratio(whole: Whole, name: str, document: str, column: int) -> float:
    pairs = zip(whole[name][document], whole["jiter"][document], strict=True)
    return statistics.median(own[column] / other[column] for own, other in pairs)


def whole_table(whole: Whole) -> list[str]:
    names = [name for name in WHOLE if name != "jiter"]
    lines = [
        "| document | jiter, ns/byte | " + " | ".join(f"{name} | without collector" for name in names) + " |",
        "|---|---:|" + "---:|---:|" * len(names),
    ]
    for shape in json_docs.shapes():
        for size in SIZES:
            text = f"{shape}, {size}"
            ns = statistics.median(times[0] for times in whole["jiter"][text]) / len(document(shape, size).data) * 1e9
            ratios = " | ".join(f"{whole_ratio(whole, name, text, column):.2f}" for name in names for column in (0, 1))
            lines.append(f"| {text} | {ns:.2f} | {ratios} |")
    return lines


def section() -> Section:
    cells: Cells = {}
    lines = [
        f"{json_compare.ROUNDS} rounds, parsers taking turns; ns/byte with the loop of the caller; CPU time of the",
        "thread; the garbage collector runs. `~`: an estimate from prefixes; `>`: at least so much",
        "(`bench/json_compare.py` says how). In brackets the middle half of the ratios.",
        "",
        "Versions: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES) + ".",
    ]
    for shape in json_docs.shapes():
        for size in SIZES:
            one = document(shape, size)
            print(f"JSON, {shape}, {size} ...", file=sys.stderr, flush=True)
            rows = [row for n in DELTA_BYTES for row in json_compare.compare(one, n)]
            cells |= {(shape, size, row.delta, row.peer): row for row in rows}
            lines += [f"\n### {shape}, {size} ({len(one.data):,} bytes)\n", *json_compare.table(rows)]
    print("JSON, whole documents ...", file=sys.stderr, flush=True)
    whole = json_compare.whole()
    lines += [
        "\n### A complete document at once\n",
        "`millstream` is `parse_partial_json`. Figures are times jiter's time; each parser has processes of its own,",
        "which take turns. With the garbage collector, and without: containers made set it off, whoever makes them.",
        "",
        *whole_table(whole),
    ]
    out = Section(lines)
    judge(out, cells, whole)
    out.wrong = [where(row) for row in cells.values() if row.peer in (OWN, DELTAS) and not row.correct]
    out.data = {
        peer.name: {
            shape: [[len(document(shape, size).data), cells[shape, size, 16, peer.name].ns] for size in SIZES]
            for shape in json_docs.shapes()
        }
        for peer in PEERS
    }
    return out


if __name__ == "__main__":
    print(*section().text, sep="\n")
