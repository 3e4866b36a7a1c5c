"""Ends a wait from outside on asyncio, as `asyncio.timeout` does: the task is cancelled, and the request is taken back
where it arrives. With `_beside.py` all on this floor that knows asyncio.

Why not a cancel scope of anyio: it costs 2 us for each wait, and it must be entered before anybody knows whether there
will be one. This costs 0.1 us, and only for those that suspend. What it cannot do: respect a shield that stands inside
the wait (`docs/topics/streams.md`); our own closing (`release`) is protected by `uninterrupted`. On trio, where a task
cannot be cancelled, scopes are used. Source: CPython's Lib/asyncio/timeouts.py; PEP 789 on why no scope may stay open.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, TimerHandle, current_task, get_running_loop
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar
from weakref import ref

from millstream.core._await import Waiter, Watched
from millstream.streams._clock import ANYIO_CLOCK, Clock

__all__ = [
    "CancelledError",
    "Watchdog",
    "absorb",
    "clock_reader",
    "interrupt",
    "soon_from_threads",
    "task_finder",
    "uninterrupted",
]

T = TypeVar("T")

AGAIN_SECONDS = 5.0  # code that swallows a cancellation is cancelled again; until then it may be closing something
LATE_SECONDS, GRACE_SECONDS = 0.1, 1.0

# Who closes something in the middle of a wait, and which waits are to end as soon as that is done.
_closing: dict[Task[Any], list[Waiter]] = {}


def task_finder() -> Callable[[], Any] | None:
    """Return what finds the running task on asyncio, None on other backends."""
    return current_task if _running() is not None else None


def clock_reader(clock: Clock) -> Callable[[], float]:
    """Return `clock.now`, or what is ten times as fast for the loop's own clock on asyncio. For one event loop."""
    return get_running_loop().time if clock is ANYIO_CLOCK and _running() is not None else clock.now


def soon_from_threads() -> Callable[..., object]:
    """Return what has `fn(*args)` called soon in this event loop, from any thread.

    It raises RuntimeError when the loop has ended.
    """
    if _running() is not None:
        return get_running_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token

    return current_trio_token().run_sync_soon


def interrupt(waiter: Waiter) -> None:
    """End a wait by a CancelledError. Whoever waits calls `absorb` then; if the wait ends before, `_ending` is set."""
    if not waiter._waiting:
        return
    waiter._ending = True
    if _in_a_step(waiter._consumer):  # a request would hit its next wait then, which may be another one
        get_running_loop().call_soon(_cancel, waiter)
    else:
        _cancel(waiter)


def _in_a_step(task: Task[Any] | None) -> bool:
    """Whether a task runs at this moment: the current one, or one that has begun this eager one (Python 3.12)."""
    if task is None:  # it has not suspended yet: what it awaits runs, and led here
        return True
    running: bool = getattr(task.get_coro(), "cr_running", task is current_task())
    return running


def _cancel(waiter: Waiter) -> None:
    if not waiter._ending or not waiter._waiting:  # else another wait has begun
        return
    task: Any = waiter._consumer
    if task in _closing:
        _closing[task].append(waiter)
    else:
        waiter._asked += 1
        task.cancel()
        waiter._again = get_running_loop().call_later(AGAIN_SECONDS, _try_again, ref(waiter))


def _try_again(waiter: ref[Waiter]) -> None:
    found = waiter()
    if found is not None:
        _cancel(found)


def absorb(waiter: Waiter) -> bool:
    """Take all requests back. Returns: whether a CancelledError is theirs alone: nobody else has cancelled the task."""
    task, asked, again = waiter._consumer, waiter._asked, waiter._again
    waiter._asked, waiter._again = 0, None
    if again is not None:
        again.cancel()
    left = waiter._cancelling
    for _ in range(asked):
        left = task.uncancel()
    return asked > 0 and left <= waiter._cancelling


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Protect what the current task does, for `interrupt` only: it comes through afterwards."""
    task = _running()
    if task is None or task in _closing:
        yield
        return
    _closing[task] = []
    try:
        yield
    finally:
        for waiter in _closing.pop(task):
            get_running_loop().call_soon(_cancel, waiter)


class Watchdog(Waiter):
    """One timer for all waits of a stream; it is moved only when it goes off too early.

    Args: due: returns the time at which the wait must end. Attributes: barked: it has ended one.
    """

    def __init__(self, due: Callable[[], float]) -> None:
        self._find_task = current_task
        self._due = due
        self._loop = get_running_loop()
        self.now = self._loop.time
        self._timer: TimerHandle | None = None
        self._planned = inf
        self._forgiven = -inf
        self.barked = False

    def watch(self, work: Coroutine[Any, Any, T]) -> Watched[T]:
        """Return an awaitable for `work` that ends with CancelledError at the time; then call `absorb`."""
        return Watched(self, work, self._on_wait)

    def stop(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._planned = None, inf

    def _on_wait(self) -> None:
        when = self._due()
        if when < self._planned:
            self._set(when)

    def _set(self, when: float) -> None:
        self.stop()
        if when < inf:
            self._timer, self._planned = self._loop.call_at(when, _ring, ref(self)), when  # pyright: ignore[reportArgumentType]

    def _rings(self) -> None:
        planned = self._planned
        self._timer, self._planned = None, inf
        if not self._waiting:
            return  # the next wait sets it
        when, now = self._due(), self.now()
        late = now - planned
        if now < when:
            self._set(when)
        elif late > LATE_SECONDS and self._forgiven < when:
            # The loop was blocked. What has come meanwhile is not read yet, so the silence may be our own.
            self._forgiven = when
            self._set(now + min(late, GRACE_SECONDS))
        else:
            self.barked = True
            interrupt(self)


def _ring(watchdog: ref[Watchdog]) -> None:
    found = watchdog()
    if found is not None:
        found._rings()


def _running() -> Task[Any] | None:
    try:
        return current_task()
    except RuntimeError:  # no asyncio here
        return None
