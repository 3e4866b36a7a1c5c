"""A connected socket for asyncio: the addresses of a host are tried in turn, the next one when the last one is slow.

asyncio's own race loses a socket that connects while it is cancelled, and uvloop has none. Source: RFC 8305.
"""

from __future__ import annotations

import asyncio
import socket
from itertools import chain, zip_longest
from typing import Any

import anyio

__all__ = ["dial"]

NEXT_SECONDS = 0.25


async def dial(loop: asyncio.AbstractEventLoop, host: str, port: int, local: str | None) -> socket.socket:
    """Return a socket. Raises: OSError: no address answered, or there is none."""
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    first = [info for info in infos if info[0] == infos[0][0]]
    rest = [info for info in infos if info[0] != infos[0][0]]
    infos = [info for info in chain.from_iterable(zip_longest(first, rest)) if info is not None]
    if len(infos) == 1:
        return await _connect(loop, infos[0], local)
    found: list[socket.socket] = []
    errors: list[str] = []

    async def attempt(info: Any, failed: anyio.Event) -> None:
        try:
            sock = await _connect(loop, info, local)
        except OSError as error:
            errors.append(str(error))
            failed.set()
        else:
            found.append(sock)
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for info in infos:
                failed = anyio.Event()
                tasks.start_soon(attempt, info, failed)
                with anyio.move_on_after(NEXT_SECONDS):
                    await failed.wait()
    except BaseException:
        _close(found)
        raise
    return _one_of(found, errors)


def _one_of(found: list[socket.socket], errors: list[str]) -> socket.socket:
    """Keep the first; two may have answered at the same time."""
    if not found:
        raise OSError("; ".join(errors))
    _close(found[1:])
    return found[0]


async def _connect(loop: asyncio.AbstractEventLoop, info: Any, local: str | None) -> socket.socket:
    sock = socket.socket(*info[:3])
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind((local, 0))
        await loop.sock_connect(sock, info[4])
    except BaseException:
        sock.close()
        raise
    return sock


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
