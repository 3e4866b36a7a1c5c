"""Which plots are made of the results, into docs/images/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.plot import Dot, Line, dots, lines
from bench.section import figure

FLOORS = ("orjson.loads alone", "msgspec typed alone", "the same in a bare loop", "its decoder in a plain loop")


def draw(data: dict[str, Any], folder: Path) -> None:
    """Write the plots whose sections were measured."""
    folder.mkdir(exist_ok=True)
    made: dict[str, str] = {}
    if core := data.get("core"):
        made["decode"] = dots(
            "From bytes to typed text: CPU per event",
            "OpenAI's events of 327 bytes, in chunks of 16 KiB. Grey: decoders of JSON that get each message cut out.",
            rows(core["text"]),
            "ns per event, less is better",
        )
        made["framing"] = dots(
            "Server-sent events to messages: CPU per message",
            "The same events; no JSON is decoded.",
            rows(core["framing"]),
            "ns per message, less is better",
        )
    if found := data.get("json"):
        shape = "many records"
        kinds = dict(zip(found, ("own", "own", "peer", "other", "fourth", "fifth", "floor", "peer"), strict=False))
        kept = [name for name in found if name != "millstream, with deltas"]
        made["json"] = lines(
            "JSON that grows: CPU per byte, by the length of the document",
            "Many records in deltas of 16 bytes; the value is read after each. Some points are estimates (RESULTS.md).",
            [Line(name, [(x, y) for x, y in found[name][shape]], kinds[name]) for name in kept],
            "bytes in the document",
            "ns per byte",
        )
    if found := data.get("streams"):
        names = {
            "map + filter": "millstream",
            "bare loop: map + filter": "the same in a bare loop",
            "aiostream, unpacked: map + filter": "aiostream, unpacked by hand",
            "aiostream: map + filter": "aiostream",
            "anyio memory streams: map + filter": "anyio memory streams by hand",
        }
        made["streams"] = dots(
            "map + filter, 64 items in a chunk: CPU per item",
            "Grey: a loop without any pipeline.",
            [Dot(shown, found[name][1] * 1e3, ns(found[name][1] * 1e3), kind(shown)) for name, shown in names.items()],
            "ns per item, less is better",
        )
    if found := data.get("transport"):
        ten = {name.split("; ")[0]: us * 1e3 for name, us in found["times"].items() if name.endswith("; 10")}
        made["socket"] = dots(
            "From a loopback socket to async for: CPU per event",
            "Ten events of 327 bytes in each read, each its own HTTP chunk, as providers send them.",
            [
                Dot(name, value, ns(value), "own" if name.startswith("Transport, ms") else kind(name))
                for name, value in sorted(ten.items(), key=lambda item: item[1])
            ],
            "ns per event, less is better",
        )
    if found := data.get("shapes"):
        made["captures"] = dots(
            "Whole recorded answers to typed events, against orjson.loads alone",
            "All recordings of each wire, from the first byte; what is left of 1 is cheaper than decoding the JSON.",
            [
                Dot(row["api"], row["shapes"], f"{row['shapes']:.2f} x", "own")
                for row in sorted(found["apis"], key=lambda row: row["shapes"])
            ],
            "times orjson.loads alone, less is better",
        )
    for name, svg in made.items():
        (folder / f"bench_{name}.svg").write_text(svg, encoding="utf-8")


def rows(group: dict[str, Any]) -> list[Dot]:
    return [
        Dot(row["name"], row["ns"], ns(row["ns"]), kind(row["name"]))
        for row in sorted(group["rows"], key=lambda row: row["ns"])
    ]


def kind(name: str) -> str:
    if name.startswith("millstream"):
        return "own"
    return "floor" if name in FLOORS or "raw bytes" in name else "peer"


def ns(value: float) -> str:
    return f"{figure(value)} ns" if value < 10_000 else f"{figure(value / 1000)} us"
