"""One answer asked for through each layer over real HTTP: `millstream.stream` over a client, and a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import httpx2

import millstream as ms
from faults.invariants import Seen, read
from millstream.server.replay import RECORDING_HEADER
from millstream.streams import Stream
from providers.live import KEY

__all__ = ["LAYERS", "Layer", "Served", "by_provider", "by_stream", "over"]

QUICK = ms.Timeouts(first=15.0, idle=15.0, progress=15.0, total=30.0)
"""Long enough for what goes well, so that a test that should not wait does not."""


TLS = httpx2.create_ssl_context()  # reading the certificates takes 20 ms, which each client would do anew


@dataclass
class Served:
    """A recording behind a server on `port`. Attributes: truth: its events."""

    name: str
    api: str
    endpoint: str
    body: bytes
    port: int

    @cached_property
    def truth(self) -> list[Any]:
        decoder = ms.decoder(self.api)
        return [*decoder.feed(self.body), *decoder.close()]


def asked(served: Served) -> dict[str, str]:
    """Headers: which recording, and a connection of its own, which the proxy can hurt."""
    return {RECORDING_HEADER: served.name, "connection": "close"}


Layer = Callable[..., Any]


@asynccontextmanager
async def by_stream(
    url: str, served: Served, timeouts: ms.Timeouts | None = QUICK, http: Any = httpx2, **options: Any
) -> AsyncIterator[Stream[Any]]:
    """`millstream.stream` over a response of httpx2 (or httpx)."""
    headers = {**asked(served), "authorization": f"Bearer {KEY}", **options.pop("headers", {})}
    async with http.AsyncClient(trust_env=False, verify=TLS, timeout=options.pop("http_timeout", 5.0)) as client:
        answer = client.stream("POST", url + served.endpoint, headers=headers, content=b"{}")
        stream = ms.stream(answer, served.api, provider="acme", **options)
        yield stream.timeout(timeouts) if timeouts else stream


@asynccontextmanager
async def by_httpx(url: str, served: Served, timeouts: ms.Timeouts | None = QUICK, **options: Any) -> Any:
    """The same with httpx."""
    async with by_stream(url, served, timeouts, http=httpx, **options) as stream:
        yield stream


@asynccontextmanager
async def by_provider(
    url: str, served: Served, timeouts: ms.Timeouts | None = QUICK, **options: Any
) -> AsyncIterator[Stream[Any]]:
    """A provider, with the client that all of them share."""
    kind, base = ("anthropic", "") if served.api == "anthropic-messages" else ("openai", "/v1")
    options = {"retry": None, "headers": asked(served), **options}
    model = ms.provider(f"{kind}:m", base_url=url + base, api_key=KEY, timeouts=timeouts, **options)
    yield model.stream_text("hi")


LAYERS: dict[str, Layer] = {"stream": by_stream, "provider": by_provider}


async def over(layer: Layer, url: str, served: Served, *args: Any, **options: Any) -> Seen:
    """Ask and read to the end."""
    async with layer(url, served, *args, **options) as stream:
        return await read(stream)
