"""`MemoryLog`: streams kept in this process, bounded. They outlive their connections, not the process.

Cost: an entry is its payload and some 200 bytes; appending is O(entries), reading a page O(page).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Self

from millstream.errors import LogError, StreamFenced
from millstream.relay._kept import ENTRY_BYTES, Ended, Kept
from millstream.relay._log import Acquired, Claim, End, Entry, Mode, Page, Push, Status, StreamInfo, StreamLog
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._interrupt import clock_reader

__all__ = ["MemoryLog"]

RESUMABLE = (Status.OPEN, Status.ERROR, Status.ORPHANED)


class MemoryLog(StreamLog):
    """The log for one process, and for tests. Belongs to one event loop.

    When it is full, streams that have ended go first: of the owner who has most of what is short, the one that ended
    first, so nobody's flood drives out what others may want to resume. Then a stream loses its own oldest entries,
    which its readers notice as ResumeGap.

    Args:
        max_streams: how many streams are kept.
        max_bytes: what all of them may take together.
        maxlen: entries of one stream; older ones are trimmed.
        lease: seconds after which a silent producer counts as dead.
        ttl: seconds that a stream without any write is kept.
        retain: seconds that it is kept after its end.
        clock: what these seconds go by; a `FakeClock` in tests.
    Raises: ValueError: one of them is not positive.
    """

    immediate = True

    def __init__(
        self,
        *,
        max_streams: int = 10_000,
        max_bytes: int = 256 << 20,
        maxlen: int = 100_000,
        lease: float = 10.0,
        ttl: float = 86_400.0,
        retain: float = 600.0,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        if min(max_streams, max_bytes, maxlen, lease, ttl, retain) <= 0:
            raise ValueError("all bounds of a MemoryLog must be positive")
        self.lease = lease
        self._max_streams = max_streams
        self._max_bytes = max_bytes
        self._maxlen = maxlen
        self._ttl = ttl
        self._retain = retain
        self._clock = clock
        self._now = clock.now
        self._streams: dict[str, Kept] = {}
        self._ended = Ended()
        self._bytes = 0
        self._last_gen = 0
        self._followers: dict[str, dict[int, Push]] = {}
        self._cancels: dict[str, Callable[[str], None]] = {}
        self._n_followers = 0

    async def __aenter__(self) -> Self:
        """Be ready."""
        self._now = clock_reader(self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the event loop."""
        self._now = self._clock.now
        await super().__aexit__(kind, error, trace)

    @property
    def n_bytes(self) -> int:
        """What all streams take now, by the estimate that `max_bytes` bounds."""
        return self._bytes

    @property
    def n_streams(self) -> int:
        """How many streams are kept, those included that have expired and were not asked for since."""
        return len(self._streams)

    async def acquire(self, key: str, mode: Mode, claim: Claim) -> Acquired:
        """Elect the producer."""
        now = self._now()
        kept = self._find(key)
        if kept is not None and kept.claim.token == claim.token:
            return Acquired(True, kept.info(now))
        if kept is not None and mode == "resume":
            if kept.status not in RESUMABLE or kept.alive(now):
                return Acquired(False, kept.info(now))
            kept.claim = kept.claim._replace(token=claim.token)
            self._ended.forget(key, kept)
        elif kept is not None and mode != "replace":
            return Acquired(False, kept.info(now))
        else:
            if kept is not None:
                claim = claim._replace(secret=kept.claim.secret)
                self._drop(key)
            self._make_room()
            kept = self._streams[key] = Kept(claim, now)
        # Above the clock's milliseconds: not even a new process gives a number again.
        kept.gen = self._last_gen = max(self._last_gen + 1, int(time.time() * 1000))
        kept.epoch = kept.epoch or kept.gen
        kept.status, kept.cancel, kept.end = Status.OPEN, None, None
        self._touch(kept)
        self._tell(key, kept.epoch, [])
        return Acquired(True, kept.info(now))

    async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
        """Append entries and renew the lease."""
        kept = self._writable(key, gen)
        if kept.seq < first - 1:
            raise LogError("entries before these are missing", reason="lost")
        seq = kept.seq
        fresh = items[seq - first + 1 :] if seq >= first else items
        if fresh:
            size = ENTRY_BYTES * len(fresh) + sum(map(len, fresh))
            self._add(key, kept, [Entry(i, data) for i, data in enumerate(fresh, seq + 1)], size)
        self._touch(kept)
        return kept.cancel

    async def finalize(self, key: str, gen: int, end: End) -> None:
        """Append the end."""
        kept = self._streams.get(key)
        if kept is not None and kept.gen == gen and kept.end == end:
            return
        self._end(key, self._writable(key, gen), end)

    async def orphan(self, key: str, gen: int, end: End) -> bool:
        """End a stream whose lease has run out."""
        kept = self._find(key)
        if kept is None or kept.gen != gen or kept.status is not Status.OPEN or kept.alive(self._now()):
            return False
        self._end(key, kept, end)
        return True

    async def cancel(self, key: str, reason: str) -> Status:
        """Ask the producer to stop."""
        kept = self._find(key)
        if kept is None:
            return Status.MISSING
        before = kept.status
        if before is Status.OPEN and kept.alive(self._now()):
            kept.cancel = kept.cancel or reason
            callback = self._cancels.get(key)
            if callback is not None:
                callback(kept.cancel)
        elif before is Status.OPEN:
            kept.cancel = kept.cancel or reason
            self._end(key, kept, End(Status.CANCELLED))
        return before

    async def delete(self, key: str) -> bool:
        """Remove a stream."""
        return self._find(key) is not None and self._drop(key)

    async def info(self, key: str) -> StreamInfo:
        """Return what is known."""
        kept = self._find(key)
        return StreamInfo(Status.MISSING) if kept is None else kept.info(self._now())

    async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
        """Return a page."""
        kept = self._find(key)
        if kept is None:
            return None
        start = max(0, after + 1 - kept.first)
        entries = list(islice(kept.entries, start, start + count)) if kept.epoch == epoch else []
        return Page(kept.epoch, kept.seq, kept.status, entries)

    def follow(self, key: str, epoch: int, after: int, push: Push) -> Callable[[], None]:
        """Have entries pushed as they are appended."""
        self._n_followers += 1
        number = self._n_followers
        self._followers.setdefault(key, {})[number] = push

        def unfollow() -> None:
            followers = self._followers.get(key, {})
            followers.pop(number, None)
            if not followers:
                self._followers.pop(key, None)

        return unfollow

    def on_cancel(self, key: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Have `callback(reason)` called by `cancel`."""
        self._cancels[key] = callback

        def forget() -> None:
            if self._cancels.get(key) is callback:
                del self._cancels[key]

        return forget

    def adopt(self, key: str, info: StreamInfo, seq: int) -> None:
        """Go on with a stream whose own log cannot be reached, behind entry `seq`; what came before is not here.

        Args: info: what that log said of the stream last. seq: number of its last entry.
        """
        told = Claim("", info.protocol, info.media_type, info.meta, info.secret)
        kept = self._streams[key] = Kept(told, self._now(), info.gen, info.epoch, first=seq + 1)
        self._touch(kept)

    # --- keeping -------------------------------------------------------------------------------------------------

    def _find(self, key: str) -> Kept | None:
        kept = self._streams.get(key)
        if kept is not None and kept.expires <= self._now():
            self._drop(key)
            return None
        return kept

    def _writable(self, key: str, gen: int) -> Kept:
        kept = self._find(key)
        if kept is None:
            raise LogError("the stream is not there any more: it expired or was deleted", reason="gone")
        if kept.gen != gen:
            raise StreamFenced("another producer has taken this stream over")
        if kept.status is not Status.OPEN:
            raise StreamFenced(f"this stream was ended from outside: {kept.status.value}")
        return kept

    def _add(self, key: str, kept: Kept, entries: list[Entry], size: int) -> None:
        self._make_room_for(key, kept, size)
        kept.entries += entries
        kept.n_bytes += size
        self._bytes += size
        while len(kept.entries) > self._maxlen:
            self._bytes -= kept.trim()
        self._tell(key, kept.epoch, entries)

    def _end(self, key: str, kept: Kept, end: End) -> None:
        kept.status, kept.end = end.status, end
        kept.ends += 1
        kept.lease_until = 0.0
        kept.expires = self._now() + self._retain
        entry = Entry(kept.seq + 1, b"", end)
        kept.entries.append(entry)  # always fits: an end is never refused
        kept.n_bytes += ENTRY_BYTES
        self._bytes += ENTRY_BYTES
        self._ended.add(key, kept)
        self._tell(key, kept.epoch, [entry])

    def _touch(self, kept: Kept) -> None:
        now = self._now()
        kept.lease_until = now + self.lease
        kept.expires = now + self._ttl

    def _tell(self, key: str, epoch: int, entries: list[Entry]) -> None:
        for push in list(self._followers.get(key, {}).values()):
            push(epoch, entries)

    def _drop(self, key: str) -> bool:
        kept = self._streams.pop(key)
        self._ended.forget(key, kept)
        self._bytes -= kept.n_bytes
        self._tell(key, 0, [])
        return True

    def _make_room(self) -> None:
        if len(self._streams) < self._max_streams:
            return
        now = self._now()
        expired = [key for key, kept in self._streams.items() if kept.expires <= now]
        for key in expired:
            self._drop(key)
        if expired:
            return
        ended = self._ended.first_to_go(by_bytes=False)
        if ended is None:
            raise LogError(
                f"{self._max_streams} streams are running (max_streams)", reason="full", retryable=True, retry_after=1.0
            )
        self._drop(ended)

    def _make_room_for(self, key: str, kept: Kept, size: int) -> None:
        while self._bytes + size > self._max_bytes:
            ended = self._ended.first_to_go(by_bytes=True)
            if ended is not None:
                self._drop(ended)
            elif kept.entries:
                self._bytes -= kept.trim()
            else:
                raise LogError(f"the running streams fill the log: {self._max_bytes} bytes (max_bytes)", reason="full")
