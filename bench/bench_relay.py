"""The relay on a real redis-server: append, replay and live tail. Run it: `python -m bench.bench_relay`.

Every row is checked: what comes out is what went in, in order. Targets of issue 8: 100,000 events/s appended in
batches, tail p50 under 1 ms. Both sides are in this process, the worst case for latency: they share one interpreter.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from millstream.relay import Hub, MemoryLog, RedisLog, StreamLog
from millstream.relay._log import Claim
from relay.redis_server import RedisServer

PAYLOAD = b'data: {"type":"text_delta","text":" word"}\n\n'
N = 50_000


def row(name: str, n: int, seconds: float, *, correct: bool, extra: str = "") -> None:
    if not correct:
        raise SystemExit(f"{name}: wrong result")
    print(f"{name:44} {n / seconds:12,.0f} events/s {seconds / n * 1e6:9.2f} us/event  correct {extra}", flush=True)


async def append(log: StreamLog, batch: int, writers: int = 1) -> None:
    """Events/s appended by the log itself."""
    async with log:
        keys = [secrets.token_hex(4) for _ in range(writers)]
        n = N // writers // batch * batch if batch > 1 else 3000
        gens = [
            (await log.acquire(key, "error", Claim(key, "", "", b"", secrets.token_bytes(32)))).info.gen for key in keys
        ]

        async def write(key: str, gen: int) -> None:
            items = [PAYLOAD] * batch
            for first in range(1, n + 1, batch):
                await log.append(key, gen, first, items)

        begin = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for key, gen in zip(keys, gens, strict=True):
                tasks.start_soon(write, key, gen)
        seconds = time.perf_counter() - begin
        right = True
        for key in keys:
            info = await log.info(key)
            right = right and info.seq == n
            await log.delete(key)
        row(f"{type(log).__name__}.append, batch {batch}, {writers} writers", n * writers, seconds, correct=right)


async def whole(log: StreamLog) -> None:
    """From a source to a live reader, and again from the log."""

    async def make() -> AsyncIterator[list[bytes]]:
        for i in range(0, N, 60):
            yield [b"%d " % j + PAYLOAD for j in range(i, min(N, i + 60))]

    from millstream import Stream

    async with Hub(log, authorize=lambda *_: True) as hub:
        for name in ("live", "replay"):
            begin = time.perf_counter()
            if name == "live":
                await hub.publish("s", lambda: Stream.from_batches(make()), protocol=None)
            right = n = 0
            async with hub.subscribe("s") as items:
                async for batch in items.batches():
                    for item in batch:
                        right += item.data.startswith(b"%d " % n)
                        n += 1
            seconds = time.perf_counter() - begin
            row(f"Hub over {type(log).__name__}, {name}", N, seconds, correct=right == n == N)


async def latency(log: StreamLog, n: int = 1000) -> None:
    """From an item leaving the source to the reader having it, one at a time."""
    sent: list[float] = []
    got: list[float] = []
    turn = anyio.Event()

    async def make() -> AsyncIterator[bytes]:
        nonlocal turn
        for i in range(n):
            sent.append(time.perf_counter())
            yield b"%d" % i
            await turn.wait()
            turn = anyio.Event()

    async with Hub(log, authorize=lambda *_: True) as hub:
        await hub.publish("s", make, protocol=None)
        right = True
        async with hub.subscribe("s") as items:
            async for item in items:
                got.append(time.perf_counter())
                right = right and item.data == b"%d" % (len(got) - 1)
                await anyio.sleep(0.001)
                turn.set()
    times = sorted((b - a) * 1e3 for a, b in zip(sent, got, strict=True))
    p50, p99 = statistics.median(times), times[int(n * 0.99)]
    row(
        f"Hub over {type(log).__name__}, source to reader",
        n,
        sum(times) / 1e3,
        correct=right,
        extra=f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
    )


async def tail(log: StreamLog, n: int = 1000) -> None:
    """From an append being ordered to the follower having the entry."""
    times: list[float] = []
    async with log:
        gen = (await log.acquire("t", "error", Claim("t", "", "", b"", b"s" * 32))).info.gen
        arrived = anyio.Event()
        seqs: list[int] = []

        def push(epoch: int, entries: list[Any]) -> None:
            seqs.extend(entry.seq for entry in entries)
            arrived.set()

        unfollow = log.follow("t", gen, 0, push)
        await anyio.sleep(0.05)
        for i in range(1, n + 1):
            begin = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.append, "t", gen, i, [PAYLOAD])
                while len(seqs) < i:
                    await arrived.wait()
                    arrived = anyio.Event()
                times.append((time.perf_counter() - begin) * 1e3)
        unfollow()
        await log.delete("t")
    times.sort()
    p50, p99 = statistics.median(times), times[int(n * 0.99)]
    row(
        f"{type(log).__name__}, append to follower",
        n,
        sum(times) / 1e3,
        correct=seqs == list(range(1, n + 1)),
        extra=f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    backend = parser.parse_args().backend
    with RedisServer() as server:
        for batch, writers in ((1, 1), (64, 1), (256, 1), (64, 16)):
            anyio.run(append, RedisLog(server.url), batch, writers, backend=backend)
        for work in (whole, latency, tail):
            server.client().flushall()
            anyio.run(work, RedisLog(server.url), backend=backend)
            anyio.run(work, MemoryLog(), backend=backend)


if __name__ == "__main__":
    main()
