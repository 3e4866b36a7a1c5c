"""Each framing parser as one function: chunks -> list of its own messages.

The same work for each: bytes to a list of decoded messages with event, data and id. Peers run the loop that their own
client runs over a response, without HTTP and in its synchronous form, which is their faster one.
"""

import codecs
from collections.abc import Callable, Sequence

import httpx_sse._decoders
import openai._streaming

from bench.fixtures import Message
from millstream.core import SSEParser

# No limit on this machine's memory: a shape may have one line of 64 MiB.
MAX_EVENT_BYTES = 1 << 30


def millstream(chunks: Sequence[bytes]) -> list:
    parser = SSEParser(max_event_bytes=MAX_EVENT_BYTES)
    out: list = []
    for chunk in chunks:
        out += parser.feed(chunk)
    out += parser.close()
    return out


def httpx_sse_(chunks: Sequence[bytes]) -> list:
    """EventSource.iter_sse over Response.iter_text: httpx decodes with an incremental decoder, errors="replace"."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    lines, events, out = httpx_sse._decoders.SSELineDecoder(), httpx_sse._decoders.SSEDecoder(), []
    for chunk in chunks:
        text = decode(chunk)
        if not text:
            continue  # as httpx does
        for line in lines.decode(text):
            event = events.decode(line.rstrip("\n"))
            if event is not None:
                out.append(event)
    for line in [*lines.decode(decode(b"", True)), *lines.flush()]:
        event = events.decode(line)
        if event is not None:
            out.append(event)
    return out


def openai_(chunks: Sequence[bytes]) -> list:
    return list(openai._streaming.SSEDecoder().iter_bytes(iter(chunks)))


PARSERS: dict[str, Callable[[Sequence[bytes]], list]] = {
    "millstream": millstream,
    "httpx-sse": httpx_sse_,
    "openai": openai_,
}


def normal(messages: list) -> list[Message]:
    """As (event, data, id); openai has None where the standard says "message" and ""."""
    return [(m.event or "message", m.data, m.id or "") for m in messages]
