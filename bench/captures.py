"""The section on shapes: recorded answers of every wire, from the first byte to the last. bench_shapes.py measures."""

from __future__ import annotations

import sys

from bench import bench_shapes
from bench.section import Section, figure, table

ROUNDS = 9
# Wires on which deltas are many and alike, as in a chat.
CHAT = ("groq", "openai-compatible", "cohere-v2", "openrouter", "azure-openai-chat", "ollama-chat", "openai-chat")


def section() -> Section:
    if not bench_shapes.CORPUS.is_dir():
        raise SystemExit(f"no recorded answers at {bench_shapes.CORPUS}: set MILLSTREAM_SHARED")
    found = bench_shapes.captures()
    print("captures ...", file=sys.stderr, flush=True)
    runs, apis = bench_shapes.steady(found["openai-chat"], ROUNDS), bench_shapes.by_api(found, ROUNDS)
    steady = [[name, figure(ns), f"{part:.3f}"] for name, (ns, part) in runs.items()]
    wires = [
        [
            row["api"],
            f"{row['captures']}",
            f"{row['messages']:,}",
            f"{row['hits']:.1%}",
            f"{row['hits of pure']:.1%}",
            f"{row['shapes']:.2f}",
            f"{row['slow']:.2f}",
        ]
        for row in apis
    ]
    head = ["wire", "recordings", "messages", "hits", "of pure deltas", "times orjson alone", "shapes=False"]
    text = [
        "CPU time, the least of the rounds, as multiples of `orjson.loads` on the same messages in the same run.",
        "OpenAI's events with the texts of recorded answers, all of them hits:",
        "",
        *table(["events of 327 bytes", "ns", "times orjson alone"], steady, " rr"),
        "\nWhole recorded answers, each with a new decoder that is closed at the end; events with shapes and without",
        "were found equal:\n",
        *table(head, wires, " rrrrrr"),
    ]
    out = Section(text, data={"apis": apis, "steady": runs})
    out.at_most("OpenAI's events, 16 KiB chunks, all hits", 0.10, runs["16 KiB chunks"][1], aim=0.06)
    out.at_most("one event per chunk, all hits", 0.18, runs["one event per chunk"][1], aim=0.12)
    out.at_most("text only, 16 KiB chunks, all hits", 0.05, runs["text only, 16 KiB chunks"][1], aim=0.03)
    worst = max(apis, key=lambda row: row["shapes"])
    out.at_most(f"whole recordings, worst wire ({worst['api']})", 1.0, worst["shapes"], aim=0.6)
    chat = max((row for row in apis if row["api"] in CHAT), key=lambda row: row["shapes"])
    out.at_most(f"whole recordings, worst of the chat-like wires ({chat['api']})", 0.4, chat["shapes"], aim=0.2)
    hits = sum(row["hits"] * row["messages"] for row in apis)
    pure = sum(row["hits"] * row["messages"] / max(row["hits of pure"], 1e-9) for row in apis)
    out.at_least("hits of pure deltas, all recordings", 97, 100 * hits / pure, unit=" %", aim=98.5)
    slow = max(apis, key=lambda row: row["slow"])
    out.at_most(f"without shapes, worst wire ({slow['api']})", 1.5, slow["slow"])
    return out
