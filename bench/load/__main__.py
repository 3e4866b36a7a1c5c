"""`python -m bench.load`: all of it, in minutes; the words of `--only` choose parts.

The rows of a table hold their streams open at the same time and take turns, so that a busy machine is busy for all.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from typing import Any

import uvloop

from bench.load import machine
from bench.load.clients import AIOHTTP, CLIENTS, FLOOR, HTTPX2, OURS, OURS_RAW
from bench.load.consumer import Consumer
from bench.load.reader import Served
from bench.load.report import RESULTS, environment, markdown, middle, percentile, spread
from bench.load.served import BARE, KINDS, OTHER
from bench.load.served import OURS as OURS_SERVED

TURNS = 5
RATE_SECONDS = 4.0
BUDGET_MIB = 256
OVERLOAD_EVENTS = 50
"""Events per write at 200 %: the generator cannot write oftener."""
MIB = 1 << 20


def verdict(name: str, wanted: str, got: float, met: bool, unit: str = "") -> list[str]:
    return [name, wanted, f"{got:,.2f}{unit}" if got < 100 else f"{got:,.0f}{unit}", "met" if met else "**not met**"]


# --- clients ----------------------------------------------------------------------------------------------------------


def clients(n: int, turns: int, nice: int) -> tuple[list[str], list[list[str]]]:
    """Memory and CPU of every client; returns the text and the verdicts."""
    rows = [Consumer(client, n, nice) for client in CLIENTS]
    names = [row.client.name for row in rows]
    opened, one, ten, frozen = {}, *({name: [] for name in names} for _ in range(3))
    try:
        for row in rows:
            opened[row.client.name] = row.ask("open", n)
            tell(f"{row.client.name}: {opened[row.client.name]['bytes'] / 1024:.1f} KiB per stream")
        for turn in range(turns):
            for row in rows:
                one[row.client.name] += row.ask("rounds", 1, 2)
                ten[row.client.name] += row.ask("rounds", 10, 2)
            tell(f"turn {turn + 1} of {turns}")
        for row in rows:
            row.ask("freeze")
        for _ in range(turns):
            for row in rows:
                frozen[row.client.name] += row.ask("rounds", 1, 2)
    finally:
        for row in rows:
            row.close()
    kib = {name: opened[name]["bytes"] / 1024 for name in names}
    head = ["client", "KiB per stream", "us CPU per event, 1 per read", "the same after `gc.freeze()`", "10 per read"]
    head.append("us CPU to open")
    cells = []
    for name in names:
        cells.append([name, f"{kib[name]:.1f}", *(spread(row[name], 1e6) for row in (one, frozen, ten))])
        cells[-1].append(f"{opened[name]['cpu'] * 1e6:.0f}")
    above = kib[OURS] - kib[OURS_RAW]
    per_s = {1: 1 / middle(one[OURS]), 10: 1 / middle(ten[OURS])}
    calm = 1 / middle(frozen[OURS])
    floor = {1: middle(one[OURS]) / middle(one[FLOOR]), 10: middle(ten[OURS]) / middle(ten[FLOOR])}
    text = [f"{n:,} streams of one process, {turns} turns of two rounds; CPU of the process, user and system.", ""]
    text += markdown(head, cells)
    text += ["", f"`ms.stream` takes {floor[1]:.1f} times the CPU of the bare protocol with one event per read,"]
    text += [f"{floor[10]:.1f} times with ten; the bare protocol parses nothing."]
    verdicts = [
        verdict("memory per stream above the transport", "<= 8 KiB", above, above <= 8, " KiB"),
        verdict("typed events/s per core, 1 per read", ">= 100,000", per_s[1], per_s[1] >= 1e5),
        verdict("the same after `gc.freeze()`", ">= 100,000", calm, calm >= 1e5),
        verdict("typed events/s per core, 10 per read", ">= 500,000", per_s[10], per_s[10] >= 5e5),
    ]
    for other in (AIOHTTP, HTTPX2):
        ratio = middle(one[OURS]) / middle(one[other])
        verdicts.append(verdict(f"CPU with events, 1 per read, to that of {other}", "<= 1.2", ratio, ratio <= 1.2))
    return text, verdicts


def load(n: int, nice: int) -> tuple[list[str], list[list[str]]]:
    """Each client alone: at 70 % of what it can do one event per read, then at 200 % of what it can do."""
    rows, verdicts = [], []
    for client in (one for one in CLIENTS if one.name in (FLOOR, AIOHTTP, OURS_RAW, OURS)):
        row = Consumer(client, n, nice)
        try:
            row.ask("open", n)
            row.ask("freeze")
            most = 1 / middle(row.ask("rounds", 1, 4))
            calm = row.ask("rate", 0.7 * most, 1, RATE_SECONDS)
            most = 1 / middle(row.ask("rounds", OVERLOAD_EVENTS, 4))
            found = row.ask("rate", 2 * most / OVERLOAD_EVENTS, OVERLOAD_EVENTS, RATE_SECONDS / 2)
            peak = found["came"] / found["cpu"]  # reads that come together make it more than the rounds tell
            over = row.ask("rate", 2 * peak / OVERLOAD_EVENTS, OVERLOAD_EVENTS, RATE_SECONDS)
        finally:
            row.close()
        lag, own = percentile(calm["lags"], 0.99) * 1e3, percentile(calm["delays"], 0.99) * 1e3
        kept, mib = over["came"] / over["cpu"] / peak, over["peak"] / MIB
        offered = over["sent"] / over["seconds"] / peak
        cells = [client.name, f"{calm['sent'] / calm['seconds']:,.0f}", f"{percentile(calm['lags'], 0.5) * 1e3:.1f}"]
        cells += [f"{lag:.1f}", f"{own:.1f}", delay(calm, 0.5), delay(calm, 0.99), f"{offered:.0%}", f"{kept:.0%}"]
        cells += [f"{mib:.0f}", f"{max(over['lags']) * 1e3:.0f}", f"{over['starved']:.1f}"]
        rows.append(cells)
        tell(" | ".join(cells))
        if client.name == OURS:
            silence = over["starved"]
            verdicts = [
                verdict("p99 of loop lag at 70 %, less the waiting for the CPU", "<= 20 ms", own, own <= 20, " ms"),
                verdict("memory at 200 %", f"<= {BUDGET_MIB} MiB", mib, mib <= BUDGET_MIB, " MiB"),
                verdict("events per CPU second at 200 %, to the peak", ">= 0.9", kept, kept >= 0.9),
                verdict("longest silence of a stream at 200 %", "<= 2 s", silence, silence <= 2, " s"),
            ]
    head = ["client", "events/s at 70 %", "lag p50, ms", "p99", "p99 less the waiting for the CPU", "delay p50, ms"]
    head += ["p99", "offered", "done per CPU second, of the peak", "memory grew by, MiB", "longest lag, ms"]
    head += ["longest silence, s"]
    text = [f"{n:,} streams, each client alone, `gc.freeze()` called when they were open (docs/howto/tune.md):"]
    text += [f"{RATE_SECONDS:g} s at 70 % with one event per write, then as long at"]
    text += [
        f"200 % with {OVERLOAD_EVENTS}. Lag: how much later than asked a sleep of 5 ms ends; delay: from the write"
    ]
    text += ["to the `async for`. Nothing was lost, also at 200 %: what is not read stays with the server."]
    return [*text, "", *markdown(head, rows)], verdicts


def delay(found: dict[str, Any], part: float) -> str:
    return f"{percentile(found['late'], part) / 1e3:.1f}" if found["late"] else ""


# --- served -----------------------------------------------------------------------------------------------------------


async def serve(n: int, turns: int, nice: int) -> tuple[list[str], list[list[str]]]:
    """Responses of one process to so many readers."""
    machine.pin(machine.CLIENT_CPU, nice)
    machine.open_files(n * len(KINDS))
    rows = [Served(kind, n, nice) for kind in KINDS]
    kib, spent = {}, {kind: [] for kind in KINDS}
    try:
        for row in rows:
            kib[row.kind] = await row.open(n) / 1024
            tell(f"{row.kind}: {kib[row.kind]:.1f} KiB per stream")
        for _ in range(turns):
            for row in rows:
                spent[row.kind] += await row.rounds(3)
    finally:
        for row in rows:
            row.close()
    table = markdown(
        ["served by", "KiB per stream", "us CPU per event", "events per CPU second"],
        [[kind, f"{kib[kind]:.1f}", spread(spent[kind], 1e6), f"{1 / middle(spent[kind]):,.0f}"] for kind in KINDS],
    )
    memory, speed = kib[OURS_SERVED] / kib[BARE], middle(spent[OTHER]) / middle(spent[OURS_SERVED])
    most = middle(spent[OTHER]) / middle(spent[BARE])
    text = [f"{n:,} responses of one uvicorn (uvloop, httptools), one event for each at a time, so a message for each:"]
    text += ["", *table, "", f"Starlette's bare response, which encodes nothing, makes {most:.2f} times the events of"]
    text += ["sse-starlette: so much of the cost is uvicorn's."]
    return text, [
        verdict("memory of a response, to Starlette's bare one", "<= 1.1", memory, memory <= 1.1),
        verdict("events per CPU second, to sse-starlette", ">= 2", speed, speed >= 2),
    ]


# --- all --------------------------------------------------------------------------------------------------------------


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def alone(*words: object) -> str:
    command = [sys.executable, "-m", "bench.load.soak", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--served", type=int, default=5_000)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--soak", type=int, default=1_000_000, help="events; 100000000 for the long form")
    parser.add_argument("--churn", type=int, default=5_000, help="short streams")
    parser.add_argument("--nice", type=int, default=0, help="priority of what is measured, on a machine that is busy")
    parser.add_argument("--only", default="clients,load,served,soak,churn")
    parser.add_argument("--report", action="store_true", help="write bench/RESULTS_LOAD.md")
    options = parser.parse_args()
    parts = options.only.split(",")
    n = machine.open_files(options.streams)
    if n < options.streams:
        tell(f"the limit of open files allows {n:,} streams in place of {options.streams:,}")
    lines, verdicts = environment(n, options.nice), []
    for name, run in {
        "clients": lambda: clients(n, options.turns, options.nice),
        "load": lambda: load(n, options.nice),
        "served": lambda: asyncio.run(serve(options.served, options.turns, options.nice)),
    }.items():
        if name in parts:
            text, found = run()
            lines += ["", f"**{HEADS[name]}**", "", *text]
            verdicts += found
    if "soak" in parts or "churn" in parts:
        lines += ["", "**Nothing lost, nothing foreign, nothing left**", ""]
    if "soak" in parts:
        lines.append("- " + alone("soak", min(n, 1000), options.soak))
    if "churn" in parts:
        lines.append("- " + alone("churn", 50, options.churn))
    lines += ["", *markdown(["target", "wanted", "measured", ""], verdicts)]
    print("\n".join(lines))
    if options.report:
        head = ["# Thousands of streams at once", "", "Made by `make load`; what is measured how: `bench/load/`.", ""]
        head[2] += " Notes: [performance](../docs/topics/performance.md)."
        RESULTS.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


HEADS = {"clients": "What a stream and an event cost", "load": "At 70 % and at 200 %", "served": "Served"}

if __name__ == "__main__":
    uvloop.install()
    main()
