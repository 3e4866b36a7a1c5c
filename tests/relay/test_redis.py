"""What only a real server can show: restarts, trouble of every kind, keys, connections, foreign bytes."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import millstream as ms
from millstream.errors import LogError, ResumeGap, StreamNotFound, UsageError
from millstream.relay import Hub, MemoryLog, RedisLog, Status
from millstream.relay._connection import log_error
from relay.engines import OnCluster, OnRedis, until
from relay.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def count(n: int, wait: anyio.Event | None = None) -> AsyncIterator[bytes]:
    for i in range(n):
        if i == n // 2 and wait is not None:
            await wait.wait()
        yield b"%d" % i
        await anyio.lowlevel.checkpoint()


def hub_on(server: RedisServer, **options: Any) -> Hub:
    patience = options.pop("patience", 20.0)
    log = RedisLog(server.url, **{"lease": 2.0, "timeout": 1.0} | options)
    return Hub(log, authorize=lambda *_: True, patience=patience)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


# --- a server that is not there ----------------------------------------------------------------------------------


async def test_redis_down_from_the_beginning_is_told(on_redis: OnRedis) -> None:
    with RedisServer() as server:
        server.kill()
        async with hub_on(server, patience=0.2) as hub:
            for attempt in (hub.publish("s", lambda: count(1), protocol=None), hub.status("s"), hub.cancel("s")):
                with pytest.raises(LogError) as caught:
                    await attempt
                assert (caught.value.reason, caught.value.retryable) == ("connection", True)
                assert caught.value.__cause__ is not None
                assert str(server.port) not in str(caught.value)
            with pytest.raises(LogError):
                await hub.subscribe("s").__aenter__()
            server.start()
            await hub.publish("s", lambda: count(3), protocol=None)
            async with hub.subscribe("s") as items:
                assert len(await items.collect()) == 3


async def test_a_cluster_that_has_gone_is_told(anyio_backend: str) -> None:
    redis = pytest.importorskip("redis")
    with RedisServer("--cluster-enabled", "yes") as server:
        on = OnCluster(server)
        on.client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        await until(lambda: b"cluster_state:ok" in on.client.execute_command("CLUSTER", "INFO"))
        async with Hub(on.log(), authorize=lambda *_: True, patience=0) as hub:
            assert (await hub.status("s")).status is Status.MISSING
            server.kill()
            with pytest.raises(LogError) as caught, anyio.fail_after(30):
                await hub.status("s")
        on.close()
    for error in (caught.value, log_error(redis.exceptions.ClusterError("TTL exhausted."))):
        assert (error.reason, error.retryable) == ("connection", True)


async def test_a_restart_that_keeps_its_data_loses_and_repeats_nothing() -> None:
    """Fault 68."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        async with hub_on(server, lease=5.0) as hub, hub_on(server, lease=5.0) as reader:
            go = anyio.Event()
            run = await hub.publish("s", lambda: count(2000, go), protocol=None)
            got: list[bytes] = []
            async with reader.subscribe("s") as items, anyio.create_task_group() as tasks:

                async def read() -> None:
                    async for item in items:
                        got.append(item.data)

                tasks.start_soon(read)
                await until(lambda: len(got) == 1000)
                server.kill()
                go.set()
                await until(lambda: len(run._buffer._items) > 0 or run._buffer.closed)  # type: ignore[attr-defined]
                server.start()
            assert got == [b"%d" % i for i in range(2000)]
            assert await run.wait() is Status.DONE


async def test_a_restart_without_data_ends_producer_and_readers() -> None:
    """Fault 69."""
    with RedisServer() as server:
        async with hub_on(server) as hub, hub_on(server) as reader:
            go = anyio.Event()
            run = await hub.publish("s", lambda: count(100, go), protocol=None)
            async with reader.subscribe("s") as items:
                for _ in range(50):
                    last = await anext(items)
                server.kill()
                server.start()
                go.set()
                with pytest.raises(ResumeGap) as caught, anyio.fail_after(20):
                    await anext(items)
                assert caught.value.reason == "gone"
            with anyio.fail_after(20):
                await run.wait()
            assert isinstance(run.error, LogError)
            assert run.error.reason == "gone"
            with pytest.raises(StreamNotFound):
                await reader.subscribe("s", after=last.id).__aenter__()


async def test_a_server_that_hangs_is_waited_for_and_nothing_is_written_twice() -> None:
    """Fault 71: the time-out of an append leaves open whether it was done."""
    with RedisServer() as server:
        async with hub_on(server, lease=30.0, timeout=0.3) as hub:
            go = anyio.Event()
            run = await hub.publish("s", lambda: count(1000, go), protocol=None)
            await until(lambda: _seq(hub, 500))
            server.pause()
            go.set()
            await anyio.sleep(0.7)  # two time-outs pass
            server.resume()
            assert await run.wait() is Status.DONE
            async with hub.subscribe("s") as items:
                assert [item.data async for item in items] == [b"%d" % i for i in range(1000)]


async def test_redis_gone_for_good_ends_the_producer_after_its_patience() -> None:
    with RedisServer() as server:
        async with hub_on(server, patience=0.3) as hub:
            go = anyio.Event()
            run = await hub.publish("s", lambda: count(10, go), protocol=None)
            async with hub.subscribe("s") as items:
                await anext(items)
                server.kill()
                go.set()
                with anyio.fail_after(20):
                    assert await run.wait() is Status.ERROR
                    with pytest.raises(LogError):
                        await items.collect()
            assert isinstance(run.error, LogError)


async def _seq(hub: Hub, seq: int) -> bool:
    return (await hub.status("s")).seq >= seq


# --- a server that says no ---------------------------------------------------------------------------------------


async def test_what_redis_refuses_has_a_reason_and_its_retry_class(anyio_backend: str) -> None:
    """Fault 81."""
    with RedisServer("--requirepass", "sesame") as server:
        async with hub_on(server, patience=0.2) as hub:
            with pytest.raises(LogError) as caught:
                await hub.publish("s", lambda: count(1), protocol=None)
        assert (caught.value.reason, caught.value.retryable) == ("auth", False)
        server.url = f"redis://:wrong-one@127.0.0.1:{server.port}/0"
        async with hub_on(server, patience=0.2) as hub:
            with pytest.raises(LogError) as caught:
                await hub.publish("s", lambda: count(1), protocol=None)
        assert (caught.value.reason, "wrong-one" in str(caught.value)) == ("auth", False)
        server.url = f"redis://:sesame@127.0.0.1:{server.port}/0"
        client = server.client()
        async with hub_on(server, patience=0.2) as hub:
            await (await hub.publish("before", lambda: count(3), protocol=None)).wait()
            for words, reason in (
                (["CONFIG", "SET", "maxmemory", "1"], "memory"),
                (["REPLICAOF", "127.0.0.1", "1"], "readonly"),
            ):
                client.execute_command(*words)
                with pytest.raises(LogError) as caught:
                    await hub.publish("s", lambda: count(1), protocol=None)
                assert (caught.value.reason, caught.value.retryable) == (reason, True)
                client.execute_command("CONFIG", "SET", "maxmemory", "0")
            client.execute_command("REPLICAOF", "NO", "ONE")
            await (await hub.publish("s", lambda: count(3), protocol=None)).wait()
            client.execute_command("SET", hub.log._keys("wrong")[0], "no hash")
            with pytest.raises(LogError) as caught:
                await hub.publish("wrong", lambda: count(1), protocol=None)
            assert (caught.value.reason, caught.value.retryable) == ("refused", False)
        client.close()


async def test_scripts_are_loaded_again_when_the_server_forgets_them(on_redis: OnRedis) -> None:
    async with Hub(on_redis.log(), authorize=lambda *_: True) as hub:
        for stream_id in ("a", "b"):
            run = await hub.publish(stream_id, lambda: count(100), protocol=None)
            on_redis.client.execute_command("SCRIPT", "FLUSH")
            assert await run.wait() is Status.DONE


# --- keys --------------------------------------------------------------------------------------------------------


async def test_every_key_expires_and_an_ended_stream_sooner(on_redis: OnRedis) -> None:
    go = anyio.Event()

    def left(letter: str) -> float:
        return float(on_redis.client.pttl(on_redis.key("s", letter))) / 1000

    log = on_redis.log(ttl=1000, retain=100, lease=30)
    async with Hub(log, authorize=lambda *_: True) as hub:
        run = await hub.publish("s", lambda: count(10, go), protocol=None)
        await until(lambda: _seq(hub, 5))
        assert [500 < left(letter) <= 1000 for letter in "ms"] == [True, True]
        assert 5 < left("l") <= 30
        async with hub.subscribe("s") as items:
            await anext(items)
            go.set()
            await run.wait()
            await items.collect()
        await hub.publish("orphan", lambda: count(1), protocol=None, owner="me")
        await hub.cancel("orphan", owner="me")
        assert [50 < left(letter) <= 100 for letter in "ms"] == [True, True]
        assert left("l") < 0
        keys = list(on_redis.client.scan_iter(f"{on_redis.prefix}:*"))
        assert len(keys) >= 5
        assert [key for key in keys if on_redis.client.pttl(key) < 0] == []
        assert any(b"control" in key for key in keys)
        await hub.delete("s")
        assert on_redis.client.exists(*(on_redis.key("s", letter) for letter in "mls")) == 0


async def test_the_keys_of_a_stream_share_a_slot(on_redis: OnRedis) -> None:
    from redis.crc import key_slot

    log = on_redis.log()
    for key in ("chat-42", "0123456789abcdef/chat", "a:b@c~d-e.f"):
        slots = {key_slot(name.encode()) for name in log._keys(key)}
        assert len(slots) == 1


def test_bad_settings_are_refused(anyio_backend: str) -> None:
    import redis.asyncio

    for options in ({"lease": 0}, {"ttl": -1}, {"retain": 0}, {"maxlen": 0}, {"timeout": 0}, {"prefix": "{a}"}):
        with pytest.raises(ValueError, match=r"positive|braces"):
            RedisLog("redis://localhost", **options)
    with pytest.raises(UsageError, match="async"):
        RedisLog(redis.asyncio.Redis())


async def test_a_client_gives_its_settings(on_redis: OnRedis) -> None:
    import redis

    client = redis.Redis(port=on_redis.server.port, decode_responses=True, client_name="ours")
    async with Hub(RedisLog(client, prefix=on_redis.prefix), authorize=lambda *_: True) as hub:
        await hub.publish("s", lambda: count(3), protocol=None)
        async with hub.subscribe("s") as items:
            assert [item.data async for item in items] == [b"0", b"1", b"2"]
        assert {entry["name"] for entry in on_redis.client.client_list()} >= {"ours"}
    client.close()


async def test_a_log_has_one_owner(on_redis: OnRedis) -> None:
    log = on_redis.log()
    with pytest.raises(UsageError, match="not running"):
        await log.info("s")
    async with log:
        with pytest.raises(UsageError, match="already"):
            await log.__aenter__()
    with pytest.raises(UsageError, match="already"):
        await log.__aenter__()


# --- connections -------------------------------------------------------------------------------------------------


async def test_a_process_holds_three_connections_however_many_read(on_redis: OnRedis) -> None:
    name = f"counted-{on_redis.prefix}"

    def connections() -> int:
        return [client["name"] for client in on_redis.client.client_list()].count(name)

    log = RedisLog(f"{on_redis.server.url}?client_name={name}", prefix=on_redis.prefix)
    async with Hub(log, authorize=lambda *_: True) as hub:
        go = anyio.Event()
        done: list[int] = []
        async with anyio.create_task_group() as tasks:
            for i in range(10):
                await hub.publish(f"s{i}", lambda: count(20, go), protocol=None)

                async def read(stream_id: str) -> None:
                    async with hub.subscribe(stream_id) as items:
                        done.append(len(await items.collect()))

                for _ in range(10):
                    tasks.start_soon(read, f"s{i}")
            await until(lambda: hub.log._reader.n_followers == 100)
            assert connections() == 3
            go.set()
        assert done == [20] * 100
        assert hub.log._reader.n_followers == 0
    await until(lambda: connections() == 0)


async def test_nobody_reads_anothers_bytes_under_a_storm_of_cancellations(on_redis: OnRedis) -> None:
    """Threat S5, fault 72."""
    canaries = {f"s{i}": secrets.token_bytes(16) for i in range(8)}
    foreign: list[bytes] = []
    seen = 0

    async def sing(canary: bytes) -> AsyncIterator[bytes]:
        for i in range(200):
            yield canary + b"%d" % i
            await anyio.lowlevel.checkpoint()

    async with Hub(on_redis.log(), authorize=lambda *_: True) as hub:
        for stream_id, canary in canaries.items():
            await hub.publish(stream_id, lambda canary=canary: sing(canary), protocol=None)

        async def read(stream_id: str, delays: int) -> None:
            nonlocal seen
            after, next_one = None, 0
            for patience in range(10_000):
                with anyio.move_on_after(0.001 * (patience % delays)):
                    async with hub.subscribe(stream_id, after=after) as items:
                        async for item in items:
                            if item.data != canaries[stream_id] + b"%d" % next_one:
                                foreign.append(item.data)
                            after, next_one = item.id, next_one + 1
                            seen += 1
                        break
                if next_one == 200:
                    break

        with anyio.fail_after(50):
            async with anyio.create_task_group() as tasks:
                for stream_id in canaries:
                    for delays in (11, 61):
                        tasks.start_soon(read, stream_id, delays)
    assert foreign == []
    assert seen == 8 * 2 * 200


async def test_leaving_while_the_reader_blocks_is_quick(on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.relay._reader.BLOCK_MS", 300_000)
    hub = Hub(on_redis.log(), authorize=lambda *_: True)
    go = anyio.Event()
    with anyio.fail_after(20):
        async with hub:
            await hub.publish("s", lambda: count(2, go), protocol=None)
            async with hub.subscribe("s") as items:
                await anext(items)
                await until(lambda: hub.log._reader.is_reading)


# --- both engines in one program ---------------------------------------------------------------------------------


async def test_keys_that_something_else_has_overwritten_are_told(on_redis: OnRedis) -> None:
    async with on_redis.hub() as hub:
        await (await hub.publish("s", lambda: count(3), protocol=None)).wait()
        on_redis.client.set(on_redis.key("s", "s"), "not ours")
        with pytest.raises(LogError) as caught:
            async with hub.subscribe("s") as items:
                await items.collect()
        assert (caught.value.reason, caught.value.retryable) == ("refused", False)


async def test_the_end_of_payload_is_never_mistaken(on_redis: OnRedis) -> None:
    """Fault 79, threat S2."""
    words = [b"fin", b"done", b'{"type":"finish"}', b"data: [DONE]\n\n", b"d", b"", b"\r\n+OK\r\n", b"-1\r\n"]

    async def make() -> AsyncIterator[bytes]:
        for word in words:
            yield word

    for log in (on_redis.log(), MemoryLog()):
        async with Hub(log, authorize=lambda *_: True) as hub:
            await hub.publish("s", make, protocol=None)
            async with hub.subscribe("s") as items:
                assert [item.data async for item in items] == [word for word in words if word]


def test_the_extra_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ms.errors.MissingExtra, match=r"millstream\[redis\]"):
        RedisLog("redis://localhost")


# --- a server that forgets, connections that break ---------------------------------------------------------------


async def test_a_lost_end_of_the_log_is_never_passed_over_in_silence() -> None:
    """Fault 70: what a failover to a replica that lags does, by the way of an older snapshot."""
    with RedisServer() as server:
        client = server.client()
        async with hub_on(server, lease=5.0) as hub, hub_on(server, lease=5.0) as reader:
            go, more = anyio.Event(), anyio.Event()

            async def make() -> AsyncIterator[bytes]:
                for i in range(30):
                    if i == 10:
                        await go.wait()
                    if i == 20:
                        await more.wait()
                    yield b"%d" % i

            run = await hub.publish("s", make, protocol=None)
            async with reader.subscribe("s") as items:
                for _ in range(10):
                    await anext(items)
                client.save()
                go.set()
                for _ in range(10):
                    last = await anext(items)
                server.kill()
                server.start()  # knows ten entries
                with pytest.raises(ResumeGap) as caught:
                    await reader.subscribe("s", after=last.id).__aenter__()
                assert caught.value.reason == "future"
                more.set()
                with anyio.fail_after(20):
                    assert await run.wait() is Status.ERROR
                assert isinstance(run.error, LogError)
                assert run.error.reason == "lost"
                with pytest.raises((ResumeGap, ms.StreamError)) as caught, anyio.fail_after(20):
                    await anext(items)
                assert caught.value.reason == "future"
        client.close()


async def test_connections_that_break_all_the_time_lose_and_repeat_nothing(on_redis: OnRedis) -> None:
    """Fault 72."""
    got: list[bytes] = []
    n = 1500

    async def make() -> AsyncIterator[bytes]:
        for i in range(n):
            yield b"%d" % i
            await anyio.sleep(0.0005)

    options = {"authorize": lambda *_: True, "patience": 30.0}
    async with Hub(on_redis.log(), **options) as hub, Hub(on_redis.log(), **options) as reader:
        run = await hub.publish("s", make, protocol=None)
        async with reader.subscribe("s") as items, anyio.create_task_group() as tasks:

            async def read() -> None:
                async for item in items:
                    got.append(item.data)

            tasks.start_soon(read)
            for _ in range(20):
                await anyio.sleep(0.03)
                on_redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            tasks.start_soon(run.wait)
        assert got == [b"%d" % i for i in range(n)]
        assert await run.wait() is Status.DONE


async def test_the_readers_of_this_process_may_go_on_without_redis() -> None:
    with RedisServer() as server:
        log = RedisLog(server.url, lease=2.0, timeout=1.0)
        async with Hub(log, authorize=lambda *_: True, patience=0.2, on_log_error="local") as hub:
            go, more = anyio.Event(), anyio.Event()

            async def make() -> AsyncIterator[bytes]:
                for i in range(300):
                    if i == 100:
                        await go.wait()
                    if i == 200:
                        await more.wait()
                    yield b"%d" % i

            run = await hub.publish("s", make, protocol=None)
            got: list[bytes] = []
            async with hub.subscribe("s") as items, anyio.create_task_group() as tasks:

                async def read() -> None:
                    async for item in items:
                        got.append(item.data)

                tasks.start_soon(read)
                await until(lambda: len(got) == 100)
                assert not run.local
                server.kill()
                go.set()
                await until(lambda: len(got) == 200)
                assert run.local
                assert (await hub.status("s")).status is Status.OPEN
                async with hub.subscribe("s", on_gap="earliest") as late:
                    assert (await anext(late)).data == b"100"
                    assert late.gap is not None
                    more.set()
                    with anyio.fail_after(20):
                        await late.collect()
            assert got == [b"%d" % i for i in range(300)]
            assert await run.wait() is Status.DONE


async def test_a_stream_that_went_local_can_be_cancelled() -> None:
    with RedisServer() as server:
        log = RedisLog(server.url, lease=2.0, timeout=1.0)
        async with Hub(log, authorize=lambda *_: True, patience=0.2, on_log_error="local") as hub:
            go = anyio.Event()

            async def make() -> AsyncIterator[bytes]:
                yield b"a"
                await go.wait()
                yield b"b"
                await anyio.sleep(600)

            run = await hub.publish("s", make, protocol=None)
            async with hub.subscribe("s") as items:
                await anext(items)
                server.kill()
                go.set()
                with anyio.fail_after(20):
                    assert (await anext(items)).data == b"b"
                    await hub.cancel("s")
                    assert await items.collect() == []
                    assert await run.wait() is Status.CANCELLED


def test_what_to_do_without_a_log_is_one_of_two(anyio_backend: str) -> None:
    with pytest.raises(ValueError, match="local"):
        Hub(MemoryLog(), authorize=lambda *_: True, on_log_error="ignore")  # type: ignore[arg-type]


FORKS = """
import os, sys
import anyio
import millstream as ms

async def main():
    log = ms.relay.RedisLog(sys.argv[1])
    async with ms.relay.Hub(log, authorize=lambda scope, stream: True) as hub:
        await hub.status("before", scope=None)
        child = os.fork()
        if child == 0:
            try:
                with anyio.fail_after(10):
                    await hub.status("s", scope=None)
                os._exit(1)
            except ms.errors.LogError as error:
                os._exit(0 if "forked" in error.message else 2)
            except RuntimeError as error:  # asyncio's loops know by themselves that they are a copy
                os._exit(0 if sys.argv[2] == "asyncio" and "loop" in str(error) else 3)
            finally:
                os._exit(4)
        _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        await hub.status("after", scope=None)

anyio.run(main, backend=sys.argv[2])
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_fault_57_a_fork_is_told_that_the_log_is_its_parents(on_redis: OnRedis, anyio_backend: str) -> None:
    """The thread that sends does not come along: the child waited for ever for what nobody would send (C10)."""
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, on_redis.server.url, anyio_backend]
    done = await anyio.run_process(words, check=False, stderr=subprocess.PIPE)
    assert done.stdout == b"ok\n", done.stderr.decode()[-2000:]
