"""What a `MemoryLog` keeps of one stream, and which of the streams that have ended is the first to make room."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from millstream.relay._log import Claim, End, Entry, Status, StreamInfo

__all__ = ["ENTRY_BYTES", "Ended", "Kept"]

ENTRY_BYTES = 200  # what an entry takes besides its payload: tuple, number, bytes object, slot


@dataclass(slots=True)
class Kept:
    """One stream."""

    claim: Claim
    since: float
    gen: int = 0
    epoch: int = 0
    first: int = 1  # seq of entries[0], or of the next entry if there is none
    status: Status = Status.OPEN
    cancel: str | None = None
    end: End | None = None
    ends: int = 0
    lease_until: float = 0.0
    expires: float = 0.0
    n_bytes: int = 0
    entries: deque[Entry] = field(default_factory=deque)

    @property
    def seq(self) -> int:
        """Number of the last entry."""
        return self.first + len(self.entries) - 1

    def alive(self, now: float) -> bool:
        """Whether the lease is valid."""
        return now < self.lease_until

    def info(self, now: float) -> StreamInfo:
        """Return what is told of it."""
        return StreamInfo(
            status=self.status,
            seq=self.seq,
            gen=self.gen,
            epoch=self.epoch,
            alive=self.alive(now),
            protocol=self.claim.protocol,
            media_type=self.claim.media_type,
            meta=self.claim.meta,
            cancel=self.cancel,
            age=now - self.since,
            end=self.end,
            ends=self.ends,
            secret=self.claim.secret,
        )

    def trim(self) -> int:
        """Drop the oldest entry and return its size."""
        size = ENTRY_BYTES + len(self.entries.popleft().data)
        self.first += 1
        self.n_bytes -= size
        return size


class Ended:
    """The streams that have ended, by owner: nobody's flood drives out what others may want to resume."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[str, Kept]] = {}  # by owner, in the order in which they ended
        self._n_bytes: Counter[str] = Counter()

    def add(self, key: str, kept: Kept) -> None:
        """Note that it has ended."""
        owner = _owner(key)
        self._streams.setdefault(owner, {})[key] = kept
        self._n_bytes[owner] += kept.n_bytes

    def forget(self, key: str, kept: Kept) -> None:
        """Note that it is open again, or gone; nothing if it had not ended."""
        if kept.end is None:
            return
        owner = _owner(key)
        del self._streams[owner][key]
        self._n_bytes[owner] -= kept.n_bytes
        if not self._streams[owner]:
            del self._streams[owner], self._n_bytes[owner]

    def first_to_go(self, *, by_bytes: bool) -> str | None:
        """Return the key that ended first, of the owner who has most bytes, or most streams. Cost: O(owners)."""
        if not self._streams:
            return None
        taken: Callable[[str], Any] = self._n_bytes.__getitem__ if by_bytes else lambda owner: len(self._streams[owner])
        return next(iter(self._streams[max(self._streams, key=taken)]))


def _owner(key: str) -> str:
    """Return the owner's part of a key, see `stream_key`."""
    return key.rpartition("/")[0]
