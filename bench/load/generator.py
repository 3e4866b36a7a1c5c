"""The server that streams come from: HTTP/1.1, chunked, one process, one protocol object per connection, uvloop.

Requests are `GET /N`: stream N, which waits for orders; `GET /N/EVENTS`: stream N with so many events at once, then its
end. `GET /control` makes a connection the one that gives orders, a line each, answered with a line:

- `round K TEXT`: write K events to every stream.
- `rate WRITES K SECONDS`: so many writes a second in all, of K events, each with the time; "SENT HELD" comes back:
  events that were written, and writes left out because the client does not read that stream.
- `soak EVENTS K`: so many events to every stream, with canaries, as fast as they are read.
- `end`: end the streams.
- `leave`: forget them.

Run by `Generator`, which gives it a core. It answers on every address of 127.0.0.0/8: one address has 28,000 ports.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from bench.load import machine, wire

__all__ = ["Generator", "stamp"]

BACKLOG = 4096
WRITES_PER_TURN = 500
SOAK_PER_TURN = 20
TICK_SECONDS = 0.001


def stamp() -> int:
    """Now in microseconds, the same for all processes of the machine, with as many digits as a text has."""
    return time.monotonic_ns() // 1000 % 10**wire.TEXT_BYTES


class Served(asyncio.Protocol):
    """One connection."""

    __slots__ = ("canary", "held", "is_over", "on_room", "seen", "transport")
    streams: dict[Served, int] = {}

    def __init__(self) -> None:
        self.seen = b""
        self.held = self.is_over = False
        self.canary: wire.Canary | None = None
        self.on_room: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=32 * 1024)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while b"\n" in self.seen:
            if self.seen.startswith(b"GET "):
                head, found, self.seen = self.seen.partition(b"\r\n\r\n")
                if not found:
                    self.seen = head
                    return
                self.answer(head.split(b" ")[1].decode().strip("/").split("/"))
            else:
                line, _, self.seen = self.seen.partition(b"\n")
                orders.put_nowait((self, line.decode().split()))

    def answer(self, words: list[str]) -> None:
        if words == ["control"]:
            return
        self.transport.write(wire.HEAD)
        self.canary = wire.Canary(int(words[0]))
        if len(words) == 1:
            self.is_over = False
            Served.streams[self] = self.canary.stream
            return
        for _ in range(int(words[1])):
            self.transport.write(wire.write_of(self.canary.texts(1)))
        self.end()

    def end(self) -> None:
        """End the stream, with the digest of its canaries where it has any, and wait for the next request."""
        if self.canary is not None and self.canary.n:
            digest = self.canary.digest()
            self.transport.write(wire.write_of(tuple(digest[i : i + 12].encode() for i in range(0, 60, 12))))
        self.transport.write(wire.END)
        self.is_over = True

    def pause_writing(self) -> None:
        self.held = True

    def resume_writing(self) -> None:
        self.held = False
        if self.on_room is not None:
            self.on_room()

    def connection_lost(self, error: Exception | None) -> None:
        Served.streams.pop(self, None)
        self.is_over = True
        self.held = True
        if self.on_room is not None:
            self.on_room()


orders: asyncio.Queue[tuple[Served, list[str]]]


async def rate(writes_per_s: float, k: int, seconds: float) -> str:
    sent = held = 0
    streams = list(Served.streams)
    at = done = 0
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < seconds:
        due = int(elapsed * writes_per_s)
        data = wire.write_of((b"%012d" % stamp(),) * k)
        for _ in range(min(due - done, WRITES_PER_TURN)):
            stream = streams[at]
            at = at + 1 if at + 1 < len(streams) else 0
            if stream.held:
                held += 1
            else:
                stream.transport.write(data)
                sent += 1
            done += 1
        await asyncio.sleep(0 if due > done else TICK_SECONDS)
    return f"{sent * k} {held}"


async def soak(events: int, k: int) -> str:
    room = asyncio.Event()
    left = list(Served.streams)
    for stream in left:
        stream.on_room = room.set
    while left:
        room.clear()
        worked = False
        for stream in left:
            canary = stream.canary
            for _ in range(SOAK_PER_TURN):
                if stream.held or canary is None or canary.n >= events:
                    break
                stream.transport.write(wire.write_of(canary.texts(min(k, events - canary.n))))
                worked = True
            if canary is not None and canary.n >= events and not stream.is_over:
                stream.end()
        left = [stream for stream in left if not stream.is_over]
        if worked:
            await asyncio.sleep(0)
        elif left:
            await room.wait()
    return "done"


async def obey(words: list[str]) -> str:
    match words:
        case ["round", k, text]:
            data = wire.write_of((text.encode(),) * int(k))
            for stream in Served.streams:
                stream.transport.write(data)
            return "done"
        case ["rate", writes_per_s, k, seconds]:
            return await rate(float(writes_per_s), int(k), float(seconds))
        case ["soak", events, k]:
            return await soak(int(events), int(k))
        case ["end"]:
            for stream in Served.streams:
                stream.end()
            Served.streams.clear()
            return "done"
        case ["leave"]:
            Served.streams.clear()
            return "done"
    return f"unknown order {words}"


async def main(cpu: int, n: int, nice: int) -> None:
    global orders
    orders = asyncio.Queue()
    machine.pin(cpu, nice)
    machine.open_files(n)
    server = await asyncio.get_running_loop().create_server(Served, "0.0.0.0", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not over.done():
        order = asyncio.ensure_future(orders.get())
        await asyncio.wait([order, over], return_when=asyncio.FIRST_COMPLETED)
        if order.done():
            asker, words = order.result()
            asker.transport.write(f"{await obey(words)}\n".encode())
        else:
            order.cancel()


class Generator:
    """The process. Args: n: streams that it may have to hold. Attributes: port."""

    def __init__(self, n: int, nice: int = 0) -> None:
        command = [sys.executable, "-m", "bench.load.generator", str(machine.SERVER_CPU), str(n), str(nice)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
