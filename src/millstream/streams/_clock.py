"""The clock of everything that waits: operators, retries and timeouts take it as `clock=`.

Time goes through one object so that tests can move it by hand (`millstream.testing.FakeClock`): nothing on floor 3 may
call `anyio.sleep`, `anyio.current_time`, `move_on_after` or `fail_after` to keep time. The exception is the limit on
closing, which guards against code that hangs. Pure values that only read the time (`StreamMonitor`, `TextProgress`)
take a function instead, `now=`, because they are read from threads too, where no event loop is.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import anyio
from anyio import CancelScope

__all__ = ["ANYIO_CLOCK", "AnyioClock", "Clock", "Scope"]


class Scope(Protocol):
    """What is used of anyio's `CancelScope`. Never yield inside it (S1)."""

    @property
    def deadline(self) -> float:
        """When it is cancelled, in the time of its clock; may be moved while the scope is entered."""
        ...

    @deadline.setter
    def deadline(self, value: float) -> None: ...

    @property
    def cancelled_caught(self) -> bool:
        """Whether, after the `with` block, the time had run out and the block was left because of it."""
        ...

    def cancel(self) -> None:
        """Cancel it now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


@runtime_checkable
class Clock(Protocol):
    """Seconds that never go back, and ways to wait for them."""

    def now(self) -> float:
        """Return the time in seconds since some unknown moment. Called inside the event loop."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; a checkpoint even for 0 or less."""

    async def sleep_until(self, when: float) -> None:
        """Wait until `now() >= when`. For ticks without drift: `when += period`."""

    def move_on_at(self, when: float) -> Scope:
        """Return a scope, to be entered at once with `with`, that is cancelled at `when` (`inf`: never)."""
        ...


class AnyioClock:
    """The event loop's own clock, asyncio's or trio's."""

    def now(self) -> float:
        """Return the loop's time."""
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await anyio.sleep(max(0.0, seconds))

    async def sleep_until(self, when: float) -> None:
        """Wait until then."""
        await anyio.sleep(max(0.0, when - anyio.current_time()))

    def move_on_at(self, when: float) -> Scope:
        """Return a scope with that deadline."""
        return CancelScope(deadline=when)


ANYIO_CLOCK: Clock = AnyioClock()
"""The default of every `clock=`."""
