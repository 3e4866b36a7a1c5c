"""The section on the core: the groups of `millstream bench`, with all peers, for longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.section import Section, figure, table
from millstream.cli.bench import as_dict, groups
from millstream.cli.bench._measure import Outcome, measure

SECONDS = 8.0  # for each group
JS = Path(__file__).resolve().parents[1] / "tests" / "js"

# Of issue 7: group, peer, gate and aim in times ours.
RATIOS = [
    ("text", "OpenAI SDK", 500, 1000),
    ("anthropic", "Anthropic SDK", 150, 300),
    ("framing", "httpx-sse", 15, 25),
]
# Against orjson alone: group, gate and aim in parts of its time.
PARTS = [("text", 0.10, 0.06), ("one", 0.18, 0.12)]


def section() -> Section:
    os.environ.setdefault("MILLSTREAM_NODE_MODULES", str(JS))
    outcomes: dict[str, Outcome] = {}
    for group in groups():
        print(f"{group.name} ...", file=sys.stderr, flush=True)
        outcomes[group.name] = measure(group, SECONDS)
    text = [
        "What `millstream bench` shows, with more rounds. Parsers take turns; CPU time; medians, and the median of the",
        "ratios within the rounds with the middle half of them. The texts are those of recorded streams, in a random",
        "order. Each row gave the right answer before it was timed.",
    ]
    out = Section(text)
    for one in outcomes.values():
        text += [f"\n### {one.group.title}\n", *lines(one)]
        text += [f"\nWithout {name}: not installed: {needs}." for name, needs in one.missing.items()]
        out.wrong += [f"{one.group.name}, {row.name}" for row in one.rows if not row.correct]
        out.wrong += [f"{one.group.name}: no {name}" for name in one.missing if os.environ.get("CI")]
    for name, gate, aim in PARTS:
        part = 1 / outcomes[name].row("orjson.loads alone").ratio
        out.at_most(f"{outcomes[name].group.title}, against orjson.loads alone", gate, part, aim=aim)
    for name, peer, gate, aim in RATIOS:
        out.at_least(f"{outcomes[name].group.title}, against {peer}", gate, outcomes[name].row(peer).ratio, aim=aim)
    out.data = {name: as_dict(one) for name, one in outcomes.items()}
    return out


def lines(one: Outcome) -> list[str]:
    rows = []
    for shown in as_dict(one)["rows"]:
        low, high = shown["spread"]
        own = shown["name"] == "millstream"
        name = " ".join(filter(None, [shown["name"], shown["version"]]))
        spread = "" if own else f"{figure(low)} to {figure(high)}"
        rows.append(
            [name, "yes" if shown["correct"] else "**no**", figure(shown["ns"]), figure(shown["times"]), spread]
        )
    head = ["", "correct", f"ns per {one.group.unit}", "times millstream", "middle half"]
    return table(head, rows, "  rr")
