"""Faults 71 to 75, 81 and 89: a real redis-server behind the proxy, flushed, loading, or on a full disk."""

from __future__ import annotations

import logging
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from faults.invariants import gone
from faults.proxy import Hurt, Proxy
from millstream.errors import LogError, ResumeGap
from millstream.relay import Hub, RedisLog, Status
from relay.engines import OnRedis
from relay.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


async def count(n: int, wait: anyio.Event | None = None, at: int = -1) -> AsyncIterator[bytes]:
    for i in range(n):
        if i == at and wait is not None:
            await wait.wait()
        yield b"%d" % i
        await anyio.lowlevel.checkpoint()


N_HURT = 9 if os.environ.get("MILLSTREAM_LONG") == "1" else 5  # each costs a pause before the next attempt


def hub_on(port: int, **options: Any) -> Hub:
    patience = options.pop("patience", 20.0)
    log = RedisLog(f"redis://127.0.0.1:{port}/0", **{"lease": 30.0, "timeout": 1.0} | options)
    return Hub(log, authorize=lambda *_: True, patience=patience)


@pytest.mark.parametrize("kind", ["cut", "reset", "half_close", "split"])
async def test_fault_72_connections_hurt_inside_of_replies_lose_and_repeat_nothing(
    on_redis: OnRedis, kind: Any
) -> None:
    """Each of the first connections of producer and reader ends in the middle of an answer of Redis."""
    rng = random.Random(kind)
    hurts = [Hurt(kind, rng.randrange(1, 1500), 0.001) for _ in range(N_HURT)] + [Hurt()]
    n = 300
    with Proxy(on_redis.server.port, *hurts) as proxy:
        options: dict[str, Any] = {"prefix": on_redis.prefix}
        async with hub_on(proxy.port, **options) as hub, hub_on(proxy.port, **options) as reader:
            run = await hub.publish("s", lambda: count(n), protocol=None)
            with anyio.fail_after(30):
                async with reader.subscribe("s") as items:
                    got = [item.data async for item in items]
                assert await run.wait() is Status.DONE
        assert got == [b"%d" % i for i in range(n)]
        assert len(proxy.connections) > N_HURT or kind == "split"
        left = [await gone(one) for one in proxy.connections]
        assert all(left), f"no connection stays: {left}"


async def test_fault_71_72_a_connection_that_stalls_inside_of_a_reply_is_given_up(on_redis: OnRedis) -> None:
    """The time-out leaves open whether the write was done: nothing is written twice."""
    with Proxy(on_redis.server.port, Hurt("stall", 30), Hurt("stall", 150), Hurt("stall", 5), Hurt()) as proxy:
        async with hub_on(proxy.port, prefix=on_redis.prefix, timeout=0.2) as hub:
            with anyio.fail_after(20):
                run = await hub.publish("s", lambda: count(100), protocol=None)
                async with hub.subscribe("s") as items:
                    assert [item.data async for item in items] == [b"%d" % i for i in range(100)]
                assert await run.wait() is Status.DONE


async def test_fault_72_a_reader_cancelled_inside_of_a_blocking_read_leaves_a_clean_connection(
    on_redis: OnRedis,
) -> None:
    """CVE-2023-28859: the next reader must not get what the cancelled one had asked for."""
    options: dict[str, Any] = {"prefix": on_redis.prefix}
    async with hub_on(on_redis.server.port, **options) as hub:
        go = anyio.Event()
        await hub.publish("mine", lambda: count(20, go, 10), protocol=None)
        await hub.publish("other", lambda: _words(b"foreign"), protocol=None)
        for _ in range(30):
            with anyio.move_on_after(0.005):
                async with hub.subscribe("mine") as items:
                    async for _ in items:
                        pass
            async with hub.subscribe("other") as others:
                assert [item.data async for item in others] == [b"foreign"] * 5
        go.set()
        async with hub.subscribe("mine") as items:
            assert [item.data async for item in items] == [b"%d" % i for i in range(20)]


async def _words(word: bytes) -> AsyncIterator[bytes]:
    for _ in range(5):
        yield word


@pytest.mark.invariants(step_ms=500, because="it starts a server in this loop")
async def test_fault_75_flushall_ends_producer_and_readers_with_a_word() -> None:
    with RedisServer() as server:
        client = server.client()
        async with hub_on(server.port, lease=2.0) as hub, hub_on(server.port, lease=2.0) as reader:
            go = anyio.Event()
            run = await hub.publish("s", lambda: count(100, go, 50), protocol=None)
            async with reader.subscribe("s") as items:
                for _ in range(50):
                    await anext(items)
                client.flushall()
                go.set()
                with anyio.fail_after(20):
                    with pytest.raises(ResumeGap) as caught:
                        await anext(items)
                    assert caught.value.reason == "gone"
                    await run.wait()
            assert isinstance(run.error, LogError)
            assert run.error.reason == "gone"
        client.close()


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading", True),
        (b"-READONLY You can't write against a read only replica.\r\n", "readonly", True),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "memory", True),
        (b"-NOAUTH Authentication required.\r\n", "auth", False),
        (b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "refused", False),
        (b"-MISCONF Errors writing to the AOF file: No space left on device\r\n", "readonly", True),
    ],
)
async def test_fault_81_89_what_redis_answers_has_a_reason(answer: bytes, reason: str, retryable: bool) -> None:
    async def serve(client: Any) -> None:
        async with client:
            try:
                while True:
                    for _ in range((await client.receive()).count(b"\r\n*") + 1):
                        await client.send(answer)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with hub_on(port, patience=0.1) as hub:
            with pytest.raises(LogError) as caught, anyio.fail_after(10):
                await hub.publish("s", lambda: count(1), protocol=None)
        tasks.cancel_scope.cancel()
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)


class SmallDisk(RedisServer):
    """A redis-server whose files may grow to `n_bytes`: to it the disk is full then."""

    def limit(self, n_bytes: int) -> None:
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


@pytest.mark.invariants(step_ms=500, because="it starts a server in this loop")
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
async def test_fault_89_a_full_disk_is_told_and_no_reader_waits_for_ever() -> None:
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # inherited by the server: its writes fail instead
    try:
        server = SmallDisk("--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "yes")
    finally:
        signal.signal(signal.SIGXFSZ, old)
    with server:
        server.limit(4096)
        async with hub_on(server.port, patience=0.3, lease=2.0) as hub:

            async def large() -> AsyncIterator[bytes]:
                for i in range(10_000):
                    yield b"%d " % i + b"x" * 100
                    await anyio.sleep(0.002)

            with anyio.fail_after(40):
                try:
                    run = await hub.publish("s", large, protocol=None)
                    assert await run.wait() is Status.ERROR
                    assert isinstance(run.error, LogError)
                except LogError:
                    pass


def test_the_proxy_does_what_it_says() -> None:
    """RST is RST, FIN is FIN: else the faults above were others than they are called."""
    import socket

    def ends(kind: Any) -> str:
        with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1], Hurt(kind, 3)) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"abcdef")
                    got = b""
                    client.settimeout(0.3)
                    try:
                        while data := client.recv(10):
                            got += data
                        end = "fin"
                    except ConnectionResetError:
                        end = "rst"
                    except TimeoutError:
                        end = "silence"
            return f"{got.decode('latin-1')} {end}"

    assert ends("cut") == "abc fin"
    assert ends("half_close") == "abc fin"
    assert ends("reset") in ("abc rst", " rst")
    assert ends("stall") == "abc silence"
    assert ends("drip") == "abcdef silence"
    assert ends("corrupt") == "abc\x9bef silence"
