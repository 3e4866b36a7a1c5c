"""Connections by themselves: what happens at unlucky moments, and with whoever uses the iterator in another way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from tests.http.bare import Bare, Peer, answer, chunked

from millstream.http import Transport
from millstream.http._exchange import Exchange
from millstream.http._readable import is_readable
from streams.probe import drain

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=Transport()) as one:
        yield one


@pytest.fixture
async def wire(server: Bare, anyio_backend_name: str) -> AsyncIterator[Any]:
    if anyio_backend_name == "trio":
        from millstream.http._anyio import connect
    else:
        from millstream.http._asyncio import connect
    one = await connect("127.0.0.1", server.port, context=None, server_name=None, local=None)
    yield one
    await one.aclose()


async def connected(server: Bare) -> Peer:
    with anyio.fail_after(20):
        while not server.peers:  # noqa: ASYNC110  (a thread tells nobody)
            await anyio.sleep(0.01)
    return server.peers[0]


async def stale(wire: Any) -> None:
    with anyio.fail_after(20):
        while not wire.is_stale():  # noqa: ASYNC110  (a thread tells nobody)
            await anyio.sleep(0.01)


# --- unlucky moments --------------------------------------------------------------------------------------------------


async def test_a_connection_that_is_lost_before_it_is_used_is_an_error_of_the_request(server: Bare, wire: Any) -> None:
    peer = await connected(server)
    peer.sock.shutdown(socket.SHUT_RDWR)
    await stale(wire)
    assert await anyio.to_thread.run_sync(peer.gone.wait, 5)
    exchange = Exchange(b"GET")
    wire.begin(exchange)

    async def use() -> None:
        for _ in range(3):  # on trio, the first one is how the end is found out
            await wire.send(b"GET / HTTP/1.1\r\n\r\n", 1.0)
            await anyio.sleep(0.02)

    with pytest.raises(httpx2.WriteError):
        await use()
    if exchange.error is None:
        await wire.wait(1.0)
    assert isinstance(exchange.error, httpx2.TransportError)


async def test_a_server_that_resets_during_the_upload_is_an_error(client: Any, server: Bare) -> None:
    server.play = Peer.reset

    async def long() -> AsyncIterator[bytes]:
        for _ in range(3000):
            yield b"x" * 10_000

    with pytest.raises(httpx2.TransportError):
        await client.post(f"{server.url}/it", content=long())
    assert (await client.get(f"{server.url}/echo/token")).text == "token"


async def test_an_upload_goes_on_when_the_server_reads_again(client: Any, server: Bare) -> None:
    got = []

    def late(peer: Peer) -> None:
        peer.gone.wait(0.2)
        got.append(peer.read_body())
        peer.send(answer(b"thanks"))

    server.play = late
    body = random.Random(5).randbytes(20_000_000)
    assert (await client.post(f"{server.url}/it", content=body)).text == "thanks"
    assert got == [body]


async def test_what_came_in_time_is_given_though_the_loop_was_late(
    server: Bare, wire: Any, anyio_backend: Any, anyio_backend_name: str
) -> None:
    if anyio_backend_name == "asyncio" and anyio_backend[1:] == ({"use_uvloop": True},):
        pytest.skip("libuv looks at its timers before it reads")
    peer = await connected(server)
    exchange = Exchange(b"GET")
    wire.begin(exchange)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.wait, 0.5)
        await anyio.wait_all_tasks_blocked()
        peer.send(answer(b"in time"))
        time.sleep(0.6)  # noqa: ASYNC251  (that is the point)
    assert exchange.take() == b"in time"


async def test_a_consumer_that_takes_its_time_is_not_timed_out(server: Bare) -> None:
    server.plays(chunked(b"a", end=b""), lambda peer: peer.gone.wait(0.5) or peer.send(b"1\r\nb\r\n0\r\n\r\n"))
    async with (
        httpx2.AsyncClient(transport=Transport(), timeout=1) as client,
        client.stream("GET", f"{server.url}/it") as response,
    ):
        pieces = response.aiter_bytes()
        assert await anext(pieces) == b"a"
        await anyio.sleep(1.2)
        assert await anext(pieces) == b"b"


async def test_without_timeouts_there_is_no_timer(server: Bare) -> None:
    server.plays(chunked(b"a", end=b""), lambda peer: peer.gone.wait(0.1) or peer.send(b"0\r\n\r\n"))
    async with httpx2.AsyncClient(transport=Transport(), timeout=None) as client:
        assert (await client.get(f"{server.url}/it")).text == "a"
        assert (await client.get(f"{server.url}/echo/token")).text == "token"


async def test_closing_the_transport_gives_a_reader_what_had_arrived_and_then_an_error(server: Bare) -> None:
    server.plays(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1000\r\n%b\r\n" % (b"x" * 4096) * 5000)
    transport = Transport()
    async with httpx2.AsyncClient(transport=transport).stream("GET", f"{server.url}/it") as response:
        pieces = response.aiter_bytes()
        found = [await anext(pieces)]
        await anyio.sleep(0.1)  # as much arrives as may
        await transport.aclose()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(httpx2.ReadError):
            await drain(pieces, found)
    assert set(b"".join(found)) == {ord("x")}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # what the first loop left open: rightly told
def test_a_transport_outlives_its_event_loop(server: Bare) -> None:
    transport = Transport()

    async def ask(token: str) -> str:
        response = await transport.handle_async_request(httpx2.Request("GET", f"{server.url}/echo/{token}"))
        return (await response.aread()).decode()

    assert [asyncio.run(ask(token)) for token in ("first", "second")] == ["first", "second"]
    assert len(server.peers) == 2
    assert server.peers[0].gone.wait(5)
    asyncio.run(transport.aclose())
    gc.collect()


# --- other ways to ask and to read ------------------------------------------------------------------------------------


class Pieces(httpx2.AsyncByteStream):
    """A body that is an async iterator and no generator."""

    def __init__(self, *pieces: bytes) -> None:
        self._left = iter(pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._left:
            return piece
        raise StopAsyncIteration


async def test_a_body_may_be_any_async_iterator(client: Any, server: Bare) -> None:
    got = []
    server.play = lambda peer: (got.append(peer.read_body()), peer.send(answer(b"thanks")))
    headers = {"host": "localhost", "content-length": "3"}
    request = httpx2.Request("POST", f"{server.url}/it", headers=headers, stream=Pieces(b"ab", b"", b"c"))
    response = await client.send(request)
    assert (response.text, got) == ("thanks", [b"abc"])


async def test_a_body_that_blocks_is_refused_whoever_calls_the_transport(server: Bare) -> None:
    transport = Transport()
    with pytest.raises(RuntimeError, match="asynchronously"):
        await transport.handle_async_request(httpx2.Request("POST", f"{server.url}/it", content=iter([b"a"])))
    await transport.aclose()


async def test_what_is_left_to_httpx2_uses_one_transport(client: Any, server: Bare) -> None:
    for token in ("first", "second"):
        response = await client.get(f"{server.url}/echo/{token}", headers={"upgrade": "h2c"})
        assert response.text == token
    assert len(server.peers) == 1


async def test_the_iterator_is_a_generator_for_those_who_use_it_as_one(client: Any, server: Bare) -> None:
    server.plays(chunked(b"a", b"b"))
    async with client.stream("GET", f"{server.url}/it") as response:
        async with contextlib.aclosing(response.aiter_bytes()) as pieces:
            found = await pieces.asend(None)
            async for piece in pieces:
                found += piece
            assert found == b"ab"
            for _ in range(2):
                with pytest.raises(StopAsyncIteration):
                    await anext(pieces)
        assert response.is_closed


async def test_an_exception_thrown_into_the_iterator_closes_the_response(client: Any, server: Bare) -> None:
    server.plays(chunked(b"a", end=b""), Peer.hold)
    for error in (ZeroDivisionError, ZeroDivisionError("mine")):
        async with client.stream("GET", f"{server.url}/it") as response:
            pieces = response.aiter_bytes()
            assert await anext(pieces) == b"a"
            with pytest.raises(ZeroDivisionError):
                await pieces.athrow(error)
            assert response.is_closed
            with pytest.raises(StopAsyncIteration):
                await anext(pieces)


async def test_an_iterator_that_was_never_begun_leaves_the_response_as_it_is(client: Any, server: Bare) -> None:
    server.plays(answer(b"all of it"))
    async with client.stream("GET", f"{server.url}/it") as response:
        await response.aiter_bytes().aclose()
        assert not response.is_closed
        assert await response.aread() == b"all of it"


@pytest.mark.parametrize("name", ["httptools", "httpx2"])
def test_without_a_library_the_extra_is_named(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import millstream.http"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "MissingExtra: millstream.http needs httpx2 and httptools: pip install 'millstream[http]'" in done.stderr


def test_a_module_that_is_missing_otherwise_is_named_itself() -> None:
    code = "import sys; sys.modules['h11'] = sys.modules['anyio'] = None; import millstream.http"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "ModuleNotFoundError" in done.stderr
    assert "MissingExtra" not in done.stderr


@pytest.mark.parametrize("has_poll", [True, False])
def test_a_socket_is_readable_when_something_has_come_or_it_is_closed(
    has_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`select.poll` is not on Windows."""
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    one, other = socket.socketpair()
    with one, other:
        assert not is_readable(one)
        other.send(b"x")
        assert is_readable(one)
        assert one.recv(9) == b"x"
        assert not is_readable(one)
        other.close()
        assert is_readable(one)
    assert is_readable(one), "it is closed here"
