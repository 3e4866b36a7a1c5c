"""Each HTTP client as a row: `open` gives what `read` reads, which counts into a `Tally` and returns at the end.

All run on uvloop. httpx2 looks through its whole pool at each request, so one pool of 10,000 would take minutes to
fill: it gets many clients of POOL connections, which is kind to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2

import millstream as ms
from bench.load import wire
from bench.load.generator import stamp

__all__ = ["AIOHTTP", "CLIENTS", "FLOOR", "HTTPX2", "OURS", "OURS_RAW", "Client", "Tally", "by_name"]

POOL = 250
PORTS_PER_ADDRESS = 20_000
LONG_SECONDS = 3600
"""There is a timeout, as everywhere, but rows that wait for their turn may not run into it."""
SAMPLED = 32
"""The delay of one event in so many is looked at."""


class Tally:
    """What one stream has given, in units of its client."""

    __slots__ = ("late", "n")

    def __init__(self, late: list[int] | None = None) -> None:
        self.n = 0
        self.late = late


@dataclass(frozen=True)
class Client:
    """A row. Args: unit: bytes that it counts as one event; 1 if it counts events."""

    name: str
    open: Callable[[int], Any]
    read: Callable[[Any, Tally], Any]
    unit: int


def url(port: int, path: int | str) -> str:
    return f"http://127.0.0.{1 + int(str(path).split('/')[0]) // PORTS_PER_ADDRESS}:{port}/{path}"


# --- the floor --------------------------------------------------------------------------------------------------------


class Wire(asyncio.Protocol):
    """The least that can be done with a socket: count what arrives."""

    __slots__ = ("over", "tally", "transport")

    def __init__(self) -> None:
        self.tally: Tally | None = None
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        tally = self.tally
        if tally is None:
            self.tally = Tally()  # the head
        elif data.endswith(b"0\r\n\r\n"):
            self.over.set_result(None)
        else:
            tally.n += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


@asynccontextmanager
async def open_wire(port: int) -> AsyncIterator[Any]:
    wires: list[Wire] = []

    async def get(path: int | str) -> Wire:
        host = url(port, path).split("/")[2].split(":")[0]
        transport, one = await asyncio.get_running_loop().create_connection(Wire, host, port)
        transport.write(f"GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        wires.append(one)
        while one.tally is None:  # noqa: ASYNC110  # a future for it would be memory
            await asyncio.sleep(0)
        return one

    yield get
    for one in wires:
        one.transport.close()


async def read_wire(one: Wire, tally: Tally) -> None:
    one.tally = tally
    await one.over


# --- the clients ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_httpx2(port: int, transport: Callable[[], Any] | None = None) -> AsyncIterator[Any]:
    clients: list[httpx2.AsyncClient] = []
    n = 0
    async with AsyncExitStack() as stack:

        async def get(path: int | str) -> Any:
            nonlocal n
            if not clients or (transport is None and n % POOL == 0):
                limits = httpx2.Limits(max_connections=None, max_keepalive_connections=POOL)
                options: dict[str, Any] = {"limits": limits, "timeout": LONG_SECONDS, "verify": False}
                one = httpx2.AsyncClient(transport=transport and transport(), trust_env=False, **options)
                clients.append(await stack.enter_async_context(one))
            n += 1
            request = clients[-1].build_request("GET", url(port, path))
            return await clients[-1].send(request, stream=True)

        yield get


def open_ours(port: int) -> Any:
    return open_httpx2(port, lambda: ms.http.Transport(limits=httpx2.Limits()))


@asynccontextmanager
async def open_aiohttp(port: int) -> AsyncIterator[Any]:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=LONG_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def get(path: int | str) -> Any:
            return await session.get(url(port, path))

        yield get


async def count_bytes(chunks: Any, tally: Tally) -> None:
    async for chunk in chunks:
        tally.n += len(chunk)


async def read_httpx2(response: Any, tally: Tally) -> None:
    await count_bytes(response.aiter_bytes(), tally)


async def read_aiohttp(response: Any, tally: Tally) -> None:
    await count_bytes(response.content.iter_any(), tally)


async def read_events(response: Any, tally: Tally) -> None:
    late = tally.late
    async with ms.stream(response, "openai-chat") as events:
        async for one in events:
            if type(one) is ms.TextDelta:
                tally.n += 1
                if late is not None and tally.n % SAMPLED == 0:
                    late.append(stamp() - int(one.text))


FLOOR, AIOHTTP, HTTPX2 = "uvloop protocol, raw bytes", "aiohttp, raw bytes", "httpx2, raw bytes"
OURS_RAW, OURS = "our Transport, raw bytes", "our Transport, ms.stream"
CLIENTS = [
    Client(FLOOR, open_wire, read_wire, wire.CHUNK_BYTES),
    Client(AIOHTTP, open_aiohttp, read_aiohttp, wire.EVENT_BYTES),
    Client(HTTPX2, open_httpx2, read_httpx2, wire.EVENT_BYTES),
    Client(OURS_RAW, open_ours, read_httpx2, wire.EVENT_BYTES),
    Client(OURS, open_ours, read_events, 1),
    Client("aiohttp, ms.stream", open_aiohttp, read_events, 1),
    Client("httpx2, ms.stream", open_httpx2, read_events, 1),
]


def by_name(name: str) -> Client:
    return next(one for one in CLIENTS if one.name == name)
