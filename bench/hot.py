"""The hottest paths, each as a function that runs it and says how many units came out.

instructions.py counts their instructions, bench_core.py their time. Streams get a clock that stands still, so that they
do the same each time.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from itertools import repeat
from typing import Any

import millstream as ms
from millstream.cli.bench import _load
from millstream.cli.bench._streams import Chunks

EVENTS = 1_000
Run = Callable[[], int]
"""Returns how many units came out."""


def feeding(make: Callable[[], Any], body: bytes) -> Run:
    """A body of whole messages again and again, in chunks that do not end where messages do."""
    parser = make()
    chunks = [body[at : at + _load.CHUNK_BYTES] for at in range(0, len(body), _load.CHUNK_BYTES)]

    def run() -> int:
        feed, n = parser.feed, 0
        for chunk in chunks:
            n += len(feed(chunk))
        return n

    return run


def chat() -> bytes:
    return b"".join(_load.chat(EVENTS).frames[:-1])  # without the end


def decoding(**options: bool) -> Run:
    wire = ms.decoder("openai-chat", **options)
    wire.feed(_load.chat(EVENTS).frames[0])  # gives Start too
    return feeding(lambda: wire, chat())


def text_only() -> Run:
    """What `Stream.text()` asks of a decoder: fewer events, which say the same."""
    wire = ms.decoder("openai-chat")
    wire.feed(b"".join(_load.chat(EVENTS).frames[:3]))
    assert wire._reader is not None
    wire._reader.joins = True
    body, said = chat(), "".join(_load.texts(EVENTS))
    chunks = [body[at : at + _load.CHUNK_BYTES] for at in range(0, len(body), _load.CHUNK_BYTES)]

    def run() -> int:
        feed, found = wire.feed, ""
        for chunk in chunks:
            for event in feed(chunk):
                found += event.text
        return EVENTS * (found == said)

    return run


def ndjson() -> Run:
    return feeding(ms.NDJSONParser, b"\n".join(_load.chat(EVENTS).data) + b"\n")


def json_deltas() -> Run:
    data, _ = _load.document(16 * EVENTS)
    deltas = [data[at : at + 16] for at in range(0, len(data), 16)]

    def run() -> int:
        parser = ms.JSONParser()
        for delta in deltas:
            parser.feed(delta)
        return EVENTS * parser.complete

    return run


def partial_json() -> Run:
    data, _ = _load.document(16 * EVENTS)
    prefixes = [data[:end] for end in range(16, 4_000, 40)]

    def run() -> int:
        return sum(ms.parse_partial_json(prefix) is not None for prefix in prefixes)

    return run


def encode() -> Run:
    events = [ms.TextDelta(text) for text in _load.texts(EVENTS)]

    def run() -> int:
        write = ms.encoder("millstream.events.v1").encode
        return sum(write(event).startswith(b"data: ") for event in events)

    return run


def reading(make: Callable[[], Any]) -> Run:
    loop = asyncio.new_event_loop()

    async def read() -> int:
        stream, n = make(), 0
        stream._now = repeat(0.0).__next__
        async with stream as items:
            async for _ in items:
                n += 1
        return n

    def run() -> int:
        return loop.run_until_complete(read())

    weakref.finalize(run, loop.close)
    return run


def operators() -> Run:
    texts = _load.texts(EVENTS)
    batches = [texts[at : at + 64] for at in range(0, EVENTS, 64)]
    return reading(lambda: ms.Stream.from_batches(Chunks(batches)).filter(bool).map(str.upper))


def delivery(n: int) -> Run:
    chunks = _load.chat(EVENTS).groups(n)
    return reading(lambda: ms.stream(Chunks(chunks), "openai-chat"))


# "slow-path" is what matches no shape; "code-path" what no rule knows either, read by the protocol's own code.
# What each is called, its unit, how many a run has, what makes it. Those with a stream add Start and Finish.
PATHS: dict[str, tuple[str, int, Callable[[], Run]]] = {
    "sse-framing": ("message", EVENTS, lambda: feeding(ms.SSEParser, chat())),
    "ndjson": ("message", EVENTS, ndjson),
    "json-deltas": ("delta", EVENTS, json_deltas),
    "parse-partial-json": ("call", 100, partial_json),
    "shape-hit": ("event", EVENTS, decoding),
    "text-only": ("event", EVENTS, text_only),
    "slow-path": ("event", EVENTS, lambda: decoding(shapes=False)),
    "code-path": ("event", EVENTS, lambda: decoding(shapes=False, rules=False)),
    "map-filter-64-per-chunk": ("item", EVENTS, operators),
    "one-event-per-chunk": ("event", EVENTS + 2, lambda: delivery(1)),
    "50-events-per-chunk": ("event", EVENTS + 2, lambda: delivery(50)),
    "encode-sse": ("event", EVENTS, encode),
}
