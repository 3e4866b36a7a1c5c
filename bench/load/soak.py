"""Many events and many short streams through `ms.stream` and our transport, each checked.

Every text says whose it is and which one (`wire.Canary`); at its end a stream is told the SHA-256 of all that was sent,
which must be that of what came. Churn: streams that are read to the end, left early, cancelled, or closed by another
task, over one pool, whose connections are used again; none may bring a text of another stream.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import suppress
from typing import Any

import httpx2
import uvloop

import millstream as ms
from bench.load import machine, wire
from bench.load.clients import url
from bench.load.generator import Generator

__all__ = ["check", "churn", "soak"]

EVENTS_PER_WRITE = 10
DIGEST_EVENTS = 5
SAMPLE_SECONDS = 0.2
FEWEST_SAMPLES = 30
CHURN_EVENTS = 30
WORKERS = 50
IDS = 20_000


async def check(events: Any, canary: wire.Canary, due: int) -> None:
    """Read a stream to its end. Raises AssertionError: not each of `due` texts came once, in order, and its own."""
    tail = ""
    async for batch in events.batches():
        texts = [one.text for one in batch if type(one) is ms.TextDelta]
        own = texts[: due - canary.n]
        tail += "".join(texts[len(own) :])
        if own:
            canary.took(own)
    if canary.n != due or not tail or not canary.digest().startswith(tail):
        raise AssertionError(f"stream {canary.stream}: {canary.n} of {due} texts, digest {tail}, not {canary.digest()}")


async def warm(port: int) -> int:
    """Read one stream, which opens what stays open as long as the process; returns how many files there are."""
    async with httpx2.AsyncClient(transport=ms.http.Transport()) as client:
        source = client.stream("GET", url(port, f"0/{CHURN_EVENTS}"))
        await check(ms.stream(source, "openai-chat"), wire.Canary(0), CHURN_EVENTS)
    await asyncio.sleep(0.1)
    return machine.fds()


def growth(samples: list[tuple[float, float]], of: str) -> str:
    """The slope of memory by least squares, after the first third; of a short run it would say nothing."""
    samples = samples[len(samples) // 3 :]
    n = len(samples)
    if n < FEWEST_SAMPLES:
        return ""
    x, y = sum(at for at, _ in samples) / n, sum(value for _, value in samples) / n
    spread = sum((at - x) ** 2 for at, _ in samples)
    slope = sum((at - x) * (value - y) for at, value in samples) / spread if spread else 0.0
    return f"; memory {slope:+.1f} KiB per {of}"


async def soak(port: int, streams: int, events: int) -> str:
    """`events` over so many streams; returns a line that says how it went."""
    each = max(EVENTS_PER_WRITE, events // streams)
    before = await warm(port)
    _, orders = await asyncio.open_connection("127.0.0.1", port)
    orders.write(b"GET /control HTTP/1.1\r\n\r\n")
    canaries = [wire.Canary(i) for i in range(streams)]
    samples: list[tuple[float, float]] = []
    limits = httpx2.Limits()
    async with httpx2.AsyncClient(transport=ms.http.Transport(limits=limits), timeout=300) as client:

        async def one(canary: wire.Canary) -> None:
            async with ms.stream(client.stream("GET", url(port, canary.stream)), "openai-chat") as stream:
                opened.release()
                await begin.wait()
                await check(stream, canary, each)

        opened, begin = asyncio.Semaphore(0), asyncio.Event()
        readers = [asyncio.create_task(one(canary)) for canary in canaries]
        for _ in readers:
            await opened.acquire()
        begun, cpu = time.monotonic(), time.process_time()
        begin.set()
        orders.write(f"soak {each} {EVENTS_PER_WRITE}\n".encode())
        reading = asyncio.gather(*readers)
        while not reading.done():
            await asyncio.wait([reading], timeout=SAMPLE_SECONDS)
            samples.append((sum([canary.n for canary in canaries]) / 1e6, machine.memory() / 1024))
        await reading
        seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    orders.close()
    await asyncio.sleep(0.1)
    total = sum(canary.n for canary in canaries)
    line = f"{total:,} events over {streams} streams in {seconds:.0f} s ({total / cpu:,.0f} per CPU second): "
    line += "none lost, doubled, swapped or foreign, all SHA-256 equal"
    line += growth(samples, "million events")
    left = machine.fds() - before
    return line + ("; all files closed" if left <= 0 else f"; **{left} files left open**")


async def churn(port: int, streams: int) -> str:
    """So many short streams, of which most are not read to the end; returns a line."""
    ids = iter(range(streams))
    random_ = random.Random(0)
    counts = {"whole": 0, "left early": 0, "cancelled": 0, "closed by another task": 0}
    samples: list[tuple[float, float]] = []
    transport = ms.http.Transport(limits=httpx2.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS))
    before = await warm(port)

    async def part(stream: Any, canary: wire.Canary) -> None:
        async for one in stream:
            if type(one) is ms.TextDelta:
                canary.took([one.text])
                if canary.n == CHURN_EVENTS // 3:
                    return

    async def one(client: httpx2.AsyncClient, number: int) -> None:
        canary = wire.Canary(number % IDS)
        request = client.stream("GET", url(port, f"{canary.stream}/{CHURN_EVENTS}"))
        how = random_.choice([*counts])
        stream = ms.stream(request, "openai-chat")
        if how == "cancelled":
            task = asyncio.create_task(_whole(stream, canary))
            for _ in range(random_.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                task.result()
        else:
            async with stream:
                if how == "whole":
                    await check(stream, canary, CHURN_EVENTS)
                elif how == "left early":
                    await part(stream, canary)
                else:
                    closing = asyncio.create_task(stream.aclose())
                    with suppress(ms.StreamClosed):
                        await part(stream, canary)
                    await closing
        counts[how] += 1

    async def _whole(stream: Any, canary: wire.Canary) -> None:
        async with stream:
            await check(stream, canary, CHURN_EVENTS)

    async def worker(client: httpx2.AsyncClient) -> None:
        for number in ids:
            await one(client, number)
            if number % 500 == 0:
                samples.append((number / 1e3, machine.memory() / 1024))

    begun = time.monotonic()
    async with httpx2.AsyncClient(transport=transport, timeout=60) as client:
        await asyncio.gather(*[worker(client) for _ in range(WORKERS)])
        busy = len(transport._pool._busy)
    seconds = time.monotonic() - begun
    await asyncio.sleep(0.1)
    how = ", ".join(f"{n:,} {name}" for name, n in counts.items())
    left = max(0, machine.fds() - before)
    line = f"{sum(counts.values()):,} short streams over {WORKERS} connections, {streams / seconds:,.0f}/s: {how}; "
    line += f"no text of another stream; {busy} connections and {len(asyncio.all_tasks()) - 1} tasks left, "
    return line + f"{left} files" + growth(samples, "thousand streams")


async def main(kind: str, streams: int, n: int) -> None:
    machine.pin(machine.CLIENT_CPU)
    machine.open_files(streams)
    with Generator(streams) as generator:
        print(await (soak(generator.port, streams, n) if kind == "soak" else churn(generator.port, n)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
