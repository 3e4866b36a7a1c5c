"""One client in a process of its own, with streams that stay open while others have their turn; obeys lines of JSON.

`Consumer` starts it and asks; the methods of `Work` are what can be asked. CPU is that of the process, user and system.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from typing import Any

import uvloop

from bench.load import machine
from bench.load.clients import Client, Tally, by_name
from bench.load.generator import Generator

__all__ = ["Consumer"]

AT_ONCE = 64
WARM = 50
STUCK_SECONDS = 120.0
LAG_SECONDS = 0.005
STARVED_SECONDS = 0.25


class Work:
    """The streams of one client, and what can be asked of them."""

    def __init__(self, client: Client, port: int) -> None:
        self.client = client
        self.port = port
        self.tallies: list[Tally] = []
        self.readers: list[asyncio.Task[None]] = []
        self.late: list[int] = []

    async def begin(self) -> None:
        self._session = self.client.open(self.port)
        self._get = await self._session.__aenter__()
        self._answers, self._orders = await asyncio.open_connection("127.0.0.1", self.port)
        self._orders.write(b"GET /control HTTP/1.1\r\n\r\n")

    async def open(self, n: int) -> dict[str, float]:
        """Open streams until there are n, have some events of each; returns bytes for each, seconds, CPU seconds."""
        await self._open(WARM)  # pays for what all share
        before, wall, cpu, had = machine.memory(), time.monotonic(), time.process_time(), len(self.readers)
        await self._open(n)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        more = max(1, len(self.readers) - had)
        return {"bytes": (machine.memory() - before) / more, "seconds": wall / more, "cpu": cpu / more}

    async def _open(self, n: int) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(path: int) -> Any:
            async with room:
                return await self._get(path)

        answers = await asyncio.gather(*[one(i) for i in range(len(self.readers), n)])
        for answer in answers:
            self.tallies.append(Tally(self.late))
            self.readers.append(asyncio.create_task(self.client.read(answer, self.tallies[-1])))
        del answers
        await asyncio.sleep(0)
        await self.rounds(1, 3)

    def total(self) -> int:
        """Events of all streams so far."""
        return sum([tally.n for tally in self.tallies]) // self.client.unit

    async def _order(self, *words: object) -> str:
        self._orders.write((" ".join(map(str, words)) + "\n").encode())
        return (await self._answers.readline()).decode().strip()

    async def _until(self, due: int) -> None:
        """Wait until so many events have come."""
        late = time.monotonic() + STUCK_SECONDS
        while (total := self.total()) < due:
            for reader in self.readers:
                if reader.done() and not reader.cancelled() and reader.exception():
                    reader.result()
            if time.monotonic() > late:
                raise SystemExit(f"{self.client.name}: {due - total} of {due} events did not come")
            await asyncio.sleep(0.002 + len(self.tallies) * 5e-6)
        if total > due:
            raise SystemExit(f"{self.client.name}: {total - due} events came that nobody sent")

    async def rounds(self, k: int, n: int) -> list[float]:
        """Have k events written to every stream, n times, each time when all has come: CPU seconds per event."""
        spent = []
        for _ in range(n):
            begun, due = time.process_time(), self.total() + k * len(self.tallies)
            await self._order("round", k, f"{due:012d}")
            await self._until(due)
            spent.append((time.process_time() - begun) / (k * len(self.tallies)))
        return spent

    async def freeze(self) -> None:
        """Take all that there is from the garbage collector, as docs/howto/tune.md tells programs with many streams."""
        gc.collect()
        gc.freeze()

    async def rate(self, writes_per_s: float, k: int, seconds: float) -> dict[str, Any]:
        """Have so many writes a second come, whatever the client can do, and look how it fares."""
        machine.memory()
        machine.reset_peak()
        at_rest, before = machine.peak(), self.total()
        lags, delays, starved = [], [], [0.0]
        self.late.clear()
        watch = asyncio.create_task(self._lag(lags, delays))
        starving = asyncio.create_task(self._starve(starved))
        begun, cpu = time.monotonic(), time.process_time()
        sent, held = map(int, (await self._order("rate", writes_per_s, k, seconds)).split())
        during, wall_during = self.total() - before, time.monotonic() - begun
        cpu_during = time.process_time() - cpu
        late = [*self.late]
        watch.cancel()
        starving.cancel()
        await self._until(before + sent)
        return {
            "sent": sent,
            "held": held,
            "came": during,
            "seconds": wall_during,
            "cpu": cpu_during,
            "drain": time.monotonic() - begun - wall_during,
            "peak": machine.peak() - at_rest,
            "lags": lags,
            "delays": delays,
            "late": late,
            "starved": starved[0],
        }

    async def _lag(self, lags: list[float], delays: list[float]) -> None:
        """How late the loop is; and how late it would be if the kernel had not run others in its place."""
        while True:
            due, waited = time.monotonic() + LAG_SECONDS, machine.waited()
            await asyncio.sleep(LAG_SECONDS)
            lag = time.monotonic() - due
            lags.append(lag)
            delays.append(max(0.0, lag - (machine.waited() - waited)))

    async def _starve(self, longest: list[float]) -> None:
        """The longest time in which some stream that had events waiting for it got none."""
        last, since = [tally.n for tally in self.tallies], [time.monotonic()] * len(self.tallies)
        while True:
            await asyncio.sleep(STARVED_SECONDS)
            now = time.monotonic()
            for i, tally in enumerate(self.tallies):
                if tally.n != last[i]:
                    longest[0] = max(longest[0], now - since[i])
                    last[i], since[i] = tally.n, now

    async def end(self) -> dict[str, int]:
        """End the streams and close the client; returns what is left of files and tasks."""
        await self._order("end")
        await asyncio.gather(*self.readers)
        await self._session.__aexit__(None, None, None)
        self._orders.close()
        await asyncio.sleep(0.1)
        return {"fds": machine.fds(), "tasks": len(asyncio.all_tasks())}


async def main(name: str, port: int, n: int, nice: int) -> None:
    machine.pin(machine.CLIENT_CPU, nice)
    machine.open_files(n)
    work, orders = Work(by_name(name), port), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await work.begin()
    while line := await orders.readline():
        order = json.loads(line)
        print(json.dumps(await getattr(work, order["do"])(*order["with"])), flush=True)
    os._exit(0)  # what is left is measured by the soak; closing so many streams here takes seconds


class Consumer:
    """The process, with a generator of its own."""

    def __init__(self, client: Client, n: int, nice: int = 0) -> None:
        self.client = client
        self._generator = Generator(n, nice)
        command = [sys.executable, "-m", "bench.load.consumer", client.name, self._generator.port, n, nice]
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, order: str, *arguments: Any) -> Any:
        """Have a method of `Work` done. Raises SystemExit: it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": order, "with": arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.client.name}: the process ended")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()
        self._generator.__exit__()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:])))
