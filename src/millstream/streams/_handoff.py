"""A bounded buffer between two tasks, crossed in batches. Never part of a public object.

Why not an anyio memory stream: it costs 6-20 us an item, this one less than 1, because many items go at once and an
Event is made only when somebody has to wait. No timer runs and nothing is polled. Source: STREAMS.md section 2, S12.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from anyio import Event
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from millstream.errors import BufferOverflow, LimitExceeded
from millstream.streams._bounded import Bounded
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller
from millstream.streams._weight import MAX_BUFFER_BYTES
from millstream.streams.operators._apply import isawaitable
from millstream.streams.operators._base import plain
from millstream.streams.overflow import Conflate, Losses, Overflow, Protect

__all__ = ["FAIR_ITEMS", "Handoff", "Rules", "Signal", "forward", "give"]

T = TypeVar("T")

FAIR_ITEMS = 64  # S17: a task that pulls from a source that never waits meets a checkpoint after as many items


class Signal:
    """Wakes all tasks that wait at the moment. Look at what you wait for, and `wait` without an await in between."""

    def __init__(self) -> None:
        self._event: Event | None = None

    def set(self) -> None:
        """Wake them."""
        if self._event is not None:
            event, self._event = self._event, None
            event.set()

    async def wait(self) -> None:
        """Wait for the next `set`."""
        if self._event is None:
            self._event = Event()
        await self._event.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a buffer does when it is full: see `Stream.buffer`."""

    overflow: Overflow = "wait"
    protect: Protect | None = None
    max_bytes: int = MAX_BUFFER_BYTES
    on_drop: Callable[[Any], object] | None = None
    on_backpressure: Callable[[int, float], object] | None = None
    clock: Clock = ANYIO_CLOCK

    def __post_init__(self) -> None:
        for name in ("protect", "on_drop", "on_backpressure"):
            given = getattr(self, name)
            plain(name, None if isinstance(given, type) else given)
        if isinstance(self.overflow, Conflate):
            plain("merge", self.overflow.merge)


class Handoff(Generic[T]):
    """Any number of tasks put items in, any number take them out.

    Args:
        n: how many items it holds.
        rules: what to do when it is full.
        name: of the operator, for the log.
        room: what is set when room was made; by default its own signal.
        shared: several take from it, so they take single items, and none that was cancelled while it waited.
    """

    def __init__(self, n: int, rules: Rules, name: str, room: Signal | None = None, *, shared: bool = False) -> None:
        self.losses = Losses(name, rules.on_drop)
        self.box: Bounded[T] = Bounded(
            n, rules.overflow, protect=rules.protect, max_bytes=rules.max_bytes, losses=self.losses
        )
        self.box.one_by_one |= shared
        self._shared = shared
        self.room = room or Signal()
        self.closed = False
        self.ended = False
        self._filled = Signal()
        self._error: Exception | None = None
        self.clock = rules.clock
        self._on_backpressure = rules.on_backpressure

    # --- in ------------------------------------------------------------------------------------------------------

    def offer(self, batch: list[T], start: int = 0) -> int:
        """Put in what finds room. Returns the index of the first item that must wait, len(batch) if none must."""
        if self.closed:
            return len(batch)
        try:
            return self.box.offer(batch, start)
        finally:
            self._filled.set()

    async def put(self, batch: list[T], start: int = 0) -> None:
        """Put all in, waiting for room if the policy says so.

        Raises: BufferOverflow. LimitExceeded: an item larger than the buffer. What a hook or the function of
            `CallerRuns` raises.
        """
        await give([self], batch, start)

    async def run_here(self, batch: list[T], start: int, caller: Callable[[T], Any]) -> None:
        """Treat items by `CallerRuns` as long as there is no room."""
        while start < len(batch):
            result = caller(batch[start])
            if isawaitable(result):
                await result
            start = self.offer(batch, start + 1)

    def give_up(self, batch: list[T], start: int) -> int:
        """Drop what has waited long enough. Returns as `offer` does."""
        try:
            return self.box.give_up(batch, start)
        finally:
            self._filled.set()

    def waited(self, seconds: float) -> None:
        """Tell the hook that something has to wait for room (0 seconds), or has waited."""
        if self._on_backpressure is not None:
            self._on_backpressure(len(self.box.items) + self.box.lent, seconds)

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes; the error, if any, comes after what is inside. Only the first call counts."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._traceback = error.__traceback__ if error is not None else None
        self._filled.set()

    # --- out -----------------------------------------------------------------------------------------------------

    async def take(self) -> list[T]:
        """Return items as soon as there are any; [] is the end. Raises the error that came behind them."""
        while True:
            lent = self.box.lent
            taken = self.box.take()
            if taken or lent:
                self.room.set()
            if taken:
                return taken
            if self.ended:
                if self._error is not None:
                    raise self._error.with_traceback(self._traceback)  # several takers may get it: not each other's
                return []
            await self._filled.wait()
            if self._shared:  # who was woken and cancelled at the same moment leaves the item to the others
                await checkpoint_if_cancelled()

    def close(self) -> None:
        """Nobody takes any more: what is inside goes, and what is put in from now on goes too."""
        self.closed = True
        self.box.clear()
        self.room.set()


async def give(handoffs: Sequence[Handoff[T]], batch: list[T], start: int = 0) -> None:
    """Put a batch into several hand-offs with the same rules and the same `room`.

    While it waits for one, the others get what they have room for: who takes from them in turn is never stuck.
    """
    waiting: list[tuple[Handoff[T], int]] = []
    failure: BufferOverflow | LimitExceeded | None = None
    for handoff in handoffs:
        try:
            done = handoff.offer(batch, start)
        except (BufferOverflow, LimitExceeded) as error:  # the end of all, but the others get what came before it
            failure = failure or error
            continue
        if done < len(batch) and handoff.box.caller is not None:
            await handoff.run_here(batch, done, handoff.box.caller)
        elif done < len(batch):
            waiting.append((handoff, done))
    if failure is not None:
        raise failure
    if waiting:
        await _wait_for_room(waiting, batch)


async def _wait_for_room(waiting: list[tuple[Handoff[T], int]], batch: list[T]) -> None:
    room, clock, seconds = waiting[0][0].room, waiting[0][0].clock, waiting[0][0].box.seconds
    began = clock.now()
    for handoff, _ in waiting:
        handoff.waited(0.0)
    while waiting:
        is_late = clock.now() - began >= seconds
        if seconds == math.inf:
            await room.wait()
        elif not is_late:
            with clock.move_on_at(began + seconds):
                await room.wait()
        still = []
        for handoff, start in waiting:
            done = handoff.offer(batch, start)
            if is_late and done < len(batch):
                done = handoff.give_up(batch, done)
            if done < len(batch):
                still.append((handoff, done))
            else:
                handoff.waited(clock.now() - began)
        waiting = still
        if is_late and waiting:  # what is left may not be lost
            await room.wait()


async def forward(source: Puller[T], handoff: Handoff[T]) -> None:
    """Put all that a source gives into a hand-off, and end it. For the task that owns the source."""
    since_checkpoint = 0
    while batch := await source.pull():
        start = handoff.offer(batch)
        if start < len(batch):
            await handoff.put(batch, start)
        since_checkpoint += len(batch)
        if since_checkpoint >= FAIR_ITEMS:
            since_checkpoint = 0
            await checkpoint()
    handoff.end()
