"""The JSON part of bench/RESULTS.md, and whether its targets are met. Run by report.py in a process of its own: what
other benchmarks leave in memory would be work for the garbage collector here. Alone: python -m bench.json_report
"""

import json
import statistics
import subprocess
import sys
from importlib.metadata import version

from bench import json_compare, json_docs
from bench.json_compare import Row
from bench.json_docs import DELTA_BYTES, SIZES, document
from bench.json_peers import DELTAS, OWN, WHOLE

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


def verdict(what: str, target: str, got: float, *, met: bool) -> str:
    return f"| {what} | {target} | {json_compare.figure(got)} | {'met' if met else '**not met**'} |"


def verdicts(cells: Cells, whole: Whole) -> list[str]:
    lines = []
    for shape in json_docs.shapes():
        ns = cells[shape, "100 kB", 16, OWN].ns
        lines.append(verdict(f"JSON: ns/byte of {shape}, 100 kB in 16 B", f"<= {MAX_NS:g}", ns, met=ns <= MAX_NS))
    for shape in json_docs.shapes():
        growth = cells[shape, "1 MB", 16, OWN].ns / cells[shape, "10 kB", 16, OWN].ns
        what = f"JSON: byte of {shape} in 1 MB against 10 kB, in 16 B"
        lines.append(verdict(what, f"<= {MAX_GROWTH:g} x", growth, met=growth <= MAX_GROWTH))
    worst = max((row for row in cells.values() if row.peer == DELTAS), key=lambda row: row.ratio)
    what = f"JSON: deltas on, worst cell ({where(worst)})"
    lines.append(verdict(what, f"<= {MAX_DELTAS:g} x", worst.ratio, met=worst.ratio <= MAX_DELTAS))
    for (shape, size), least in JITER.items():
        ratio = cells[shape, size, 16, "jiter, again"].ratio
        what = f"JSON: against jiter, {shape}, {size} in 16 B"
        lines.append(verdict(what, f">= {least:,} x", ratio, met=ratio >= least))
    nearest = min((row for row in cells.values() if row.peer not in (OWN, DELTAS)), key=lambda row: row.ratio)
    what = f"JSON: nearest peer of all cells ({nearest.peer}, {where(nearest)})"
    lines.append(verdict(what, "> 1 x", nearest.ratio, met=nearest.ratio > 1))
    for text in whole["jiter"]:
        ratio = whole_ratio(whole, "millstream", text, 0)
        what = f"JSON: whole document at once against jiter, {text}"
        lines.append(verdict(what, f"<= {MAX_WHOLE:g} x", ratio, met=ratio <= MAX_WHOLE))
    return lines


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


def section() -> dict[str, list[str]]:
    """`verdicts`: lines of the table of targets. `text`: the section. `wrong`: where our own answers were not right."""
    cells: Cells = {}
    lines = [
        "\n## JSON that grows: the value is read after each delta\n",
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
    wrong = [where(row) for row in cells.values() if row.peer in (OWN, DELTAS) and not row.correct]
    return {"verdicts": verdicts(cells, whole), "text": lines, "wrong": wrong}


def measure() -> dict[str, list[str]]:
    done = subprocess.run([sys.executable, "-m", "bench.json_report", "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    found = section()
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        print(*found["text"], "", *found["verdicts"], *(f"WRONG ANSWER: {text}" for text in found["wrong"]), sep="\n")
