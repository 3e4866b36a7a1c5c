"""Redis from the event loop itself, when the other side behaves badly: on asyncio, where no thread is between."""

from __future__ import annotations

import asyncio
import re
import select
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from millstream.errors import LogError
from millstream.relay import Hub, _direct
from millstream.relay._lane import Lane, _InLoop, _InThread
from millstream.relay.redis import connector
from millstream.streams import Stream
from relay.counting import counting
from relay.engines import OnRedis, everybody, until
from relay.test_cost import InTurn

pytestmark = pytest.mark.anyio

COMMAND = re.compile(rb"(?:^|\r\n)\*[0-9]+\r\n")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """Says +OK to each command, and what it is told besides.

    Attributes: answers: what to say to the commands after the greeting, each to one.
    """

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.greets = True
        self.connections: list[SocketStream] = []
        self.gone = anyio.Event()

    @asynccontextmanager
    async def lane(self, patience: float = 5.0) -> AsyncIterator[Lane]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            made = Lane(connector(f"redis://127.0.0.1:{port}/0"), patience)
            yield made
            made.close()
            assert isinstance(made._carrier, _InLoop)
            tasks.cancel_scope.cancel()

    async def _serve(self, stream: SocketStream) -> None:
        self.connections.append(stream)
        async with stream:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                async for data in stream:
                    for _ in COMMAND.findall(data) if self.greets else ():
                        greeting = b"SETINFO" in data
                        await stream.send(b"+OK\r\n" if greeting or not self.answers else self.answers.pop(0))
        self.gone.set()


async def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    server = Server()
    async with server.lane() as lane:
        assert await lane.call("PING") == b"OK"
        await server.connections[0].send(b"+another's\r\n")
        with anyio.fail_after(10):
            await server.gone.wait()  # left, at rest
        assert await lane.call("PING") == b"OK"
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"+one\r\n+two\r\n", "connection"), (b"HTTP/1.1 400 Bad Request\r\n", "connection"), (b"$5\r\nab", "timeout")],
)
async def test_a_connection_that_answers_wrongly_is_left(answer: bytes, reason: str) -> None:
    server = Server()
    async with server.lane(0.2) as lane:
        await lane.call("PING")
        server.answers = [answer]
        with pytest.raises(LogError) as caught, anyio.fail_after(10):
            await lane.call("PING")
        assert (caught.value.reason, caught.value.retryable) == (reason, True)
        assert await lane.call("PING") == b"OK"
        assert len(server.connections) == 2


async def test_a_connection_that_the_server_closes_at_rest_is_made_again() -> None:
    server = Server()
    async with server.lane() as lane:
        await lane.call("PING")
        await server.connections[0].aclose()
        await until(lambda: lane._carrier._direct._sock is None)
        assert await lane.call("PING") == b"OK"


async def test_closing_while_it_connects_is_quick_and_said() -> None:
    server = Server()
    server.greets = False
    async with server.lane() as lane, anyio.create_task_group() as tasks:
        said: list[str] = []

        async def call() -> None:
            with pytest.raises(LogError) as caught:
                await lane.call("PING")
            said.append(caught.value.message)

        tasks.start_soon(call)
        with anyio.fail_after(10):
            while not server.connections:
                await anyio.lowlevel.checkpoint()
            lane.close()
            await server.gone.wait()
        await anyio.wait_all_tasks_blocked()
        assert said == ["the log was closed"]


async def test_a_connection_that_is_made_when_its_event_loop_has_ended_is_closed(
    on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connector(on_redis.server.url)(5.0)
    begun, go_on, connect = threading.Event(), threading.Event(), connection.connect
    threads: list[threading.Thread] = []
    answers: list[Any] = []

    def connect_late() -> None:
        threads.append(threading.current_thread())
        begun.set()
        assert go_on.wait(20)
        connect()

    async def leave_early() -> None:
        _direct.Direct(connection, 5.0, answers.append).exchange([("PING",)])
        await asyncio.to_thread(begun.wait, 20)

    monkeypatch.setattr(connection, "connect", connect_late)
    await anyio.to_thread.run_sync(lambda: asyncio.run(leave_early()))
    go_on.set()
    await anyio.to_thread.run_sync(threads[0].join, 20)
    assert not threads[0].is_alive()
    assert connection._wire._sock is None
    assert answers == []


async def test_a_command_larger_than_the_sockets_buffer_is_sent_whole(on_redis: OnRedis) -> None:
    lane = Lane(connector(on_redis.server.url), 20.0)
    value = bytes(range(256)) * (32 << 12)
    assert await lane.call("SET", "large", value) == b"OK"
    assert await lane.call("GET", "large") == value
    assert await lane.call("DEL", "large") == 1
    lane.close()


async def test_a_wake_up_for_nothing_sends_and_reads_nothing(on_redis: OnRedis) -> None:
    lane = Lane(connector(on_redis.server.url), 20.0)
    value = bytes(range(256)) * (32 << 12)
    await lane.call("PING")
    direct: Any = lane._carrier._direct
    on_redis.server.pause()
    try:
        order = lane._order([("SET", "large", value)])
        await until(lambda: direct._rest)
        left = 0
        while left != len(direct._rest):  # until the system takes no more
            left = len(direct._rest)
            direct._writable()
            direct._readable()
        assert 0 < left < len(value)
    finally:
        on_redis.server.resume()
    assert await order.wait() == [b"OK"]
    assert await lane.call("GET", "large") == value
    assert await lane.call("DEL", "large") == 1
    lane.close()


async def test_a_connection_that_is_reset_when_it_is_written_to_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lane = Lane(connector(f"redis://127.0.0.1:{listener.getsockname()[1]}/0"), 5.0)
        ping = lane._order([("PING",)])
        connection = await anyio.to_thread.run_sync(_greet, listener)
        assert await ping.wait() == [b"OK"]
        ping = lane._order([("PING",)])  # leaves in the next turn of the event loop, before it looks at what has come
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it then
        connection.close()
        assert select.select([lane._carrier._direct._sock], [], [], 10)[0], "the reset has come"
        with anyio.fail_after(10):
            (error,) = await ping.wait()
        assert (error.reason, error.retryable) == ("connection", True)
        assert isinstance(error.__cause__, ConnectionResetError)
        lane.close()


def _greet(listener: socket.socket) -> socket.socket:
    """Accept a connection and say +OK to what comes, up to a PING."""
    connection, _ = listener.accept()
    data = b""
    while b"PING" not in data:
        data = connection.recv(4096)
        connection.sendall(b"+OK\r\n" * len(COMMAND.findall(data)))
    return connection


async def test_it_works_with_replies_in_small_pieces(on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_direct, "CHUNK", 7)
    source = InTurn(200, 10)
    async with Hub(on_redis.log(), authorize=everybody) as hub:
        await hub.publish("s", lambda: Stream.from_batches(source()), protocol=None)
        async with hub.subscribe("s") as items:
            got: list[Any] = await source.read(items)
    assert [item.data for item in got] == [b"%d" % i for i in range(200)]


async def test_without_hiredis_a_thread_does_it(on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_direct, "find_spec", lambda name: None)
    lane = Lane(connector(on_redis.server.url), 5.0)
    assert await lane.call("PING") == b"PONG"
    assert isinstance(lane._carrier, _InThread)
    lane.close()
    await lane.ended()


async def test_an_event_that_comes_alone_makes_no_task_no_scope_and_no_timer(
    on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 200
    source = InTurn(n, 1)
    async with Hub(on_redis.log(), authorize=everybody) as hub:
        await hub.publish("s", lambda: Stream.from_batches(source()), protocol=None)
        async with hub.subscribe("s") as items:
            await anyio.wait_all_tasks_blocked()
            counts = counting(monkeypatch)
            assert len(await source.read(items)) == n
            monkeypatch.undo()
    assert counts.total() < 30, counts
