"""Each framing parser as one function: chunks -> batches of its own messages.

The same work for each: bytes to decoded messages with event, data and id. Peers run in their synchronous form, which is
the faster one, and without HTTP. httpx-sse stands here twice: its decoders in one plain loop, which is the most it can
do (the targets are measured against that), and the generators that its users call.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import httpx_sse
import httpx_sse._decoders
import openai._streaming

from bench.fixtures import Message
from millstream.core import SSEParser

Batches = Iterator[Iterable[Any]]
Parser = Callable[[Sequence[bytes]], Batches]

# The line of 64 MiB in scaling.py is allowed.
MAX_EVENT_BYTES = 1 << 30


def millstream(chunks: Sequence[bytes]) -> Batches:
    parser = SSEParser(max_event_bytes=MAX_EVENT_BYTES)
    for chunk in chunks:
        yield parser.feed(chunk)
    yield parser.close()


class _Response:
    """As much of httpx.Response as EventSource asks for."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.headers = {"content-type": "text/event-stream"}
        self._chunks = chunks

    def iter_text(self) -> Iterator[str]:
        """httpx decodes with an incremental decoder and errors="replace", and leaves out empty texts."""
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        for chunk in self._chunks:
            if text := decode(chunk):
                yield text
        if text := decode(b"", True):
            yield text


def httpx_sse_loop(chunks: Sequence[bytes]) -> Batches:
    lines, decode = httpx_sse._decoders.SSELineDecoder(), httpx_sse._decoders.SSEDecoder().decode
    for text in _Response(chunks).iter_text():
        yield [event for line in lines.decode(text) if (event := decode(line)) is not None]
    yield [event for line in lines.flush() if (event := decode(line)) is not None]


def httpx_sse_iter(chunks: Sequence[bytes]) -> Batches:
    yield httpx_sse.EventSource(_Response(chunks)).iter_sse()  # type: ignore[arg-type]


def openai_iter(chunks: Sequence[bytes]) -> Batches:
    yield openai._streaming.SSEDecoder().iter_bytes(iter(chunks))


PARSERS: dict[str, Parser] = {
    "millstream": millstream,
    "httpx-sse": httpx_sse_loop,
    "httpx-sse, iter_sse": httpx_sse_iter,
    "openai": openai_iter,
}


def drain(batches: Batches) -> None:
    """What a consumer of a stream does: look at each message once, and let go of it."""
    for batch in batches:
        for _ in batch:
            pass


def collect(batches: Batches) -> list[Any]:
    return [message for batch in batches for message in batch]


def normal(messages: list[Any]) -> list[Message]:
    """As (event, data, id); openai has None where the standard says "message" and ""."""
    return [(m.event or "message", m.data, m.id or "") for m in messages]
