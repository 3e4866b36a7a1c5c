"""Readers of what `served.py` serves, one protocol object each, all in one process, on uvloop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from bench.load import machine
from bench.load.served import MARK, Serving

__all__ = ["Served"]

AT_ONCE = 100
WARM = 50
STUCK_SECONDS = 120.0


class Reader(asyncio.Protocol):
    """One client of a response."""

    __slots__ = ("_served", "transport")

    def __init__(self, served: Served) -> None:
        self._served = served

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"GET / HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._served.n += data.count(MARK)

    def connection_lost(self, error: Exception | None) -> None:
        self._served.lost += 1


@dataclass
class Served:
    """A row: its process and its readers."""

    kind: str
    most: int
    nice: int = 0
    n: int = 0
    lost: int = 0
    readers: list[Reader] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._serving = Serving(self.kind, self.most, self.nice)

    async def open(self, n: int) -> float:
        """Have n responses open, each with its first event; returns bytes of the server for each."""
        self._control = await asyncio.open_connection("127.0.0.1", self._serving.port)
        await self._open(WARM)
        before = int(await self._ask("GET", "/memory"))
        await self._open(n)
        return (int(await self._ask("GET", "/memory")) - before) / (n - WARM)

    async def _open(self, n: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self.readers) < n:
            for _ in range(min(AT_ONCE, n - len(self.readers))):
                _, reader = await loop.create_connection(lambda: Reader(self), "127.0.0.1", self._serving.port)
                self.readers.append(reader)
            await self._until(len(self.readers))
        for _ in range(3):
            await self.tick()
        self.n = n

    async def _ask(self, method: str, path: str) -> bytes:
        reader, writer = self._control
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" in head, head
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body

    async def tick(self) -> None:
        """Have every response give an event, and wait until its reader has it."""
        due = self.n + len(self.readers)
        await self._ask("POST", "/tick")
        await self._until(due)

    async def _until(self, due: int) -> None:
        late = time.monotonic() + STUCK_SECONDS
        while self.n < due:
            if time.monotonic() > late or self.lost:
                raise SystemExit(f"{self.kind}: {due - self.n} events did not come, {self.lost} connections were lost")
            await asyncio.sleep(0.002)
        if self.n > due:
            raise SystemExit(f"{self.kind}: {self.n - due} events too many")

    async def rounds(self, n: int) -> list[float]:
        """CPU seconds of the server per event, n times."""
        found = []
        for _ in range(n):
            before = machine.cpu_ns(self._serving.pid)
            await self.tick()
            found.append((machine.cpu_ns(self._serving.pid) - before) / 1e9 / len(self.readers))
        return found

    def close(self) -> None:
        for reader in self.readers:
            reader.transport.abort()
        self._serving.close()
