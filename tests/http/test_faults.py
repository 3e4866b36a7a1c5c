"""Servers that misbehave, callers that leave. After each of them the next request gets its own bytes only."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from tests.http.bare import Bare, Peer, answer, chunked

from millstream.http import Transport

pytestmark = pytest.mark.anyio

SECRET = "sk-a-key-that-nobody-may-see"
WITHIN = 5.0
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = b"1000\r\n" + b"x" * 4096 + b"\r\n"


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=Transport(), headers={"authorization": SECRET}) as one:
        yield one


async def echoes(client: httpx2.AsyncClient, server: Bare) -> None:
    for token in ("first-token", "second-token"):
        assert (await client.get(f"{server.url}/echo/{token}")).text == token


async def left(peer: Peer) -> bool:
    """Whether the server sees the client go."""
    return await anyio.to_thread.run_sync(peer.gone.wait, WITHIN)


def endless(peer: Peer) -> None:
    peer.send(HEAD)
    peer.ended = True
    while True:
        peer.send(ENDLESS)


def silent(peer: Peer) -> None:
    peer.send(HEAD + b"5\r\nhello\r\n")
    peer.hold()


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("play", [endless, silent])
async def test_a_response_that_is_left_is_closed_and_never_used_again(client: Any, server: Bare, play: Any) -> None:
    server.play = play
    async with client.stream("GET", f"{server.url}/it") as response:
        async for _ in response.aiter_bytes():
            break
    assert await left(server.peers[0])
    await echoes(client, server)
    assert len(server.peers) == 2


@pytest.mark.parametrize("play", [endless, silent])
async def test_a_response_that_nobody_reads_is_closed(client: Any, server: Bare, play: Any) -> None:
    server.play = play
    async with client.stream("GET", f"{server.url}/it"):
        pass
    assert await left(server.peers[0])
    await echoes(client, server)


async def test_what_is_left_but_complete_may_be_used_again(client: Any, server: Bare) -> None:
    server.plays(answer(b"all of it at once"))
    async with client.stream("GET", f"{server.url}/it") as response:
        assert response.status_code == 200
    await echoes(client, server)
    assert len(server.peers) == 1


async def test_a_response_is_not_read_after_it_was_closed(client: Any, server: Bare) -> None:
    server.plays(answer(b"all of it at once"))
    async with client.stream("GET", f"{server.url}/it") as response:
        pass
    with pytest.raises(httpx2.StreamClosed):
        await response.aread()
    body = response.stream._stream  # who holds the stream itself does not get the bytes of another request either
    await echoes(client, server)
    with pytest.raises(httpx2.StreamClosed):
        await anext(body)


async def test_a_body_is_read_once(client: Any, server: Bare) -> None:
    server.plays(answer(b"once"))
    async with client.stream("GET", f"{server.url}/it") as response:
        assert [piece async for piece in response.aiter_raw()] == [b"once"]
        with pytest.raises(httpx2.StreamConsumed):
            await anext(response.aiter_raw())


@pytest.mark.parametrize("at", ["head", "body", "upload"])
async def test_cancelling_closes_the_connection(client: Any, server: Bare, at: str) -> None:
    reached = anyio.Event()
    play: dict[str, Callable[[Peer], None]] = {"head": Peer.hold, "body": silent, "upload": Peer.hold}
    server.play = play[at]

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begin"
        reached.set()
        await anyio.sleep_forever()

    async def ask() -> None:
        async with client.stream("POST", f"{server.url}/it", content=pieces() if at == "upload" else b"") as response:
            async for _ in response.aiter_bytes():
                reached.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        while not (server.peers and server.peers[0].n_requests):
            await anyio.lowlevel.checkpoint()
        if at != "head":
            await reached.wait()
        tasks.cancel_scope.cancel()
    assert await left(server.peers[0])
    await echoes(client, server)


async def test_cancelled_at_every_step_nothing_leaks_and_nobody_gets_foreign_bytes(server: Bare) -> None:
    server.plays(chunked(b"a" * 10, b"b" * 10))
    transport = Transport(limits=httpx2.Limits(max_connections=1))

    async def ask(client: httpx2.AsyncClient, scope: anyio.CancelScope, step: int) -> None:
        async with client.stream("POST", f"{server.url}/it", content=b"x" * 10) as response:
            async for _ in response.aiter_bytes():
                pass

    async with httpx2.AsyncClient(transport=transport) as client:
        for step in range(40):
            done = False
            with anyio.CancelScope() as scope:

                async def cancel_later(scope: anyio.CancelScope = scope, step: int = step) -> None:
                    for _ in range(step):
                        await anyio.lowlevel.checkpoint()
                    scope.cancel()

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_later)
                    await ask(client, scope, step)
                    done = True
                    tasks.cancel_scope.cancel()
            assert done or scope.cancelled_caught
            await echoes(client, server)  # one connection is all there may be: a place that leaks would hang here


async def test_a_storm_of_cancellations_mixes_no_answers(server: Bare) -> None:
    dice = random.Random(7)

    async def one(client: httpx2.AsyncClient, token: str, steps: int | None) -> None:
        with anyio.CancelScope() as scope:
            if steps is not None:
                tasks.start_soon(cancel_after, scope, steps)
            assert (await client.get(f"{server.url}/echo/{token}")).text == token

    async def cancel_after(scope: anyio.CancelScope, steps: int) -> None:
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    limits = httpx2.Limits(max_connections=4, max_keepalive_connections=4)
    async with httpx2.AsyncClient(transport=Transport(limits=limits), timeout=30) as client:
        for turn in range(5):
            async with anyio.create_task_group() as tasks:
                for number in range(30):
                    steps = dice.randrange(60) if dice.random() < 0.6 else None
                    tasks.start_soon(one, client, f"token-{turn}-{number}", steps)
        await echoes(client, server)


async def test_closing_the_client_ends_what_is_being_read(server: Bare) -> None:
    server.play = silent
    client = httpx2.AsyncClient(transport=Transport())
    async with client.stream("GET", f"{server.url}/it") as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"hello"
        await client.aclose()
        with pytest.raises(httpx2.ReadError):
            await anext(chunks)
    assert await left(server.peers[0])


# --- time -------------------------------------------------------------------------------------------------------------


async def raises_and_recovers(
    client: httpx2.AsyncClient, server: Bare, expected: type[Exception], work: Callable[[], Awaitable[object]]
) -> Exception:
    with pytest.raises(expected) as caught:
        await work()
    assert caught.type is expected
    assert SECRET not in repr(caught.value) + str(caught.value)
    assert await left(server.peers[-1])
    await echoes(client, server)
    return caught.value


async def test_a_head_that_does_not_come(client: Any, server: Bare) -> None:
    error = await raises_and_recovers(
        client, server, httpx2.ReadTimeout, lambda: client.get(f"{server.url}/it", timeout=0.05)
    )
    assert str(error.request.url) == f"{server.url}/it"


async def test_a_body_that_stops(client: Any, server: Bare) -> None:
    server.play = silent
    error = await raises_and_recovers(
        client, server, httpx2.ReadTimeout, lambda: client.get(f"{server.url}/it", timeout=0.05)
    )
    assert str(error.request.url) == f"{server.url}/it"


async def test_the_time_to_read_counts_from_the_last_byte(client: Any, server: Bare) -> None:
    def slowly(peer: Peer) -> None:
        peer.send(HEAD)
        for _ in range(5):
            peer.gone.wait(0.25)
            peer.send(b"1\r\nx\r\n")
        peer.send(b"0\r\n\r\n")

    server.play = slowly
    assert (await client.get(f"{server.url}/it", timeout=1)).text == "xxxxx"


async def test_a_server_that_takes_nothing(client: Any, server: Bare) -> None:
    def deaf(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.gone.wait(1)
        peer.close()

    server.play = deaf

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 100_000

    await raises_and_recovers(
        client, server, httpx2.WriteTimeout, lambda: client.post(f"{server.url}/it", content=pieces(), timeout=0.2)
    )


async def test_no_connection_is_free(server: Bare) -> None:
    server.play = silent
    async with httpx2.AsyncClient(transport=Transport(limits=httpx2.Limits(max_connections=1))) as client:
        async with client.stream("GET", f"{server.url}/it"):
            with pytest.raises(httpx2.PoolTimeout):
                await client.get(f"{server.url}/echo/x", timeout=0.05)
        await echoes(client, server)


async def test_a_connection_that_cannot_be_made(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(httpx2.ConnectError) as caught:
        await client.get(f"http://127.0.0.1:{port}/{SECRET}")
    assert SECRET not in str(caught.value)
    with pytest.raises(httpx2.ConnectError):
        await client.get("http://nowhere.invalid/")


async def test_a_connection_that_takes_too_long(client: Any) -> None:
    with socket.socket() as listener:  # its queue is full: nobody accepts
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(f"http://127.0.0.1:{address[1]}/", timeout=0.2)
        for filler in fillers:
            filler.close()


# --- connections that were closed meanwhile ---------------------------------------------------------------------------


def closes_the_second(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Answer the first request of a connection, and do this to the second one."""

    def play(peer: Peer) -> None:
        peer.read_body()
        if peer.n_requests == 1:
            peer.send(answer(b"fine"))
        else:
            then(peer)

    return play


@pytest.mark.parametrize("then", [Peer.close, Peer.reset])
async def test_a_stale_connection_is_replaced_where_that_does_no_harm(client: Any, server: Bare, then: Any) -> None:
    server.play = closes_the_second(then)
    for _ in range(4):
        assert (await client.get(f"{server.url}/it")).text == "fine"
    assert len(server.peers) == 4
    headers = {"idempotency-key": "1"}
    assert (await client.post(f"{server.url}/it", content=b"x", headers=headers)).text == "fine"


@pytest.mark.parametrize("then", [Peer.close, Peer.reset])
async def test_a_request_that_may_have_had_effects_is_not_repeated(client: Any, server: Bare, then: Any) -> None:
    server.play = closes_the_second(then)
    assert (await client.post(f"{server.url}/it", content=b"x")).text == "fine"
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await client.post(f"{server.url}/it", content=b"x")
    await echoes(client, server)


async def test_an_answer_that_has_begun_is_not_repeated(client: Any, server: Bare) -> None:
    def half(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        peer.close()

    server.play = closes_the_second(half)
    await client.get(f"{server.url}/it")
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(f"{server.url}/it")
    assert len(server.peers) == 1


async def test_a_fresh_connection_that_is_closed_is_an_error(client: Any, server: Bare) -> None:
    server.play = Peer.close
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(f"{server.url}/it")
    assert len(server.peers) == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_not_tried(client: Any, server: Bare) -> None:
    def play(peer: Peer) -> None:
        peer.send(answer(b"fine"))
        peer.close()

    server.play = play
    for _ in range(3):
        assert (await client.post(f"{server.url}/it")).text == "fine"
        assert await left(server.peers[-1])
    assert [peer.n_requests for peer in server.peers] == [1, 1, 1]


async def test_nor_is_it_if_the_loop_was_too_busy_to_see(client: Any, server: Bare) -> None:
    def play(peer: Peer) -> None:
        peer.send(answer(b"fine"))
        peer.close()

    server.play = play
    for _ in range(3):
        assert (await client.post(f"{server.url}/it")).text == "fine"
        assert server.peers[-1].gone.wait(WITHIN)  # the loop does not run
    assert [peer.n_requests for peer in server.peers] == [1, 1, 1]


@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
async def test_nor_is_it_if_it_was_given_to_somebody_who_waits(server: Bare, end: Callable[[Peer], None]) -> None:
    answered = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(answer(b"fine"))
        if peer is server.peers[0]:
            answered.wait(WITHIN)
            end(peer)

    async def first() -> None:
        assert (await client.post(f"{server.url}/it")).text == "fine"
        answered.set()  # the other one has the connection already, and has not run since
        assert server.peers[0].gone.wait(WITHIN)

    server.play = play
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(transport=Transport(limits=limits)) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        while not server.peers:
            await anyio.lowlevel.checkpoint()
        assert (await client.post(f"{server.url}/it")).text == "fine"
    assert [peer.n_requests for peer in server.peers] == [1, 1]


async def test_an_answer_before_a_reset_is_read_though_sending_fails(client: Any, server: Bare) -> None:
    refused = threading.Event()
    n_after = 0

    def refuse(peer: Peer) -> None:
        peer.send(answer(b"too large", status="413 Too Large"))
        peer.reset()
        refused.set()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal n_after
        yield b"begin"
        assert refused.wait(WITHIN)  # the loop does not run, so the answer is not read
        while n_after < 1000:  # nor does it from here on: nothing of this waits
            n_after += 1
            yield b"x" * 10

    server.play = refuse
    response = await client.post(f"{server.url}/it", content=pieces())
    assert (response.status_code, response.text) == (413, "too large")
    assert n_after < 5
    await echoes(client, server)


@pytest.mark.parametrize("surplus", [b"garbage", answer(b"poison"), b"HTTP/1.1 200 OK\r\n"])
async def test_what_comes_unasked_reaches_nobody(client: Any, server: Bare, surplus: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(answer(b"fine"))
        peer.gone.wait(0.05)  # the client has put the connection away by now
        peer.send(surplus)

    server.play = play
    assert (await client.get(f"{server.url}/it")).text == "fine"
    await anyio.to_thread.run_sync(server.peers[0].gone.wait, 0.2)
    await echoes(client, server)
    assert len(server.peers) == 2


async def test_the_body_of_an_answer_to_head_reaches_nobody(client: Any, server: Bare) -> None:
    server.plays(answer(b"a body where none may be"))
    assert (await client.head(f"{server.url}/it")).content == b""
    await echoes(client, server)


async def test_idle_connections_expire(server: Bare) -> None:
    limits = httpx2.Limits(keepalive_expiry=0.0)
    async with httpx2.AsyncClient(transport=Transport(limits=limits)) as client:
        await echoes(client, server)
    assert len(server.peers) == 2


async def test_idle_connections_are_few(server: Bare) -> None:
    limits = httpx2.Limits(max_keepalive_connections=1)
    async with httpx2.AsyncClient(transport=Transport(limits=limits)) as client:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(client.get, f"{server.url}/echo/{number}")
        n_opened = len(server.peers)
        await echoes(client, server)
    assert len(server.peers) == n_opened
    assert sum(peer.n_requests for peer in server.peers) == 7


async def test_an_idle_connection_makes_room_for_another_origin(server: Bare) -> None:
    limits = httpx2.Limits(max_connections=1)
    with Bare() as other:
        async with httpx2.AsyncClient(transport=Transport(limits=limits)) as client:
            for _ in range(2):
                await echoes(client, server)
                await echoes(client, other)
        assert len(server.peers) == len(other.peers) == 2


async def test_requests_wait_in_turn_for_a_connection(server: Bare) -> None:
    limits = httpx2.Limits(max_connections=2)
    found: list[str] = []

    async def ask(number: int) -> None:
        found.append((await client.get(f"{server.url}/echo/{number}")).text)

    async with (
        httpx2.AsyncClient(transport=Transport(limits=limits), timeout=30) as client,
        anyio.create_task_group() as tasks,
    ):
        for number in range(50):
            tasks.start_soon(ask, number)
    assert sorted(found, key=int) == [str(number) for number in range(50)]
    assert len(server.peers) == 2


# --- backpressure -----------------------------------------------------------------------------------------------------


async def test_a_consumer_that_does_not_read_stops_the_server(client: Any, server: Bare) -> None:
    sent = 0

    def play(peer: Peer) -> None:
        nonlocal sent
        peer.sock.settimeout(0.3)
        peer.send(HEAD)
        try:
            while sent < 200_000_000:
                peer.send(ENDLESS)
                sent += len(ENDLESS)
        except TimeoutError:
            peer.close()

    server.play = play
    async with client.stream("GET", f"{server.url}/it") as response:
        assert await anext(response.aiter_bytes())
        assert await left(server.peers[0])  # it gave up: nobody took what it sent
    assert sent < 50_000_000
    await echoes(client, server)


async def test_reading_goes_on_after_a_pause(client: Any, server: Bare) -> None:
    body = random.Random(3).randbytes(3_000_000)
    server.plays(chunked(*[body[at : at + 5000] for at in range(0, len(body), 5000)]))
    async with client.stream("GET", f"{server.url}/it") as response:
        found = b""
        async for piece in response.aiter_bytes():
            found += piece
            if len(found) % 7 == 0:
                await anyio.lowlevel.checkpoint()
    assert found == body
    await echoes(client, server)
