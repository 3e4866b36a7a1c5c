"""`millstream.stream` of what real aiohttp gives: a response, or the context manager of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import pytest
from tests.http.bare import Bare, Peer, answer, chunked

import millstream as ms

pytestmark = pytest.mark.anyio

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SSE = "content-type: text/event-stream\r\n"
WITHIN = 5.0


@pytest.fixture(params=["asyncio", "uvloop"])  # aiohttp knows no other
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


async def opened(session: aiohttp.ClientSession, url: str, way: str) -> Any:
    return session.get(url) if way == "request" else await session.get(url)


async def text(source: Any) -> str:
    async with ms.stream(source, "openai-chat") as events:
        return "".join([event.text async for event in events if isinstance(event, ms.TextDelta)])


WAYS = pytest.mark.parametrize("way", ["request", "response"])


@WAYS
async def test_events_and_the_connection_is_used_again(session: Any, server: Bare, way: str) -> None:
    server.plays(chunked(EVENT, EVENT, END, headers=SSE))
    for _ in range(3):
        assert await text(await opened(session, f"{server.url}/it", way)) == "hihi"
        await anyio.lowlevel.checkpoint()
    assert len(server.peers) == 1


async def test_a_response_in_its_own_block(session: Any, server: Bare) -> None:
    server.plays(chunked(EVENT, END, headers=SSE))
    for _ in range(2):
        async with session.get(f"{server.url}/it") as response:
            assert await text(response) == "hi"
    assert len(server.peers) == 1


@WAYS
async def test_a_status_that_is_an_error(session: Any, server: Bare, way: str) -> None:
    body = b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'
    headers = ["retry-after: 7", "x-request-id: r1", "content-type: application/json"]
    server.plays(answer(body, *headers, status="429 Too Many"))
    with pytest.raises(ms.RateLimited, match="slow down") as caught:
        await text(await opened(session, f"{server.url}/it", way))
    assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (429, 7.0, "r1")


@WAYS
async def test_a_page_where_a_stream_should_be(session: Any, server: Bare, way: str) -> None:
    server.plays(answer(b"<html>", "content-type: text/html"))
    with pytest.raises(ms.errors.UnexpectedContentType):
        await text(await opened(session, f"{server.url}/it", way))


@WAYS
async def test_a_body_that_breaks_off(session: Any, server: Bare, way: str) -> None:
    server.plays(chunked(EVENT, headers=SSE, end=b""), Peer.close)
    with pytest.raises(ms.ConnectionFailed):
        await text(await opened(session, f"{server.url}/it", way))


async def test_no_connection(session: Any, server: Bare) -> None:
    server.play = Peer.reset
    with pytest.raises(ms.ConnectionFailed):
        await text(session.get(f"{server.url}/it"))


@WAYS
@pytest.mark.parametrize("rest", [b"", chunked(EVENT * 1000).partition(b"\r\n\r\n")[2]])
async def test_leaving_closes_the_connection(session: Any, server: Bare, way: str, rest: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(chunked(EVENT, headers=SSE, end=b""))
        peer.send(rest.removesuffix(b"0\r\n\r\n"))
        peer.hold()

    server.play = play
    async with ms.stream(await opened(session, f"{server.url}/it", way), "openai-chat") as events:
        async for event in events:
            if isinstance(event, ms.TextDelta):
                break
    assert await anyio.to_thread.run_sync(server.peers[0].gone.wait, WITHIN)
    async with session.get(f"{server.url}/echo/token") as response:
        assert await response.text() == "token"
    assert len(server.peers) == 2


@WAYS
async def test_cancelling_closes_the_connection(session: Any, server: Bare, way: str) -> None:
    server.plays(chunked(EVENT, headers=SSE, end=b""), Peer.hold)
    source = await opened(session, f"{server.url}/it", way)
    with anyio.move_on_after(0.2) as scope:
        await text(source)
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(server.peers[0].gone.wait, WITHIN)


async def test_the_session_s_own_limit_of_time(server: Bare) -> None:
    server.plays(chunked(EVENT, headers=SSE, end=b""), Peer.hold)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=0.1)) as session:
        with pytest.raises(ms.StreamTimeout):
            await text(session.get(f"{server.url}/it"))
