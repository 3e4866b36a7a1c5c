"""Bytes to messages and to typed text: ours, the JSON decoders alone, the SSE clients and the official SDKs.

Modules of others are imported when a contender is made. HTTP is left out: a response is a list of chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import msgspec
import orjson

from millstream.cli.bench._load import Load, chat, messages
from millstream.cli.bench._measure import Contender, Group, Work
from millstream.cli.bench._node import eventsource_parser
from millstream.core import SSEParser
from millstream.events import TextDelta
from millstream.protocols import decoder

__all__ = ["groups", "mocked"]

EVENTS = 2_000
HEADERS = {"content-type": "text/event-stream"}
ASKED = [{"role": "user", "content": "hi"}]


def groups() -> list[Group]:
    """Return the groups of this file."""
    said, wired = chat(EVENTS), messages(EVENTS)
    chunks = said.chunks()
    return [
        Group(
            "text",
            "OpenAI's events of 327 bytes, in chunks of 16 KiB, to typed text",
            EVENTS,
            "event",
            lambda: said.texts,
            [
                Contender("millstream", lambda: ours(said, chunks)),
                Contender("millstream, shapes=False", lambda: ours(said, chunks, shapes=False)),
                Contender("orjson.loads alone", lambda: alone(said, orjson.loads), package="orjson"),
                Contender("msgspec typed alone", lambda: typed(said), package="msgspec"),
                Contender("httpx-sse + json.loads", lambda: httpx_sse_json(said), ("httpx_sse", "httpx"), "httpx-sse"),
                Contender("OpenAI SDK", lambda: openai_sdk(said, chunks), ("openai", "httpx2"), "openai"),
            ],
        ),
        Group(
            "one",
            "The same, one event in each chunk",
            EVENTS,
            "event",
            lambda: said.texts,
            [
                Contender("millstream", lambda: ours(said, said.frames)),
                Contender("millstream, shapes=False", lambda: ours(said, said.frames, shapes=False)),
                Contender("orjson.loads alone", lambda: alone(said, orjson.loads), package="orjson"),
                Contender("OpenAI SDK", lambda: openai_sdk(said, said.frames), ("openai", "httpx2"), "openai"),
            ],
        ),
        Group(
            "anthropic",
            "Anthropic's events, in chunks of 16 KiB, to typed text",
            EVENTS,
            "event",
            lambda: wired.texts,
            [
                Contender("millstream", lambda: ours(wired, wired.chunks())),
                Contender("millstream, shapes=False", lambda: ours(wired, wired.chunks(), shapes=False)),
                Contender("orjson.loads alone", lambda: alone(wired, orjson.loads), package="orjson"),
                Contender("Anthropic SDK", lambda: anthropic_sdk(wired), ("anthropic", "httpx2"), "anthropic"),
            ],
        ),
        Group(
            "framing",
            "OpenAI's events, in chunks of 16 KiB, to messages",
            EVENTS + 1,
            "message",
            lambda: framed(said),
            [
                Contender("millstream", lambda: parser(chunks)),
                Contender("httpx-sse", lambda: httpx_sse(chunks), ("httpx_sse", "httpx"), "httpx-sse"),
                Contender("httpx2's SSE", lambda: httpx2_sse(chunks), ("httpx2",), "httpx2"),
                Contender("OpenAI's decoder", lambda: sdk_decoder("openai", chunks), ("openai",), "openai"),
                Contender("Anthropic's decoder", lambda: sdk_decoder("anthropic", chunks), ("anthropic",), "anthropic"),
                eventsource_parser(chunks),
            ],
        ),
    ]


def exhaust(items: Iterable[Any]) -> None:
    for _ in items:
        pass


def framed(load: Load) -> list[tuple[str, str]]:
    data = [*(one.decode() for one in load.data), "[DONE]"]
    return [(type or "message", one) for type, one in zip(load.types, data, strict=True)]


# --- to typed text ---


def ours(load: Load, chunks: Sequence[bytes], **options: bool) -> Work:
    """A decoder for the whole stream, which is dropped with it: what it learns is learned each time."""

    def run() -> None:
        feed = decoder(load.protocol, **options).feed
        for chunk in chunks:
            feed(chunk)

    def answer() -> list[str]:
        wire = decoder(load.protocol, **options)
        events = [event for chunk in chunks for event in wire.feed(chunk)] + wire.close()
        return [event.text for event in events if isinstance(event, TextDelta)]

    return Work(run, answer)


def alone(load: Load, loads: Callable[[bytes], Any]) -> Work:
    """Each message by itself, cut out beforehand."""

    def run() -> None:
        for data in load.data:
            loads(data)

    def answer() -> list[str]:
        return list(filter(None, map(text_of, map(loads, load.data))))

    return Work(run, answer)


def text_of(value: dict[str, Any]) -> str:
    if "choices" in value:
        return str(value["choices"][0]["delta"].get("content") or "")
    return str(value.get("delta", {}).get("text", ""))


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


def typed(load: Load) -> Work:
    decode = msgspec.json.Decoder(_Chunk).decode

    def run() -> None:
        for data in load.data:
            decode(data)

    return Work(run, lambda: [decode(data).choices[0].delta.content for data in load.data])


def httpx_sse_json(load: Load) -> Work:
    loads = import_module("json").loads
    sources = _httpx_sse(load.chunks())

    def items() -> Iterator[Any]:
        for event in sources():
            if event.data != "[DONE]":
                yield loads(event.data)

    return Work(lambda: exhaust(items()), lambda: [text_of(value) for value in items()])


def mocked(chunks: Sequence[bytes], *, sync: bool = True) -> Any:
    """A client of httpx2 that is answered with these bytes, without a network."""
    httpx2 = import_module("httpx2")
    stream = _body(httpx2, chunks)

    def reply(request: Any) -> Any:
        return httpx2.Response(200, headers=HEADERS, stream=stream(), request=request)

    kind = httpx2.Client if sync else httpx2.AsyncClient
    return kind(transport=httpx2.MockTransport(reply))


def _body(http: Any, chunks: Sequence[bytes]) -> Any:
    class Body(http.SyncByteStream, http.AsyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield from chunks

        async def __aiter__(self) -> Any:
            for chunk in chunks:
                yield chunk

    return Body


def openai_sdk(load: Load, chunks: Sequence[bytes]) -> Work:
    http = mocked(chunks)
    client = import_module("openai").OpenAI(api_key="none", base_url="http://test", max_retries=0, http_client=http)

    def ask() -> Any:
        return client.chat.completions.create(model="m", messages=ASKED, stream=True)

    return Work(lambda: exhaust(ask()), lambda: [chunk.choices[0].delta.content for chunk in ask()], client.close)


def anthropic_sdk(load: Load) -> Work:
    http = mocked(load.chunks())
    client = import_module("anthropic").Anthropic(
        api_key="none", base_url="http://test", max_retries=0, http_client=http
    )

    def ask() -> Any:
        return client.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)

    return Work(
        lambda: exhaust(ask()),
        lambda: [event.delta.text for event in ask() if event.type == "content_block_delta"],
        client.close,
    )


# --- to messages ---


def parser(chunks: Sequence[bytes]) -> Work:
    def run() -> None:
        feed = SSEParser().feed
        for chunk in chunks:
            exhaust(feed(chunk))

    return Work(run, lambda: [(one.event, one.data) for one in SSEParser().feed(b"".join(chunks))])


def pulled(items: Callable[[], Iterable[Any]]) -> Work:
    return Work(lambda: exhaust(items()), lambda: [(one.event or "message", one.data) for one in items()])


def _httpx_sse(chunks: Sequence[bytes]) -> Callable[[], Iterator[Any]]:
    httpx, source = import_module("httpx"), import_module("httpx_sse").EventSource
    stream = _body(httpx, chunks)
    return lambda: source(httpx.Response(200, headers=HEADERS, stream=stream())).iter_sse()


def httpx_sse(chunks: Sequence[bytes]) -> Work:
    return pulled(_httpx_sse(chunks))


def httpx2_sse(chunks: Sequence[bytes]) -> Work:
    httpx2 = import_module("httpx2")
    stream, request = _body(httpx2, chunks), httpx2.Request("GET", "http://test")
    return pulled(lambda: httpx2.EventSource(httpx2.Response(200, headers=HEADERS, stream=stream(), request=request)))


def sdk_decoder(name: str, chunks: Sequence[bytes]) -> Work:
    make = import_module(f"{name}._streaming").SSEDecoder
    return pulled(lambda: make().iter_bytes(iter(chunks)))
