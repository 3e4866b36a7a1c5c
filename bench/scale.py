"""From one process to several machines: what each step costs, and what the death of a replica costs its readers.
Run it: `python -m bench.scale`. The table of docs/howto/scale_out.md is from here.

STREAMS streams tick at the same time, one event per EVERY seconds, each with one reader, which checks that nothing is
lost, doubled or out of order. Events carry the time they were made, so latency is from the source to the reader,
through relay, HTTP and parser. The readers share the two cores with all else; CPU is that of the processes, from /proc.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import httpx2

import millstream as ms

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from ports import free_port
from relay.redis_server import RedisServer

HZ = os.sysconf("SC_CLK_TCK")


def cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a process and of its children."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    total = 0
    for pid in [process.pid, *map(int, children.stdout.split())]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / HZ


@contextmanager
def web(log: str, ticks: int, every: float, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The application on a port of its own; gives its URL."""
    port = free_port()
    env = {**os.environ, "LOG": log, "TICKS": str(ticks), "EVERY": str(every), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "uvicorn", "bench.scale_app:app", "--log-level", "critical", "--port", str(port)]
    with subprocess.Popen([*command, *words], env=env) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Reader:
    """Reads one stream to its end, at another address if the connection breaks, as an EventSource does."""

    def __init__(self, key: str, urls: list[str]) -> None:
        self.key = key
        self.urls = urls
        self.latencies: list[float] = []
        self.gap = 0.0
        self.wrong = 0
        self._last = ""
        self._broken_at = 0.0

    async def read(self, client: httpx2.AsyncClient) -> None:
        while True:
            headers = {"last-event-id": self._last} if self._last else {}
            try:
                async with client.stream("GET", f"{self.urls[0]}/{self.key}", headers=headers) as response:
                    response.raise_for_status()
                    if await self._messages(response):
                        return
            except httpx2.TransportError:
                self._broken_at = time.monotonic()
                self.urls = self.urls[1:]

    async def _messages(self, response: httpx2.Response) -> bool:
        parser = ms.SSEParser()
        async for chunk in response.aiter_bytes():
            now = time.monotonic()
            for message in parser.feed(chunk):
                self._last = message.id
                event = message.json()
                if event["type"] == "finish":
                    return True
                if event["type"] == "text_delta":
                    number, made = event["text"].split()
                    self.wrong += int(number) != len(self.latencies)
                    if self._broken_at:
                        self.gap, self._broken_at = now - self._broken_at, 0.0
                    else:
                        self.latencies.append(now - float(made))
                        continue
                    self.latencies.append(0.0)
        return False


async def ready(client: httpx2.AsyncClient, url: str) -> None:
    with anyio.fail_after(30):
        while True:
            try:
                await client.get(url + "/none")
                return
            except httpx2.TransportError:
                await anyio.sleep(0.05)


async def measure(name: str, args: argparse.Namespace, redis: RedisServer | None, *, workers: int, kill: bool) -> None:
    log = redis.url if redis else ""
    with ExitStack() as stack:
        serve = [(args.ticks, args.every)] * (3 if kill else 1)
        words = ["--workers", str(workers)] if workers > 1 else []
        processes = [stack.enter_context(web(log, *one, *words)) for one in serve]
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
            for _, url in processes:
                await ready(client, url)
            readers = []
            urls = [url for _, url in processes]
            for i in range(args.streams):
                key = f"s{i}-{time.monotonic_ns()}"
                (await client.post(f"{urls[-1]}/{key}")).raise_for_status()
                readers.append(Reader(key, urls[:2] if kill else urls))
            before = [cpu(process) for process, _ in processes]
            redis_before = cpu(redis._process) if redis and redis._process else 0.0
            begun = time.monotonic()
            async with anyio.create_task_group() as tasks:
                for reader in readers:
                    tasks.start_soon(reader.read, client)
                if kill:
                    await anyio.sleep(args.ticks * args.every / 2)
                    before[0] = 0.0
                    processes[0][0].kill()
            seconds = time.monotonic() - begun
            n = sum(len(reader.latencies) for reader in readers)
            alive = processes[1:] if kill else processes
            used = sum(cpu(process) - was for (process, _), was in zip(alive, before[-len(alive) :], strict=True))
            redis_used = (cpu(redis._process) - redis_before) if redis and redis._process else 0.0
    if n != args.streams * args.ticks or any(reader.wrong for reader in readers):
        raise SystemExit(f"{name}: {n} of {args.streams * args.ticks} events, or in another order")
    times = sorted(one * 1e3 for reader in readers for one in reader.latencies if one)
    line = f"| {name} | {n / seconds:,.0f} | {used / n * 1e6:.0f} us | {redis_used / n * 1e6:.0f} us "
    line += f"| {statistics.median(times):.1f} ms | {times[int(len(times) * 0.99)]:.1f} ms |"
    if kill:
        gaps = sorted(reader.gap * 1e3 for reader in readers)
        line += f" {statistics.median(gaps):.0f} ms, {gaps[-1]:.0f} ms at most |"
    print(line, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description="from one process to several machines")
    arguments.add_argument("--streams", type=int, default=100)
    arguments.add_argument("--ticks", type=int, default=200)
    arguments.add_argument("--every", type=float, default=0.05, help="seconds between the events of a stream")
    args = arguments.parse_args()
    print("| set-up | events/s | CPU per event: web | redis | p50 | p99 | from the kill to the next event |")
    print("|---|---|---|---|---|---|---|")
    with RedisServer() as redis:
        anyio.run(lambda: measure("one process, memory", args, None, workers=1, kill=False))
        anyio.run(lambda: measure("one process, Redis", args, redis, workers=1, kill=False))
        anyio.run(lambda: measure("two workers, Redis", args, redis, workers=2, kill=False))
        anyio.run(lambda: measure("a producer and two replicas, one killed", args, redis, workers=1, kill=True))


if __name__ == "__main__":
    main()
