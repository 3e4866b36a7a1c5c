"""A loopback HTTP server that says exactly what a test tells it to say."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from anyio import BrokenResourceError, EndOfStream, Event, create_task_group, create_tcp_listener
from anyio.abc import SocketAttribute, SocketStream

__all__ = ["Httpd", "chunked", "head", "serve"]


class Httpd:
    """What is sent to each connection, and what comes after it: `close`, `reset`, or `hold` until the client leaves."""

    def __init__(self, response: bytes, then: Literal["close", "reset", "hold"]) -> None:
        self.response = response
        self.then = then
        self.url = ""
        self.gone = Event()
        """The client has closed its connection."""
        self.may_reset = Event()

    async def handle(self, client: SocketStream) -> None:
        async with client:
            seen = b""
            while b"\r\n\r\n" not in seen:
                seen += await client.receive()
            try:
                await client.send(self.response)
                if self.then == "reset":
                    await self.may_reset.wait()
                    raw = client.extra(SocketAttribute.raw_socket)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif self.then == "hold":
                    while True:
                        await client.receive()
            except (EndOfStream, BrokenResourceError):
                self.gone.set()


@asynccontextmanager
async def serve(response: bytes, then: Literal["close", "reset", "hold"] = "close") -> AsyncIterator[Httpd]:
    httpd = Httpd(response, then)
    listener = await create_tcp_listener(local_host="127.0.0.1")
    httpd.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
    async with listener, create_task_group() as group:
        group.start_soon(listener.serve, httpd.handle)
        yield httpd
        group.cancel_scope.cancel()


def head(status: int = 200, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} x", "connection: close", *headers, "", ""]).encode()


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")
