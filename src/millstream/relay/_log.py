"""`StreamLog`: what a relay asks of a log engine. One contract suite (`tests/relay/`) holds all engines to it.

A stream is a sequence of entries numbered 1, 2, 3 ... without holes (`seq`), so that whatever is missing can be seen.
Two numbers stand beside it. The *epoch* names one life of a stream id: a stream that is replaced gets a higher one, and
an event id of the old life is not mistaken for one of the new. The *generation* names the producer: it rises at every
takeover, and whoever writes with an old one is fenced off. The end is an entry of its own kind and a state field, never
a text in the payload. Times are in seconds. Source: RELAY.md sections 1 to 3.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeVar

from anyio.lowlevel import checkpoint

from millstream.errors import LogError
from millstream.streams._clock import Clock

__all__ = ["Acquired", "Claim", "End", "Entry", "Mode", "Page", "Push", "Status", "StreamInfo", "StreamLog", "persist"]

T = TypeVar("T")

Mode = Literal["attach", "error", "replace", "resume"]
"""What `acquire` does with a stream that exists: see `Hub.publish`."""


class Status(StrEnum):
    """Where a stream stands."""

    MISSING = "missing"
    """Never published, expired, deleted, or not yours."""
    OPEN = "open"
    """Its producer is at work, or died a moment ago."""
    DONE = "done"
    ERROR = "error"
    """The source failed, or the application's code did."""
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"
    """Its producer died or was shut down; `on_exists="resume"` takes it over."""


class End(NamedTuple):
    """How a stream ended.

    Attributes:
        status: done, error, cancelled or orphaned.
        error: of status "error" or "orphaned", as `encode_event(Error(...))`, else b"".
        told: the payload before it says so too, in its own wire.
    """

    status: Status
    error: bytes = b""
    told: bool = False


class Entry(NamedTuple):
    """One entry: payload, or the end. Entries may follow an end of status "error" or "orphaned": a takeover.

    Attributes: seq: its number, from 1 without holes. data: the payload, b"" of an end. end: how it ended, else None.
    """

    seq: int
    data: bytes
    end: End | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a stream.

    Attributes:
        status: where it stands; all else is empty for "missing".
        seq: number of the last entry.
        gen: generation of its producer.
        epoch: which life of the id this is.
        alive: the producer's lease is valid.
        protocol: the wire of the payload, as in `protocols.encoder_names()`; "" for bytes of the application.
        media_type: content type of the payload.
        meta: what the application gave to `publish`.
        cancel: the reason of a cancellation that was asked for, else None.
        age: seconds since the stream was published.
        end: how it ended, if it has.
        ends: how many entries are ends (more than one after takeovers).
        secret: makes its event ids; not for clients.
    """

    status: Status
    seq: int = 0
    gen: int = 0
    epoch: int = 0
    alive: bool = False
    protocol: str = ""
    media_type: str = ""
    meta: bytes = b""
    cancel: str | None = None
    age: float = 0.0
    end: End | None = None
    ends: int = 0
    secret: bytes = b""

    def __repr__(self) -> str:  # without the secret
        return (
            f"StreamInfo({self.status.value}, seq={self.seq}, gen={self.gen}, epoch={self.epoch}, alive={self.alive})"
        )


class Claim(NamedTuple):
    """What a producer brings to `acquire`.

    Attributes:
        token: random; the same for each attempt of one claim, so that an attempt whose answer was lost may be repeated.
        protocol, media_type, meta: see `StreamInfo`; kept for a stream that is new or replaced.
        secret: kept for a stream that is new. A replaced one keeps its own, so that ids of its former life are known.
    """

    token: str
    protocol: str
    media_type: str
    meta: bytes
    secret: bytes


class Acquired(NamedTuple):
    """Whether this claim makes its owner the producer, and the stream as it is now."""

    won: bool
    info: StreamInfo


class Page(NamedTuple):
    """Some entries in order, and the state of the stream at the same moment."""

    epoch: int
    seq: int
    status: Status
    entries: list[Entry]


Push = Callable[[int, list[Entry]], None]
"""Gets (epoch, entries) that were appended; called in the event loop. No entries: something changed, look again."""


class StreamLog(ABC):
    """Keeps the entries of many streams. Belongs to one event loop; enter it (or the `Hub` that has it) before use.

    All methods raise LogError when the log itself fails; what may be tried again has `retryable` set, and trying again
    is then safe: an operation that was done already is not done twice.

    The arguments of all: `key` names a stream (made of its id and its owner). `gen` is the generation that `acquire`
    gave, `epoch` the life of the id. `claim` is what a producer brings, `mode` what happens to a stream that exists;
    `end` says how a stream ended, `reason` why it is to stop. `after` is the seq of the last entry that the reader has.

    Attributes:
        lease: seconds after which a producer that does not write or renew counts as dead.
        immediate: `append` makes nobody wait, and would fail again if it failed: a producer needs no second task then.
    """

    lease: float
    immediate: bool = False

    async def __aenter__(self) -> Self:
        """Be ready."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no task, thread or connection behind."""
        await checkpoint()  # a log in memory has none

    @abstractmethod
    async def acquire(self, key: str, mode: Mode, claim: Claim) -> Acquired:
        """Elect one producer, atomically. The winner has a new generation and a lease.

        No stream: won. One that exists: "attach" and "error" lose; "replace" wins, begins a new epoch and drops what
        was there; "resume" wins if the producer is dead or the stream ended in an error, and goes on behind its end.
        """

    @abstractmethod
    async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
        """Append entries in one step and renew the lease. No items: only renew.

        Args: first: the seq that the first item gets; what is there already is not written again.
        Returns: the reason of a cancellation that was asked for, else None.
        Raises: StreamFenced: another producer has taken over, or the stream was ended from outside. LogError: also
            with reason "gone" (no such stream any more) and "lost" (entries before `first` are missing).
        """

    @abstractmethod
    async def finalize(self, key: str, gen: int, end: End) -> None:
        """Append the end and set the state. Repeating it is harmless. Raises: as `append`."""

    @abstractmethod
    async def orphan(self, key: str, gen: int, end: End) -> bool:
        """End a stream whose lease has run out, for its dead producer. False if there was nothing to do."""

    @abstractmethod
    async def cancel(self, key: str, reason: str) -> Status:
        """Ask the producer to stop; end the stream at once if it has none. Returns the status before."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Remove a stream with all it has; a producer finds out at its next write. False if there was none."""

    @abstractmethod
    async def info(self, key: str) -> StreamInfo:
        """Return what is known; status "missing" for what is not there."""

    @abstractmethod
    async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
        """Return up to `count` entries behind `after`; none if the epoch is another one. None: no such stream."""

    @abstractmethod
    def follow(self, key: str, epoch: int, after: int, push: Push) -> Callable[[], None]:
        """Have entries pushed as they come, those behind `after` at the earliest. Returns what ends it.

        A push may overlap what was read before and may be missing when the log had trouble: who follows compares the
        numbers, and reads.
        """

    @abstractmethod
    def on_cancel(self, key: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Have `callback(reason)` called soon after a cancellation anywhere; `append` tells it in any case."""


async def persist(call: Callable[[], Awaitable[T]], *, patience: float, clock: Clock) -> T:
    """Call until it does not fail with a retryable LogError, for `patience` seconds; then raise the last one.

    Waits 0.05 s doubling to 1 s, each with up to a quarter more, so that clients of one log do not come back at once.
    """
    deadline = clock.now() + patience
    delay = 0.05
    while True:
        try:
            return await call()
        except LogError as error:
            if not error.retryable or clock.now() + delay > deadline:
                raise
        await clock.sleep(delay * (1 + random.random() / 4))  # noqa: S311
        delay = min(1.0, 2 * delay)
