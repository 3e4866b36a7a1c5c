"""What connections that are behind may keep, each and all together; and that nobody waits for what was paused."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from tests.http.bare import Bare, Peer, chunked

from millstream.http import Transport, _asyncio
from millstream.http._limits import READ_BYTES

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE = b"1000\r\n" + b"x" * 4096 + b"\r\n"
STREAMS = 30
WITHIN = 10.0


def flood(peer: Peer) -> None:
    """Send until nobody takes any more."""
    peer.sock.settimeout(0.3)
    peer.send(HEAD)
    try:
        for _ in range(50_000):
            peer.send(PIECE)
    except TimeoutError:
        peer.close()


async def test_what_all_have_not_consumed_is_bounded(server: Bare, monkeypatch: Any, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("reads when somebody waits, so nothing is unread")
    monkeypatch.setattr(_asyncio, "LOOP_HIGH_WATER_BYTES", 2 * READ_BYTES)
    server.play = flood
    async with httpx2.AsyncClient(transport=Transport()) as client:
        responses = [await client.send(client.build_request("GET", server.url), stream=True) for _ in range(STREAMS)]
        for peer in server.peers:
            assert await anyio.to_thread.run_sync(peer.gone.wait, WITHIN)
        unread = sum(len(part) for one in responses for part in one.stream._stream.exchange.parts)
        # As much as was allowed before, one read of one connection, then one small read of each.
        assert unread <= 3 * READ_BYTES + STREAMS * _asyncio.SMALL_READ_BYTES
        assert unread > READ_BYTES
        shared = responses[0].stream._stream._wire._shared
        assert shared.n_unread >= unread
        for one in responses:
            await one.aclose()
        with anyio.fail_after(WITHIN):
            while shared.n_unread:
                await anyio.lowlevel.checkpoint()


async def test_under_pressure_all_of_every_body_arrives(server: Bare, monkeypatch: Any) -> None:
    monkeypatch.setattr(_asyncio, "LOOP_HIGH_WATER_BYTES", READ_BYTES)
    body = bytes(range(256)) * 2000
    server.plays(chunked(*[body[at : at + 5000] for at in range(0, len(body), 5000)]))
    found = []

    async def read(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", server.url) as response:
            data = b""
            async for piece in response.aiter_bytes():
                data += piece
                await anyio.lowlevel.checkpoint()
            found.append(data)

    async with httpx2.AsyncClient(transport=Transport()) as client, anyio.create_task_group() as tasks:
        for _ in range(STREAMS):
            tasks.start_soon(read, client)
    assert found == [body] * STREAMS


async def test_a_long_head_does_not_stop_the_reading(server: Bare, monkeypatch: Any) -> None:
    """It comes in two reads at least, the first is more than is read ahead, and nobody consumes it."""
    monkeypatch.setattr(_asyncio, "HIGH_WATER_BYTES", READ_BYTES // 2)
    headers = "".join(f"x-{i}: {'y' * 1000}\r\n" for i in range(90))
    server.plays(chunked(b"hello", headers=headers))
    async with httpx2.AsyncClient(transport=Transport()) as client:
        assert (await client.get(server.url)).text == "hello"


async def test_a_response_that_was_closed_is_freed_at_once(server: Bare) -> None:
    server.plays(chunked(b"hello", end=b""))
    async with httpx2.AsyncClient(transport=Transport()) as client:
        gc.disable()
        try:
            response = await client.send(client.build_request("GET", server.url), stream=True)
            body = weakref.ref(response.stream._stream)
            assert await anext(response.aiter_bytes()) == b"hello"
            await response.aclose()
            del response
            await anyio.wait_all_tasks_blocked()  # trio ends a generator that was left in a task of its own
            assert body() is None
        finally:
            gc.enable()
