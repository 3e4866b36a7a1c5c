"""How many streams may run at once, of one owner and of all: who asks and hangs up costs an answer each time.

Not known here: HTTP, the gateway, who an owner is. Source: THREATS_AND_FAULTS.md S8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from threading import Lock
from types import TracebackType
from typing import Self

from millstream.errors import TooManyStreams, UsageError

__all__ = ["Admission", "StreamLimit"]


class StreamLimit:
    """Counts streams from their admission to their end. Safe across threads.

    Each process counts for itself: with several workers, an owner may have as many times `per_owner`. Where that is too
    many, divide the bounds by the number of workers, or count in front of them, where all requests pass.

    Args:
        per_owner: streams of one owner at once.
        total: streams of all owners at once.
    Raises: UsageError: one of them is below 1.
    """

    def __init__(self, per_owner: int = 64, total: int = 10_000) -> None:
        if min(per_owner, total) < 1:
            raise UsageError(f"a limit of streams is 1 or more, not {min(per_owner, total)}")
        self.per_owner = per_owner
        self.total = total
        self._running: Counter[Hashable] = Counter()
        self._all = 0
        self._lock = Lock()

    @property
    def running(self) -> int:
        """How many run now."""
        return self._all

    def running_of(self, owner: Hashable) -> int:
        """How many of them are this owner's."""
        return self._running[owner]

    def of(self, owner: Hashable) -> Admission:
        """Return the admission of one stream, for a `with` block or for a response. It counts nothing yet."""
        return Admission(self, owner)

    def _enter(self, owner: Hashable) -> None:
        with self._lock:
            if self._running[owner] >= self.per_owner:
                said = f"{self.per_owner} streams of this owner are running already"
                raise TooManyStreams(said, limit=self.per_owner, retry_after=1.0)
            if self._all >= self.total:
                said = f"{self.total} streams are running already"
                raise TooManyStreams(said, limit=self.total, of_all=True, retry_after=1.0)
            self._running[owner] += 1
            self._all += 1

    def _leave(self, owner: Hashable) -> None:
        with self._lock:
            self._all -= 1
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]


class Admission:
    """One stream of an owner. It counts from `enter` to `leave`, or as long as a `with` block lasts.

    Args: limit: what counts it. owner: whose it is.
    """

    __slots__ = ("_entered", "_limit", "owner")

    def __init__(self, limit: StreamLimit, owner: Hashable) -> None:
        self.owner = owner
        self._limit = limit
        self._entered = False

    def enter(self) -> None:
        """Count it. Raises: TooManyStreams. UsageError: it counts already."""
        if self._entered:
            raise UsageError("this admission is in use; each stream needs one of its own")
        self._limit._enter(self.owner)
        self._entered = True

    def leave(self) -> None:
        """Count it no more. Again: nothing."""
        if self._entered:
            self._entered = False
            self._limit._leave(self.owner)

    def __enter__(self) -> Self:
        """Count it. Raises: as `enter`."""
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
