"""Connections that may be used again, and how many there may be. First come, first served.

A place is taken for each connection, from before it is opened until it is closed. Idle ones keep theirs, and give it up
to whoever waits for another origin. Knows connections by `is_stale`, `expires_at` and `aclose` only.
"""

from __future__ import annotations

from collections import deque
from math import inf
from time import monotonic
from typing import Any, Protocol

import anyio
import httpx2

__all__ = ["Pool", "Wire"]

Origin = tuple[Any, ...]


class Wire(Protocol):
    """What the pool asks of a connection."""

    expires_at: float

    def is_stale(self) -> bool:
        """Whether it cannot be used any more."""
        ...

    async def aclose(self) -> None:
        """Close at once."""


class _Waiting:
    """A request that waits for a place."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.granted = anyio.Event()
        self.wire: Any = None


class Pool:
    """Args: max_connections, max_keepalive: how many, and how many of them idle. keepalive_s: how long those live."""

    def __init__(self, max_connections: int | None, max_keepalive: int | None, keepalive_s: float | None) -> None:
        self._max_connections = inf if max_connections is None else max_connections
        self._max_keepalive = inf if max_keepalive is None else max_keepalive
        self._keepalive_s = inf if keepalive_s is None else keepalive_s
        self._n_places = 0
        self._is_closed = False
        self._busy: set[Any] = set()
        self._idle: dict[Any, Origin] = {}  # the oldest first
        self._waiting: deque[_Waiting] = deque()

    async def acquire(self, origin: Origin, seconds: float | None) -> Any:
        """Return an idle connection, or None: open one, there is a place for it. Raises: PoolTimeout."""
        await self._close_the_stale()
        if not self._waiting:
            for wire in reversed(self._idle):
                if self._idle[wire] == origin:
                    del self._idle[wire]
                    self._busy.add(wire)
                    return wire
            if self._n_places < self._max_connections:
                self._n_places += 1
                return None
            if self._idle:
                wire = next(iter(self._idle))
                del self._idle[wire]
                await self._close_for_place(wire)
                return None
        return await self._wait(_Waiting(origin), seconds)

    def opened(self, wire: Any) -> None:
        """Note what was opened where `acquire` returned None."""
        self._busy.add(wire)

    async def release(self, wire: Any, origin: Origin) -> None:
        """Take back a connection that may be used again."""
        if self._waiting and self._waiting[0].origin == origin and not self._is_closed:
            waiting = self._waiting.popleft()
            waiting.wire = wire
            waiting.granted.set()
        elif self._waiting or self._is_closed:
            await self.discard(wire)
        elif self._max_keepalive > len(self._idle) and self._keepalive_s > 0:
            wire.expires_at = monotonic() + self._keepalive_s
            self._busy.discard(wire)
            self._idle[wire] = origin
        else:
            await self.discard(wire)

    async def discard(self, wire: Any | None) -> None:
        """Close a connection, if it was opened, and give up its place."""
        if self._waiting:
            self._waiting.popleft().granted.set()
        else:
            self._n_places -= 1
        if wire is not None:
            self._busy.discard(wire)
            await wire.aclose()

    async def aclose(self) -> None:
        """Close all connections, those in use too: whoever reads from them gets a ReadError."""
        self._is_closed = True
        while self._idle:
            wire, _ = self._idle.popitem()
            await self.discard(wire)
        for wire in [*self._busy]:  # their places are given up by those who hold them
            await wire.aclose()

    async def _wait(self, waiting: _Waiting, seconds: float | None) -> Any:
        self._waiting.append(waiting)
        try:
            with anyio.move_on_after(seconds):
                await waiting.granted.wait()
        except BaseException:
            await self._give_up(waiting)
            raise
        if not waiting.granted.is_set():
            await self._give_up(waiting)
            raise httpx2.PoolTimeout(f"no connection was free for {seconds:g} s (limits of the transport)")
        wire = waiting.wire
        if wire is not None and wire.is_stale():  # it was not when it was given, some turns of the event loop ago
            await self._close_for_place(wire)
            return None
        return wire

    async def _give_up(self, waiting: _Waiting) -> None:
        if not waiting.granted.is_set():
            self._waiting.remove(waiting)
        elif waiting.wire is not None:
            await self.release(waiting.wire, waiting.origin)
        else:
            await self.discard(None)

    async def _close_for_place(self, wire: Any) -> None:
        self._busy.discard(wire)
        try:
            await wire.aclose()
        except BaseException:
            await self.discard(None)
            raise

    async def _close_the_stale(self) -> None:
        while stale := self._stale():  # again, as others may become stale while these are closed
            for wire in stale:
                if self._idle.pop(wire, None) is not None:
                    await self.discard(wire)

    def _stale(self) -> list[Any]:
        now = monotonic()
        return [wire for wire in self._idle if wire.expires_at < now or wire.is_stale()]
