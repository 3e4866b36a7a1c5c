"""From chunks to `async for`, operators, and events to bytes: ours, the SDK, aiostream, sse-starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import import_module
from time import process_time
from typing import Any

import anyio
import msgspec
import orjson

from millstream.cli.bench._decode import ASKED, alone, mocked
from millstream.cli.bench._load import Load, chat
from millstream.cli.bench._measure import Contender, Group, Work
from millstream.core import SSEParser
from millstream.events import Event, TextDelta
from millstream.protocols import decoder, encoder
from millstream.streams import Stream, stream

__all__ = ["groups"]

EVENTS = 2_000
PER_CHUNK = 50


def groups() -> list[Group]:
    """Return the groups of this file."""
    said = chat(EVENTS)
    chunks = said.groups(PER_CHUNK)
    events: list[Event] = [TextDelta(text) for text in said.texts]
    short = [text.upper() for text in said.texts if len(text) < 5]
    return [
        Group(
            "async",
            f"OpenAI's events, {PER_CHUNK} in a chunk, from chunks to `async for`",
            EVENTS,
            "event",
            lambda: said.texts,
            [
                Contender("millstream", lambda: reading(lambda: stream(Chunks(chunks), said.protocol))),
                Contender("its decoder in a plain loop", lambda: reading(lambda: Decoded(said, chunks))),
                Contender("OpenAI SDK", lambda: openai_sdk(chunks), ("openai", "httpx2"), "openai"),
            ],
        ),
        Group(
            "single",
            "The same, one event in each chunk",
            EVENTS,
            "event",
            lambda: said.texts,
            [
                Contender("millstream", lambda: reading(lambda: stream(Chunks(said.frames), said.protocol))),
                Contender("its decoder in a plain loop", lambda: reading(lambda: Decoded(said, said.frames))),
                Contender("OpenAI SDK", lambda: openai_sdk(said.frames), ("openai", "httpx2"), "openai"),
            ],
        ),
        Group(
            "answer",
            "OpenAI's events, in chunks of 16 KiB, to the answer's whole text",
            EVENTS,
            "event",
            lambda: "".join(said.texts),
            [
                Contender("millstream", lambda: answering(said, ours=True)),
                Contender("its events, joined by hand", lambda: answering(said, ours=False)),
                Contender("orjson.loads alone", lambda: answer_alone(said), package="orjson"),
            ],
        ),
        Group(
            "operators",
            "`map` and `filter`, 64 items in a chunk",
            EVENTS,
            "item",
            lambda: short,
            [
                Contender("millstream", lambda: piped(said.texts)),
                Contender("the same in a bare loop", lambda: bare(said.texts)),
                Contender("aiostream", lambda: aiostream(said.texts, by_hand=False), ("aiostream",), "aiostream"),
                Contender(
                    "aiostream, unpacked by hand",
                    lambda: aiostream(said.texts, by_hand=True),
                    ("aiostream",),
                    "aiostream",
                ),
            ],
        ),
        Group(
            "encode",
            "Typed events to server-sent events",
            EVENTS,
            "event",
            lambda: said.texts,
            [
                Contender("millstream", lambda: encoding(events)),
                Contender("sse-starlette", lambda: sse_starlette(events), ("sse_starlette",), "sse-starlette"),
            ],
        ),
    ]


class Chunks:
    """A body that never has to be waited for."""

    def __init__(self, chunks: Sequence[Any]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Decoded:
    """No stream: the decoder in the loop of whoever reads."""

    def __init__(self, load: Load, chunks: Sequence[bytes]) -> None:
        self._load = load
        self._chunks = chunks

    async def __aenter__(self) -> AsyncIterator[Event]:
        return self._read()

    async def __aexit__(self, *_: object) -> None:
        return None

    async def _read(self) -> AsyncIterator[Event]:
        wire = decoder(self._load.protocol)
        async for chunk in Chunks(self._chunks):
            for event in wire.feed(chunk):
                yield event


def timed(read: Callable[[], Awaitable[object]]) -> float:
    """Return the seconds without the event loop's own beginning and end."""

    async def run() -> float:
        began = process_time()
        await read()
        return process_time() - began

    return anyio.run(run)


def reading(make: Callable[[], Any]) -> Work:
    async def read() -> None:
        async with make() as events:
            async for _ in events:
                pass

    async def collect() -> list[str]:
        async with make() as events:
            return [event.text async for event in events if isinstance(event, TextDelta)]

    return Work(lambda: timed(read), lambda: anyio.run(collect))


def answering(load: Load, *, ours: bool) -> Work:
    """`await stream.text()`, or the same from events, which then have to be made."""
    chunks = load.chunks()

    async def read() -> str:
        if ours:
            return await stream(Chunks(chunks), load.protocol).text()
        async with stream(Chunks(chunks), load.protocol) as events:
            return "".join([event.text async for event in events if isinstance(event, TextDelta)])

    return Work(lambda: timed(read), lambda: anyio.run(read))


def answer_alone(load: Load) -> Work:
    work = alone(load, orjson.loads)
    return Work(work.run, lambda: "".join(work.answer()))


def openai_sdk(chunks: Sequence[bytes]) -> Work:
    http = mocked(chunks, sync=False)
    client = import_module("openai").AsyncOpenAI(
        api_key="none", base_url="http://test", max_retries=0, http_client=http
    )

    def ask() -> Any:
        return client.chat.completions.create(model="m", messages=ASKED, stream=True)

    async def read() -> None:
        async for _ in await ask():
            pass

    async def collect() -> list[str]:
        return [chunk.choices[0].delta.content async for chunk in await ask()]

    return Work(lambda: timed(read), lambda: anyio.run(collect))


def is_short(text: str) -> bool:
    return len(text) < 5


def lists(texts: list[str]) -> list[list[str]]:
    return [texts[at : at + 64] for at in range(0, len(texts), 64)]


def running(steps: Callable[[], Any]) -> Work:
    async def read() -> None:
        async with steps() as items:
            async for _ in items:
                pass

    async def collect() -> list[str]:
        async with steps() as items:
            return [item async for item in items]

    return Work(lambda: timed(read), lambda: anyio.run(collect))


def piped(texts: list[str]) -> Work:
    return running(lambda: Stream.from_batches(Chunks(lists(texts))).filter(is_short).map(str.upper))


def bare(texts: list[str]) -> Work:
    async def read(out: list[str] | None = None) -> list[str]:
        async for batch in Chunks(lists(texts)):
            for text in batch:
                if is_short(text):
                    text = text.upper()
                    if out is not None:
                        out.append(text)
        return out or []

    return Work(lambda: timed(read), lambda: anyio.run(read, []))


def aiostream(texts: list[str], *, by_hand: bool) -> Work:
    module = import_module("aiostream")
    pipe, source = module.pipe, module.stream

    async def unpacked() -> AsyncIterator[str]:
        async for batch in Chunks(lists(texts)):
            for text in batch:
                yield text

    def steps() -> Any:
        if by_hand:
            items = source.iterate(unpacked())
        else:
            items = source.iterate(Chunks(lists(texts))) | pipe.flatmap(source.iterate)
        return (items | pipe.filter(is_short) | pipe.map(str.upper)).stream()

    return running(steps)


def encoding(events: list[Event]) -> Work:
    def run() -> None:
        encode = encoder("millstream.events.v1").encode
        for event in events:
            encode(event)

    def answer() -> list[str]:
        encode = encoder("millstream.events.v1").encode
        return said(b"".join([encode(event) for event in events]))

    return Work(run, answer)


def sse_starlette(events: list[Event]) -> Work:
    kind = import_module("sse_starlette").JSONServerSentEvent

    def encode(event: Event) -> bytes:
        return kind(msgspec.to_builtins(event)).encode()  # type: ignore[no-any-return]

    def run() -> None:
        for event in events:
            encode(event)

    return Work(run, lambda: said(b"".join(map(encode, events))))


def said(body: bytes) -> list[str]:
    """Read encoded events again."""
    return [orjson.loads(one.data)["text"] for one in SSEParser().feed(body)]
