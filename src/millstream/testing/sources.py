"""Sources that follow a script, and ways to cut bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["HANG", "ScriptedSource", "Scripts", "Wait", "chunked", "every_cut"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Sleeper(Protocol):
    """What a script needs of a clock; `FakeClock` has it."""

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A step of a script: seconds of silence."""

    seconds: float


class _Hang:
    def __repr__(self) -> str:
        return "HANG"


HANG = _Hang()
"""A step of a script: nothing ever comes, until somebody cancels or closes."""


class ScriptedSource(Generic[T_co]):
    """An async iterator that does what its steps say, one after another, and remembers what was done to it.

    Args:
        steps: items (bytes, events, anything), `Wait(seconds)`, `HANG`, or an exception, which is raised and ends it.
        clock: for `Wait`; None: the event loop's clock.
        name: for its `repr`.

    Attributes:
        pulls: how often the next item was asked for.
        given: the items that were handed out.
        closed: whether `aclose` was called.
        cancelled: whether a pull was cancelled while it waited.
    """

    def __init__(
        self, *steps: T_co | Wait | _Hang | BaseException, clock: Sleeper | None = None, name: str = ""
    ) -> None:
        self._steps: Iterator[Any] = iter(steps)
        self._clock = clock
        self._name = name
        self._busy = False
        self.pulls = 0
        self.given: list[T_co] = []
        self.closed = False
        self.cancelled = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<ScriptedSource {self._name} {state}, {self.pulls} pulls, {len(self.given)} given>".replace("  ", " ")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Do the next step. Every pull meets a checkpoint, as a socket may."""
        self.pulls += 1
        if self._busy:
            raise RuntimeError("two consumers pull from one source")
        self._busy = True
        try:
            await checkpoint()
            return await self._next()
        except anyio.get_cancelled_exc_class():
            self.cancelled = True
            raise
        finally:
            self._busy = False

    async def aclose(self) -> None:
        """Remember it, and give nothing more. Raises RuntimeError while a pull runs, as a generator does (S5)."""
        if self._busy:
            raise RuntimeError("aclose(): the source is running")
        self.closed = True
        self._steps = iter(())

    async def _next(self) -> T_co:
        for step in self._steps:
            if isinstance(step, Wait):
                await (self._clock.sleep(step.seconds) if self._clock is not None else anyio.sleep(step.seconds))
            elif isinstance(step, _Hang):
                await anyio.sleep_forever()
            elif isinstance(step, BaseException):
                self._steps = iter(())
                raise step
            else:
                self.given.append(step)
                return cast("T_co", step)
        raise StopAsyncIteration


class Scripts(Generic[T]):
    """What opens a source, attempt by attempt: each call gives the next one, or raises it if it is an exception.

    Args: attempts: sources, and exceptions for attempts that cannot be opened.
    Raises: AssertionError: called more often than there are scripts.

    Attributes: opened: the sources given so far; `opens`: how many calls there were.
    """

    def __init__(self, *attempts: ScriptedSource[T] | BaseException) -> None:
        self._attempts = iter(attempts)
        self.opened: list[ScriptedSource[T]] = []
        self.opens = 0

    def __call__(self) -> ScriptedSource[T]:
        self.opens += 1
        attempt = next(self._attempts, None)
        if attempt is None:
            raise AssertionError(f"opened {self.opens} times, but the script has only {self.opens - 1} attempts")
        if isinstance(attempt, BaseException):
            raise attempt
        self.opened.append(attempt)
        return attempt


def chunked(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks of `size` bytes, the last one shorter: `ScriptedSource(*chunked(body, 1))` is a drip.

    Raises: ValueError: size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    return [data[i : i + size] for i in range(0, len(data), size)]


def every_cut(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the data cut in two at every place: how the network cuts must never change what comes out."""
    for i in range(len(data) + 1):
        yield data[:i], data[i:]
