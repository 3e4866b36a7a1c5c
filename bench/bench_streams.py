"""What a pipeline costs per event: each operator, five of them, and the same work by the peers, in one run.

`python -m bench.bench_streams` prints the table, a section of bench/RESULTS.md; `--soak N` sends N events through
five operators and reports speed and memory at the beginning and at the end. Each row checks its answer before it is
timed; a wrong one is not printed. Peers: aiostream, and a pipeline written by hand with anyio memory streams, a task
per step. "1" is one event per await, "64" is 64 events per network chunk. aiostream takes chunks apart with `flatmap`;
in the rows "unpacked" a generator written by hand does so before it. Other peers get single
events, so that their second column repeats the first. "Bare loop" is what the work itself costs. The last target is the
way of 50 events per chunk from a body to `async for`, less the same decoder in a plain loop; it gives prepared events,
because real decoding would hide what is measured. Times are CPU times, the median of ROUNDS: nothing here waits; what
other programs do to caches and clock rates is in the spread, from the fastest round to the slowest. Memory is that of
MEMORY_STREAMS streams whose consumers wait for a chunk, by tracemalloc, less what a task that waits for the same takes.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from bench.section import Section
from millstream.events import Event, TextDelta
from millstream.protocols import Bytes
from millstream.streams import RetryPolicy, Stream, StreamMonitor
from millstream.streams.sources.body import BodySource

EVENTS = 9_600
ROUNDS = 15
BATCH = 64
BY_BATCHES = "map + filter, read by batches()"

# The target of issue 5 for map + filter, batched, and for five operators against aiostream.
TARGET_US = 0.35
TARGET_BUFFER_US = 1.0
TARGET_TIMES = 10.0
# Of issue 7, for reading a chunk, decoding and delivering its events, above decoding.
CHUNK_EVENTS = 50
TARGET_DELIVERY_NS = 60.0
TARGET_TIMEOUT_US = 2.0
TARGET_MEMORY = 2048
MEMORY_STREAMS = 1_000


class Source:
    """Integers, one or `size` at a time, without waiting: only the pipeline costs."""

    def __init__(self, n: int, size: int = 1) -> None:
        self._n, self._size, self._i = n, size, 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        i, self._i = self._i, self._i + self._size
        if i >= self._n:
            raise StopAsyncIteration
        return i if self._size == 1 else list(range(i, self._i))


def triple(item: int) -> int:
    return item * 3


async def triple_later(item: int) -> int:
    return item * 3


def even(item: int) -> bool:
    return item % 2 == 0


def ignore(item: int) -> None:
    pass


def add(total: int, item: int) -> int:
    return total + item


Build = Callable[[Stream[Any]], Stream[Any]]

OPERATORS: dict[str, Build] = {
    "none": lambda s: s,
    "map": lambda s: s.map(triple),
    "filter": lambda s: s.filter(even),
    "tap": lambda s: s.tap(ignore),
    "scan": lambda s: s.scan(add, 0),
    "pipe": lambda s: s.pipe(triple),
    "flat_map": lambda s: s.flat_map(lambda item: (item,)),
    "batched(10)": lambda s: s.batched(10),
    "chunk_text": lambda s: s.chunk_text(),
    "take": lambda s: s.take(sys.maxsize),
    "take_while": lambda s: s.take_while(lambda item: True),
    "skip": lambda s: s.skip(1),
    "concat": lambda s: s.concat(),
    "timeout": lambda s: s.timeout(idle=60.0),
    "retry": lambda s: s.retry(lambda: Stream(Source(0)), RetryPolicy(budget=None)),
    "monitor": lambda s: s.monitor(StreamMonitor()),
    "buffer(64)": lambda s: s.buffer(64),
    "buffer(1024)": lambda s: s.buffer(1024),
    "buffer(64, conflate)": lambda s: s.buffer(64, overflow="conflate"),
    "buffer(n, drop_oldest)": lambda s: s.buffer(EVENTS, overflow="drop_oldest"),
    "merge of two": lambda s: s.merge(Source(0), buffer=64),
    "throttle": lambda s: s.throttle(1e9, burst=10**9),
    "smooth": lambda s: s.smooth(delay=0),
    "debounce, nothing merged": lambda s: s.debounce(60.0, merge=lambda older, newer: None),
    "keep_alive": lambda s: s.keep_alive(60.0),
    "map_ordered(8)": lambda s: s.map_ordered(triple_later, 8),
    "map_unordered(8)": lambda s: s.map_unordered(triple_later, 8),
    "map + filter": lambda s: s.map(triple).filter(even),
    "five: map filter tap scan take": lambda s: s.map(triple).filter(even).tap(ignore).scan(add, 0).take(sys.maxsize),
}


SLOW = ("debounce", "keep_alive", "map_")  # a hand-over between tasks for each item: a quarter of the events is enough
BRANCHES: dict[str, Callable[[Stream[Any]], Any]] = {
    "tee(2), both read": lambda s: s.tee(2),
    "broadcast(2), both read": lambda s: s.broadcast(2, overflow="conflate"),
    "share(2)": lambda s: s.share(2),
}


def expected(name: str, n: int) -> tuple[int, Any]:
    """(how many items, the last one), by plain Python."""
    items: list[Any] = list(range(n))
    if name in ("map", "pipe") or name.startswith("map_"):
        items = [triple(item) for item in items]
    elif name == "filter":
        items = [item for item in items if even(item)]
    elif name == "scan":
        items = [sum(items[:n])] * n
    elif name == "batched(10)":
        items = [items[i : i + 10] for i in range(0, n, 10)]
    elif name == "skip":
        items = items[1:]
    elif "filter" in name:
        items = [triple(item) for item in items if even(triple(item))]
        if name.startswith("five"):
            items = [sum(items)] * len(items)
    return len(items), items[-1]


async def drain(stream: Any) -> tuple[int, Any]:
    n, last = 0, None
    async for item in stream:
        n += 1
        last = item
    return n, last


async def ours(build: Build, n: int, size: int) -> tuple[int, Any]:
    source = Stream.from_batches(Source(n, size)) if size > 1 else Stream(Source(n))
    async with build(source) as stream:
        return await drain(stream)


async def branched(build: Callable[[Stream[Any]], Any], n: int, size: int) -> tuple[int, Any]:
    """Every branch read by a task of its own; what all got together, and the last item of all."""
    source = Stream.from_batches(Source(n, size)) if size > 1 else Stream(Source(n))
    found: list[tuple[int, Any]] = []

    async def read(branch: Stream[Any]) -> None:
        found.append(await drain(branch))

    async with build(source) as branches, anyio.create_task_group() as group:
        for branch in branches:
            group.start_soon(read, branch)
    return sum(count for count, _ in found), max(last for _, last in found if last is not None)


async def by_batches(n: int) -> tuple[int, Any]:
    """The same for a consumer that takes lists."""
    count, last = 0, None
    async with OPERATORS["map + filter"](Stream.from_batches(Source(n, BATCH))) as stream:
        async for batch in stream.batches():
            count += len(batch)
            last = batch[-1]
    return count, last


def for_aiostream(n: int, size: int, unpack: bool) -> Any:
    from aiostream import pipe, stream

    async def unpacked() -> AsyncIterator[Any]:
        async for chunk in Source(n, size):
            for item in chunk:
                yield item

    if size == 1:
        return stream.iterate(Source(n))
    return stream.iterate(unpacked()) if unpack else stream.iterate(Source(n, size)) | pipe.flatmap(stream.iterate)


async def aiostream_two(n: int, size: int, unpack: bool = False) -> tuple[int, Any]:
    from aiostream import pipe

    async with (for_aiostream(n, size, unpack) | pipe.map(triple) | pipe.filter(even)).stream() as streamer:
        return await drain(streamer)


async def aiostream_five(n: int, size: int, unpack: bool = False) -> tuple[int, Any]:
    from aiostream import pipe

    steps = for_aiostream(n, size, unpack) | pipe.map(triple) | pipe.filter(even) | pipe.action(ignore)
    async with (
        steps | pipe.accumulate(add, initializer=0) | pipe.skip(1) | pipe.take(sys.maxsize)
    ).stream() as streamer:
        return await drain(streamer)


async def aiostream_merge(n: int) -> tuple[int, Any]:
    from aiostream import stream

    async with stream.merge(Source(n), Source(0)).stream() as streamer:
        return await drain(streamer)


async def aiostream_map(n: int) -> tuple[int, Any]:
    from aiostream import pipe, stream

    async with (stream.iterate(Source(n)) | pipe.map(triple_later, task_limit=8)).stream() as streamer:
        return await drain(streamer)


async def memory_stream(n: int) -> tuple[int, Any]:
    """`buffer(64)` by hand."""
    send, receive = anyio.create_memory_object_stream[int](64)

    async def pump() -> None:
        async with send:
            async for item in Source(n):
                await send.send(item)

    async with anyio.create_task_group() as group, receive:
        group.start_soon(pump)
        return await drain(receive)


async def bare(n: int, size: int) -> tuple[int, Any]:
    """No pipeline: `map` and `filter` in the consumer's own loop."""
    count, last = 0, None
    async for chunk in Source(n, size):
        for item in chunk if size > 1 else (chunk,):
            tripled = triple(item)
            if even(tripled):
                count += 1
                last = tripled
    return count, last


async def by_hand(n: int, steps: int) -> tuple[int, Any]:
    """A task per step, a memory stream of 16 items between two."""
    total = 0

    def scan(item: int) -> int:
        nonlocal total
        total += item
        return total

    work: list[Callable[[int], int | None]] = [triple, lambda item: item if even(item) else None]
    work = [*work, lambda item: item, scan, lambda item: item][:steps]

    async def step(source: Any, fn: Callable[[int], int | None], send: Any) -> None:
        async with send:
            async for item in source:
                if (result := fn(item)) is not None:
                    await send.send(result)

    async with anyio.create_task_group() as group:
        source: Any = Source(n)
        for fn in work:
            send, receive = anyio.create_memory_object_stream[int](16)
            group.start_soon(step, source, fn, send)
            source = receive
        async with source:
            return await drain(source)


AIOSTREAM = ("aiostream", "aiostream, unpacked")
Run = Callable[[int, int], Awaitable[tuple[int, Any]]]

PEERS: dict[str, tuple[str, Run]] = {
    "bare loop: map + filter": ("map + filter", bare),
    "aiostream: map + filter": ("map + filter", aiostream_two),
    "aiostream, unpacked: map + filter": ("map + filter", lambda n, size: aiostream_two(n, size, unpack=True)),
    "aiostream: five": ("five: map filter tap scan take", aiostream_five),
    "aiostream: merge of two": ("none", lambda n, size: aiostream_merge(n)),
    "aiostream: map, 8 at a time": ("map", lambda n, size: aiostream_map(n)),
    "anyio memory stream of 64": ("none", lambda n, size: memory_stream(n)),
    "aiostream, unpacked: five": (
        "five: map filter tap scan take",
        lambda n, size: aiostream_five(n, size, unpack=True),
    ),
    "anyio memory streams: map + filter": ("map + filter", lambda n, size: by_hand(n, 2)),
    "anyio memory streams: five": ("five: map filter tap scan take", lambda n, size: by_hand(n, 5)),
}


class Prepared:
    """A decoder that has the events ready: all that is left is what surrounds decoding."""

    provider = "prepared"

    def __init__(self, chunks: list[list[Event]]) -> None:
        self._chunks = iter(chunks)
        self.ended = False

    def feed(self, chunk: Bytes) -> list[Event]:
        return list(next(self._chunks))

    def close(self) -> list[Event]:
        self.ended = True
        return []


async def delivery(n: int) -> tuple[float, float]:
    """(nanoseconds per event from chunks to `async for`, of the decoder alone), of `n` events."""
    chunks: list[list[Event]] = [
        [TextDelta(f"{i}") for i in range(j, j + CHUNK_EVENTS)] for j in range(0, n, CHUNK_EVENTS)
    ]

    async def streamed(n: int) -> tuple[int, Any]:
        decoder: Any = Prepared(chunks)
        async with Stream(BodySource(Chunks(len(chunks)), decoder)) as events:
            return await drain(events)

    async def alone(n: int) -> tuple[int, Any]:
        decoder = Prepared(chunks)
        count, last = 0, None
        async for chunk in Chunks(len(chunks)):
            for event in decoder.feed(chunk):
                count += 1
                last = event
        return count, last

    answer = n, chunks[-1][-1]
    return (await timed(streamed, n, answer))[0] * 1000, (await timed(alone, n, answer))[0] * 1000


class Chunks:
    """`n` chunks of a body."""

    def __init__(self, n: int) -> None:
        self._left = n

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return b"chunk"


class Silent:
    """A body of which nothing comes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError


async def memory(build: Build | None = None) -> float:
    """Return the bytes that an open stream takes beyond the task that reads it, and beyond its decoder."""

    async def plain(body: Silent) -> None:
        async for _ in body:
            pass

    async def streamed(body: Silent, decoder: Any) -> None:
        stream: Stream[Any] = Stream(BodySource(body, decoder))
        async with build(stream) if build else stream as events:
            async for _ in events:
                pass

    async def grown(start: Callable[[Any, int], None]) -> float:
        async with anyio.create_task_group() as group:
            gc.collect()
            tracemalloc.start(1)
            before = tracemalloc.get_traced_memory()[0]
            for i in range(MEMORY_STREAMS):
                start(group, i)
            await anyio.wait_all_tasks_blocked()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            group.cancel_scope.cancel()
        return grown / MEMORY_STREAMS

    bodies = [Silent() for _ in range(MEMORY_STREAMS)]
    decoders: list[Any] = [Prepared([]) for _ in range(MEMORY_STREAMS)]
    await grown(lambda group, i: group.start_soon(streamed, bodies[i], decoders[i]))  # what is made once
    with_stream = await grown(lambda group, i: group.start_soon(streamed, bodies[i], decoders[i]))
    return with_stream - await grown(lambda group, i: group.start_soon(plain, bodies[i]))


@dataclass
class Row:
    name: str
    single: float
    batched: float
    spread: float


async def timed(
    run: Callable[[int], Awaitable[tuple[int, Any]]], n: int, answer: tuple[int, Any]
) -> tuple[float, float]:
    """(median microseconds per event, spread in percent). Raises AssertionError for a wrong answer."""
    found = await run(n)
    assert found == answer, (found, answer)
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        await run(n)
        times.append((time.process_time() - start) / n * 1e6)
    return median(times), 100 * (max(times) - min(times)) / median(times)


async def measure(events: int = EVENTS) -> list[Row]:
    rows = []
    for name, build in OPERATORS.items():
        n_events = events // 4 // BATCH * BATCH if name.startswith(SLOW) else events
        answer = expected(name, n_events)
        single, _ = await timed(lambda n, build=build: ours(build, n, 1), n_events, answer)
        batched, spread = await timed(lambda n, build=build: ours(build, n, BATCH), n_events, answer)
        rows.append(Row(name, single, batched, spread))
    for name, split in BRANCHES.items():
        n_events = events // 4 // BATCH * BATCH
        answer = (n_events if name.startswith("share") else 2 * n_events, n_events - 1)
        single, _ = await timed(lambda n, split=split: branched(split, n, 1), n_events, answer)
        batched, spread = await timed(lambda n, split=split: branched(split, n, BATCH), n_events, answer)
        rows.append(Row(name, single, batched, spread))
    batched, spread = await timed(by_batches, events, expected("map + filter", events))
    rows.append(Row(BY_BATCHES, batched, batched, spread))
    for name, (kind, run) in PEERS.items():
        fewer = events // 3 // BATCH * BATCH
        answer = expected(kind, fewer)
        single, _ = await timed(lambda n, run=run: run(n, 1), fewer, answer)
        batched, spread = await timed(lambda n, run=run: run(n, BATCH), fewer, answer)
        rows.append(Row(name, single, batched, spread))
    return rows


def table(rows: list[Row], backend: str) -> str:
    lines = [f"| {backend}: microseconds per event | 1 per await | {BATCH} per chunk | spread |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.single:.2f} | {row.batched:.3f} | {row.spread:.0f} % |" for row in rows]
    return "\n".join(lines)


def judge(out: Section, rows: list[Row], delivered: tuple[float, float], taken: float) -> None:
    single, batched = {row.name: row.single for row in rows}, {row.name: row.batched for row in rows}
    out.at_most("map + filter, batched", TARGET_US, batched["map + filter"], unit=" us")
    out.at_most("buffer(64), batched", TARGET_BUFFER_US, batched["buffer(64)"], unit=" us")
    five = batched["five: map filter tap scan take"]
    compared = [
        # aiostream's merge gets single items
        ("merge of two, one per await", single["merge of two"], ["aiostream: merge of two"]),
        ("map + filter, batched", batched["map + filter"], [f"{peer}: map + filter" for peer in AIOSTREAM]),
        (f"{BY_BATCHES}, batched", batched[BY_BATCHES], [f"{peer}: map + filter" for peer in AIOSTREAM]),
        ("five operators, batched", five, [f"{peer}: five" for peer in AIOSTREAM]),
    ]
    for what, ours_us, peers in compared:
        for peer in peers:
            out.at_least(f"{what}, against {peer.partition(':')[0]}", TARGET_TIMES, batched[peer] / ours_us)
    times = single["aiostream: map + filter"] / single["map + filter"]
    out.at_least("map + filter, one per await, against aiostream", 1, times)
    added = single["timeout"] - single["none"]
    out.at_most("timeout, what it adds to one per await", TARGET_TIMEOUT_US, added, unit=" us")
    what = f"delivering {CHUNK_EVENTS} events of a chunk, above decoding, per event"
    out.at_most(what, TARGET_DELIVERY_NS, delivered[0] - delivered[1], unit=" ns")
    out.at_most("memory of an open stream without its decoder", TARGET_MEMORY, taken, unit=" bytes")


def section(backend: str = "asyncio") -> Section:
    rows = anyio.run(measure, backend=backend)
    delivered = anyio.run(delivery, CHUNK_EVENTS * 1_000, backend=backend)
    taken = anyio.run(memory, backend=backend)
    text = [
        f"Every row checked its answer; CPU time, the median of {ROUNDS} rounds, with the distance from the fastest to",
        f"the slowest of them. Versions: aiostream {version('aiostream')}, anyio {version('anyio')}.",
        "",
        *table(rows, backend).splitlines(),
    ]
    out = Section(text, data={row.name: [row.single, row.batched] for row in rows})
    judge(out, rows, delivered, taken)
    return out


def rss() -> int:
    """Return the resident set in KiB; the peak where /proc is missing."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def soak(n: int, report: Callable[[str], None] = print) -> tuple[float, float, int]:
    """Send `n` events through five operators. Returns (us per event of the first 10 %, of the last, growth in KiB)."""
    tenth = n // 10
    marks: list[tuple[float, int]] = []
    stream = (
        Stream.from_batches(Source(n, BATCH))
        .map(triple)
        .filter(lambda item: True)
        .tap(ignore)
        .scan(lambda _, item: item, 0)
    )
    seen = 0
    async with stream.take(sys.maxsize) as items:
        marks.append((time.process_time(), rss()))
        async for _ in items:
            seen += 1
            if seen % tenth == 0:
                marks.append((time.process_time(), rss()))
                each = (marks[-1][0] - marks[-2][0]) / tenth * 1e6
                report(f"{seen:>12,} events, {each:.3f} us each, {marks[-1][1]:,} KiB")
    assert seen == -(-n // BATCH) * BATCH
    first, last = ((marks[i + 1][0] - marks[i][0]) / tenth * 1e6 for i in (0, 9))
    return first, last, marks[10][1] - marks[1][1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=int, metavar="N", help="send N events through five operators instead")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "trio"])
    arguments = parser.parse_args()
    if arguments.soak:
        first, last, growth = anyio.run(soak, arguments.soak, backend=arguments.backend)
        print(f"first tenth {first:.3f} us, last tenth {last:.3f} us, memory {growth:+,} KiB")
        return int(last > first * 1.25 or growth > 4096)
    out = section(arguments.backend)
    print(*out.text, "", *out.targets, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
