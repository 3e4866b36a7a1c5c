"""What an event costs on its way through the relay: `python -m bench.bench_relay` prints it, a section of RESULTS.md.

Source, producer, log and reader are in one process, on asyncio; redis-server is a real one on the same machine. "Alone"
is one event at a time: the next one leaves the source when every reader has the last one. "In bursts" is BURST that are
ready together. Events are text deltas, encoded on their way in; each reader checks that they come in order, and that
none is lost or doubled. Times are CPU times of the process, the median of ROUNDS, by turns; redis-server's own time is
not in them. The first row is the same exchange between two tasks with nothing between them, also ours.
With `--throughput`: how fast a log takes and gives, and how long an event is under way.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.section import Section, figure, table
from millstream.events import TextDelta
from millstream.relay import Hub, MemoryLog, RedisLog, StreamLog
from millstream.relay._log import Claim
from millstream.streams import Stream
from relay.redis_server import RedisServer

BURST, READERS, STREAMS = 50, 10, 100
ROUNDS = 15
TARGETS = {"memory": (25.0, 3.0), "redis": (60.0, 6.0)}  # us alone, in bursts

PAYLOAD = b'data: {"type":"text_delta","text":" word"}\n\n'
N = 50_000


def everybody(scope: Any, stream_id: str) -> bool:
    return True


class Ticks:
    """Sources that give their next events together, when all readers have the last ones."""

    def __init__(self, n: int, size: int, readers: int) -> None:
        self.n, self._size, self._readers = n, size, readers
        self._missing = readers
        self._turn = anyio.Event()
        self.right = True
        self.begin, self.seconds = 0.0, 0.0

    async def source(self) -> AsyncIterator[list[TextDelta]]:
        for at in range(0, self.n, self._size):
            yield [TextDelta(f" word {i}") for i in range(at, at + self._size)]
            await self._turn.wait()

    def got(self, n: int) -> None:
        """A reader has so many: to be called after each burst."""
        self._missing -= 1
        if self._missing == 0:
            self._missing = self._readers
            if n == self._size:  # opening is over
                self.begin = time.process_time()
            self.seconds = time.process_time() - self.begin
            turn, self._turn = self._turn, anyio.Event()
            turn.set()

    async def read(self, stream: Stream[Any]) -> None:
        n = 0
        async with stream:
            async for batch in stream.batches():
                for item in batch:
                    event = getattr(item, "event", item) if n % 10 == 0 else None  # decoding is not what is measured
                    self.right = self.right and (event is None or event.text == f" word {n}")
                    n += 1
                if n % self._size == 0:
                    self.got(n)
        self.right = self.right and n == self.n


async def through(log: StreamLog, n: int, size: int, streams: int = 1, readers: int = 1) -> tuple[float, bool]:
    """Return (us of CPU for each event and reader, whether all was right)."""
    ticks = Ticks(n, size, streams * readers)
    async with Hub(log, authorize=everybody) as hub, anyio.create_task_group() as tasks:
        for i in range(streams):
            await hub.publish(f"s{i}", lambda: Stream.from_batches(ticks.source()))
        for i in range(streams * readers):
            tasks.start_soon(ticks.read, hub.subscribe(f"s{i % streams}"))
    return ticks.seconds / (n - size) / streams / readers * 1e6, ticks.right


async def nothing(n: int, size: int) -> tuple[float, bool]:
    """The same between two tasks: what any way from one to the other costs."""
    ticks = Ticks(n, size, 1)
    box: list[list[TextDelta]] = []
    ready = anyio.Event()

    async def pump() -> None:
        async with Stream.from_batches(ticks.source()) as stream:
            async for batch in stream.batches():
                box.append(batch)
                ready.set()
        ready.set()

    async def take() -> AsyncIterator[list[TextDelta]]:
        nonlocal ready
        for _ in range(n // size):
            await ready.wait()
            ready = anyio.Event()
            yield box.pop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump)
        await ticks.read(Stream.from_batches(take()))
    return ticks.seconds / (n - size) * 1e6, ticks.right


def section() -> Section:
    with RedisServer() as server:
        client = server.client()

        def redis() -> RedisLog:
            client.flushall()
            return RedisLog(server.url)

        rows: dict[str, list[Callable[[], Awaitable[tuple[float, bool]]]]] = {
            "from one task to another, without a relay": [lambda: nothing(3000, 1), lambda: nothing(30_000, BURST)],
            "MemoryLog, one reader": [
                lambda: through(MemoryLog(), 3000, 1),
                lambda: through(MemoryLog(), 30_000, BURST),
            ],
            f"MemoryLog, {READERS} readers, for each": [
                lambda: through(MemoryLog(), 600, 1, readers=READERS),
                lambda: through(MemoryLog(), 6000, BURST, readers=READERS),
            ],
            f"MemoryLog, {STREAMS} streams": [
                lambda: through(MemoryLog(), 60, 1, STREAMS),
                lambda: through(MemoryLog(), 600, BURST, STREAMS),
            ],
            "RedisLog, one reader": [lambda: through(redis(), 600, 1), lambda: through(redis(), 15_000, BURST)],
            f"RedisLog, {READERS} readers, for each": [
                lambda: through(redis(), 200, 1, readers=READERS),
                lambda: through(redis(), 3000, BURST, readers=READERS),
            ],
            f"RedisLog, {STREAMS} streams": [
                lambda: through(redis(), 30, 1, STREAMS),
                lambda: through(redis(), 300, BURST, STREAMS),
            ],
        }
        times: dict[tuple[str, int], list[float]] = {(name, i): [] for name in rows for i in range(2)}
        wrong: set[str] = set()
        for _ in range(ROUNDS):
            for name, runs in rows.items():
                for i, run in enumerate(runs):
                    cost, right = anyio.run(run)
                    times[name, i].append(cost)
                    wrong |= set() if right else {name}
        commands = {size: anyio.run(asked, redis(), client, size) for size in (1, BURST)}
        client.close()
    us = {place: statistics.median(found) for place, found in times.items()}

    def cell(name: str, i: int) -> str:
        low, _, high = statistics.quantiles(times[name, i], n=4)
        return f"{figure(us[name, i])} ({figure(low)}-{figure(high)})"

    out = Section(
        [
            "Microseconds of CPU for each event, from the source of a stream to its reader; with the middle half.",
            "",
            *table(
                ["", "alone", f"in bursts of {BURST}"], [[name, cell(name, 0), cell(name, 1)] for name in rows], "lrr"
            ),
            "",
            f"Round trips to Redis: {commands[1]:.2f} for one event, {commands[BURST]:.2f} for a burst of {BURST};",
            "one writes, and one waits for what is written.",
        ],
        wrong=sorted(wrong),
    )
    for name, (alone, bursts) in TARGETS.items():
        row = "MemoryLog, one reader" if name == "memory" else "RedisLog, one reader"
        out.at_most(f"{row}, alone", alone, us[row, 0], unit=" us")
        out.at_most(f"{row}, in bursts of {BURST}", bursts, us[row, 1], unit=" us")
    return out


async def asked(log: StreamLog, client: Any, size: int) -> float:
    """Return how many commands go to Redis for what is ready together."""

    def calls() -> int:
        stats = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "xread", "multi"))

    before, n = calls(), 200
    _, right = await through(log, n * size, size)
    if not right:
        raise SystemExit("wrong result")
    return (calls() - before) / n


# --- throughput and latency ------------------------------------------------------------------------------------------


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

    async with Hub(log, authorize=everybody) as hub:
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

    async with Hub(log, authorize=everybody) as hub:
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
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"], help="for --throughput")
    options = parser.parse_args()
    if not options.throughput:
        found = section()
        print(*found.text, *found.targets, *found.wrong, sep="\n")
        return
    backend = options.backend
    with RedisServer() as server:
        for batch, writers in ((1, 1), (64, 1), (256, 1), (64, 16)):
            anyio.run(append, RedisLog(server.url), batch, writers, backend=backend)
        for work in (whole, latency, tail):
            server.client().flushall()
            anyio.run(work, RedisLog(server.url), backend=backend)
            anyio.run(work, MemoryLog(), backend=backend)


if __name__ == "__main__":
    main()
