"""The official clients, answered with given bytes: what they make of them, object for object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai

from millstream.compat import anthropic as compat_anthropic
from millstream.compat import openai as compat_openai

ACCELERATE = {"openai": compat_openai.accelerate, "anthropic": compat_anthropic.accelerate}
SDKS = {"openai": openai, "anthropic": anthropic}
MESSAGES = [{"role": "user", "content": "hi"}]

# The corpus' name of a wire -> the client that reads it, and how it is asked.
ASK: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "openai-chat": ("openai", lambda c: c.chat.completions.create(model="m", messages=MESSAGES, stream=True)),
    "openai-completions": ("openai", lambda c: c.completions.create(model="m", prompt="hi", stream=True)),
    "openai-responses": ("openai", lambda c: c.responses.create(model="m", input="hi", stream=True)),
    "anthropic-messages": (
        "anthropic",
        lambda c: c.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True),
    ),
}
CHAT = ("openai-compatible", "openrouter", "deepseek", "groq", "azure-openai-chat")
ASK |= dict.fromkeys(CHAT, ASK["openai-chat"])


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def client(sdk: str, pieces: list[bytes], *, sync: bool = True) -> Any:
    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Body(pieces), request=request)

    transport = httpx2.MockTransport(answer)
    kind = getattr(SDKS[sdk], {"openai": "OpenAI", "anthropic": "Anthropic"}[sdk] if sync else ASYNC[sdk])
    http = httpx2.Client(transport=transport) if sync else httpx2.AsyncClient(transport=transport)
    return kind(api_key="k", base_url="http://test", max_retries=0, http_client=http)


ASYNC = {"openai": "AsyncOpenAI", "anthropic": "AsyncAnthropic"}


def said(error: Exception) -> tuple[Any, ...]:
    return (type(error), str(error), getattr(error, "body", None))


def read(stream: Iterator[Any]) -> list[Any]:
    """All objects of a stream, and at the end what it raised, if anything."""
    out: list[Any] = []
    try:
        out.extend(map(shown, stream))
    except Exception as error:
        out.append(said(error))
    return out


async def aread(stream: Awaitable[AsyncIterator[Any]]) -> list[Any]:
    out: list[Any] = []
    try:
        async for item in await stream:
            out.append(shown(item))
    except Exception as error:
        out.append(said(error))
    return out


def shown(item: Any) -> tuple[Any, ...]:
    """The type, and all that it holds: fields that the SDK does not know too, and which were set."""
    return (type(item), repr(item), sorted(item.model_fields_set))
