"""LiteLLM as a source: its chunks -> events.

    async with events(await litellm.acompletion(model="...", messages=[...], stream=True)) as stream: ...

LiteLLM gives all providers the form of OpenAI's chunks, so this is the decoder of that wire. It takes the chunks of the
OpenAI client too, and any others of pydantic in that form. Source: litellm 1.106.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from millstream import protocols
from millstream.events import Event
from millstream.streams import Stream, stream

__all__ = ["events", "iter_events"]

DONE = b"data: [DONE]\n\n"


def events(chunks: AsyncIterable[Any]) -> Stream[Event]:
    """Return the events of one answer.

    Args: chunks: what `await litellm.acompletion(..., stream=True)` gives.
    Returns: a Stream that has opened nothing yet. What LiteLLM raises is raised unchanged.
    Cost: each chunk is written as JSON and read again, 5 to 10 us; LiteLLM itself spends a multiple of that.
    """
    return stream(_abody(chunks), protocols.decoder("openai-chat", provider="litellm"))


def iter_events(chunks: Iterable[Any]) -> Iterator[Event]:
    """Give the events of `litellm.completion(..., stream=True)`, synchronously."""
    return protocols.iter_events(_body(chunks), "openai-chat", provider="litellm")


def _message(chunk: Any) -> bytes:
    text: str = chunk.model_dump_json()
    return b"data: " + text.encode() + b"\n\n"


def _body(chunks: Iterable[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        yield _message(chunk)
    yield DONE


async def _abody(chunks: AsyncIterable[Any]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield _message(chunk)
    yield DONE
