"""The drop-ins against what they replace, on the longest captures: `python -m bench.compat`.

Both run in one process, in turns; a figure is the median in microseconds of CPU time, with the quartiles. Nothing is
measured before the results are found equal. HTTP is left out: a response is a list of 16 KiB pieces.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import httpx
import httpx2
import httpx_sse as real_httpx_sse
import jiter

from bench.section import Section, table
from millstream.compat import _growing, httpx_sse
from millstream.compat._decoding import make_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from compat.sdks import ACCELERATE, ASK, client, read

CORPUS = Path(os.environ.get("MILLSTREAM_SHARED", ROOT.parent / "shared")) / "corpus"
ROUNDS = 15
WIRES = ("openai-chat", "openai-responses", "anthropic-messages")


def longest(api: str) -> bytes:
    index = [entry for entry in json.loads((CORPUS / "INDEX.json").read_bytes()) if entry["api"] == api]
    return (CORPUS / max(index, key=lambda entry: entry["n_events"])["file"]).read_bytes()


def pieces(body: bytes, size: int = 16_384) -> list[bytes]:
    return [body[i : i + size] for i in range(0, len(body), size)]


def in_turns(*runs: Callable[[], object], rounds: int = ROUNDS) -> list[list[float]]:
    """CPU seconds of each run, run after run, so that what disturbs the machine disturbs all."""
    seconds: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(rounds):
        for run, kept in zip(runs, seconds, strict=True):
            begin = process_time()
            run()
            kept.append(process_time() - begin)
    return seconds


def figure(seconds: list[float], n: int) -> str:
    low, middle, high = (value / n * 1e6 for value in statistics.quantiles(seconds, n=4))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


ROWS: list[list[str]] = []


def row(name: str, n: int, theirs: list[float], ours: list[float]) -> None:
    gain = statistics.median(theirs) / statistics.median(ours)
    ROWS.append([name, figure(theirs, n), figure(ours, n), f"{gain:.2f} x"])
    print(*ROWS[-1], sep="; ", file=sys.stderr, flush=True)


def exhaust(items: Iterator[Any]) -> None:
    for _ in items:
        pass


def sdk(api: str) -> None:
    body = longest(api)
    chunks = pieces(body)
    name, ask = ASK[api]
    plain, fast = client(name, chunks), client(name, chunks)
    ACCELERATE[name](fast)
    expected = read(ask(plain))
    if read(ask(fast)) != expected:
        raise SystemExit(f"{api}: not equal")
    n = len(expected)
    theirs, ours = in_turns(lambda: exhaust(ask(plain)), lambda: exhaust(ask(fast)))
    row(f"{name}, {api}: the whole stream, {n} objects", n, theirs, ours)

    decoders = [plain._make_sse_decoder, fast._make_sse_decoder]
    framing = in_turns(*(lambda make=make: exhaust(make().iter_bytes(iter(chunks))) for make in decoders))
    row("- of this: bytes to SSE events", n, *framing)
    events = [[e for e in make().iter_bytes(iter(chunks)) if e.data and e.data != "[DONE]"] for make in decoders]
    parsing = in_turns(*(lambda some=some: [event.json() for event in some] for some in events))
    row("- of this: JSON to dicts", n, *parsing)
    rest = [[max(0.0, a - b - c) for a, b, c in zip(*three, strict=True)] for three in
            ((theirs, framing[0], parsing[0]), (ours, framing[1], parsing[1]))]  # fmt: skip
    row("- the rest: the SDK's objects, its loop, the request", n, *rest)


def sse() -> None:
    body = longest("openai-chat")
    n = len(make_parser().feed(body))
    for http in (httpx, httpx2):

        class Body(http.SyncByteStream):  # type: ignore[name-defined, misc]
            def __iter__(self) -> Iterator[bytes]:
                yield from pieces(body)

        def run(module: Any, http: Any = http, stream: Any = Body) -> list[Any]:
            answer = http.Response(200, headers={"content-type": "text/event-stream"}, stream=stream())
            return [(event.event, event.data) for event in module.EventSource(answer).iter_sse()]

        if run(real_httpx_sse) != run(httpx_sse):
            raise SystemExit("httpx_sse: not equal")
        row(f"httpx_sse with {http.__name__}, {n} events", n, *in_turns(lambda: run(real_httpx_sse), lambda: run(httpx_sse)))  # fmt: skip  # noqa: E501


def growing(name: str, document: str, size: int, rounds: int) -> None:
    data = document.encode()[:size]
    ends = range(1024, len(data), 16)

    def run(from_json: Callable[..., Any]) -> None:
        for end in ends:
            from_json(data[:end], partial_mode=True)

    for end in ends[:: max(1, len(ends) // 50)]:
        if _growing.from_json(data[:end], partial_mode=True) != jiter.from_json(data[:end], partial_mode=True):
            raise SystemExit("from_json: not equal")
    theirs, ours = in_turns(lambda: run(jiter.from_json), lambda: run(_growing.from_json), rounds=rounds)
    row(f"`.stream()`'s from_json, {name}, {size // 1000} kB in 16-byte deltas, per delta", len(ends), theirs, ours)


def section() -> Section:
    if not CORPUS.is_dir():
        raise SystemExit(f"no recorded answers at {CORPUS}: set MILLSTREAM_SHARED")
    sse()
    for api in WIRES:
        sdk(api)
    code = json.dumps({"path": "a.py", "content": "def f(x):\n    return x + 1\n" * 40_000})
    records = json.dumps([{"id": i, "name": f"name {i}", "ok": True, "score": i / 7} for i in range(20_000)])
    for name, document in (("one long string", code), ("many records", records)):
        growing(name, document, 10_000, 5)
        growing(name, document, 100_000, 3)
    text = [
        "On the longest captures. Both run in one process, in turns; microseconds of CPU time, the median with the",
        "quartiles. Nothing was timed before the results were found equal. HTTP is left out: a response is a list of",
        "16 KiB pieces.",
        "",
        *table(["what", "without, us", "with, us", "gain"], ROWS, " rrr"),
    ]
    return Section(text)


if __name__ == "__main__":
    print(*section().text, sep="\n")
