"""Reading one stream of a log: replay, then live, with every missing entry noticed. `Subscription` is what users hold.

Theory: entries behind the cursor are read in pages until a page is short; then the log pushes what comes. A push that
does not continue at the cursor is dropped and the next page is read instead, so pushes may overlap, overflow or be
missing. In silence the state is looked at every quarter of the lease: that finds dead producers, lost end markers and
streams that have gone. The log decouples: a slow reader holds up to MAX_PUSHED entries here and pages again later.
Source: RELAY.md section 3.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from anyio import Event

from millstream.errors import ProducerLost, ProtocolError, ResumeGap, StreamNotFound
from millstream.events import Error, decode_event, encode_event
from millstream.events import Event as AnyEvent
from millstream.relay._ids import NO_KEY, check_event_id, event_id, parse_event_id
from millstream.relay._log import End, Entry, Page, Status, StreamInfo, StreamLog, persist
from millstream.streams import Stream
from millstream.streams._clock import Clock
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks

__all__ = ["Item", "OnGap", "Subscription", "Tail"]

OnGap = Literal["raise", "earliest", "skip"]

PAGE = 500  # entries of one read
MAX_PUSHED = 1000  # entries that wait here for a slow reader before it pages again
LOST = End(Status.ORPHANED, encode_event(Error(ProducerLost("the producer of this stream died before its end"))))

log = logging.getLogger("millstream")


class Item(NamedTuple):
    """One entry for a consumer.

    Attributes:
        id: what to send as `id:`, and to get back as `Last-Event-ID`.
        data: the payload: for SSE wires one whole message with its blank line, to which an `id:` line may be prefixed.
    """

    id: str
    data: bytes

    @property
    def event(self) -> AnyEvent:
        """The event, if the stream's protocol is a native one (`millstream.events.v1`, also as NDJSON).

        Raises: ProtocolError: it is another one; use `millstream.decoder(subscription.protocol)`.
        """
        if self.data.startswith(b"data: "):
            return decode_event(self.data[6:])
        if self.data.startswith(b"{"):
            return decode_event(self.data)
        raise ProtocolError("no millstream.events.v1 event", reason="event")


class Tail(Puller[Item]):
    """Gives the items of one stream. See `Hub.subscribe` for the arguments."""

    def __init__(
        self,
        source: StreamLog,
        key: str | None,
        after: str | None,
        *,
        on_gap: OnGap,
        allowed: Callable[[], Awaitable[bool]],
        lost: Callable[[str, StreamInfo], Awaitable[None]],
        patience: float,
        clock: Clock,
    ) -> None:
        self._log = source
        self._key = key or NO_KEY
        self._after = after
        self._on_gap = on_gap
        self._allowed = allowed
        self._lost = lost
        self._patience = patience
        self._clock = clock
        self._secret = b""
        self._epoch = 0
        self._seq = 0  # the cursor: everything up to here was given
        self._behind = True  # pages must be read
        self._poked = False  # something was pushed while a page was being read
        self._pushed: list[Entry] = []
        self._news = Event()
        self._unfollow: Callable[[], None] | None = None
        self._leaseless = 0  # how often in a row the lease was found missing
        self.info = StreamInfo(Status.MISSING)
        self.end: End | None = None
        self.gap: ResumeGap | None = None

    async def open(self, tasks: Tasks) -> None:
        """Find the stream and the place to begin.

        Raises: InvalidEventId, StreamNotFound, LogError, and ResumeGap with `on_gap="raise"`.
        """
        place = parse_event_id(self._after) if self._after is not None else None
        # S4: what is refused and what is not there take the same steps.
        info = await persist(lambda: self._log.info(self._key), patience=self._patience, clock=self._clock)
        allowed = await self._allowed()
        if not allowed or info.status is Status.MISSING:
            raise StreamNotFound("no such stream")
        self.info, self._secret, self._epoch = info, info.secret, info.epoch
        if place is None or self._after is None:
            return
        epoch, self._seq, mac = place
        check_event_id(info.secret, self._after, mac)
        if epoch != info.epoch:
            self._missing("epoch", info.epoch, info.seq, None)
        elif self._seq > info.seq:
            self._missing("future", info.epoch, info.seq, None)

    async def pull(self) -> list[Item]:
        """Return the next items; [] at the end.

        Raises: what the stream ended with, ResumeGap, LogError.
        """
        while self.end is None:
            items = self._take(self._pushed, None)
            self._pushed = []
            if not items and self._behind:
                items = await self._page()
            if items:
                return items
            if not self._behind and self.end is None:
                await self._wait()
        self._stop()
        if self.end.error:
            event = decode_event(self.end.error)
            if isinstance(event, Error):
                raise event.error
        return []

    async def aclose(self) -> None:
        """Follow no longer."""
        self._stop()

    def move(self, source: StreamLog, key: str) -> None:
        """Read on in another log, if it is this stream that moved there."""
        if key == self._key:
            if self._unfollow is not None:
                self._unfollow()
                self._unfollow = None
            self._log = source  # what was pushed already is not there: it is kept here
            self._behind = self._poked = True
            self._news.set()

    # --- reading -------------------------------------------------------------------------------------------------

    async def _page(self) -> list[Item]:
        self._poked = False
        page = await persist(
            lambda: self._log.read(self._key, self._epoch, self._seq, PAGE), patience=self._patience, clock=self._clock
        )
        if page is None:
            raise self._gone()
        if page.epoch != self._epoch:
            await self._replaced()
            return []
        if page.seq < self._seq:
            self._missing("future", page.epoch, page.seq, None)
            return []
        if (page.entries[0].seq if page.entries else page.seq + 1) > self._seq + 1:
            self._missing("trimmed", page.epoch, page.seq, page.entries[0].seq if page.entries else None)
            return []
        items = self._take(page.entries, page)
        if len(page.entries) < PAGE:
            await self._caught_up(page)
        return items

    async def _replaced(self) -> None:
        info = await persist(lambda: self._log.info(self._key), patience=self._patience, clock=self._clock)
        if info.status is Status.MISSING:
            raise self._gone()
        self.info, self._secret = info, info.secret
        self._missing("epoch", info.epoch, info.seq, None)

    async def _caught_up(self, page: Page) -> None:
        if page.status is not Status.OPEN and self.end is None:
            # The end marker is lost, or was passed before: the state field ends the stream as well.
            info = await persist(lambda: self._log.info(self._key), patience=self._patience, clock=self._clock)
            if info.epoch == self._epoch and info.seq == self._seq:
                self.end = info.end
        elif self._unfollow is None:
            # Entries that come between the last page and this line are in the next page: read once more.
            self._unfollow = self._log.follow(self._key, self._epoch, self._seq, self._push)
        else:
            self._behind = self._poked

    def _take(self, entries: list[Entry], page: Page | None) -> list[Item]:
        """Move the cursor over entries that continue at it, and return those with payload."""
        items = []
        for entry in entries:
            self._seq = entry.seq
            if entry.end is None:
                items.append(Item(event_id(self._secret, self._epoch, entry.seq), entry.data))
            elif page is None or (entry.seq == page.seq and page.status is not Status.OPEN):
                self.end = entry.end
            # else a producer that died, and another one took over: no end.
        return items

    def _push(self, epoch: int, entries: list[Entry]) -> None:
        last = self._pushed[-1].seq if self._pushed else self._seq
        fresh = entries if entries and entries[0].seq == last + 1 else [e for e in entries if e.seq > last]
        fits = epoch == self._epoch and bool(fresh) and fresh[0].seq == last + 1
        if self._behind or not fits or len(self._pushed) + len(fresh) > MAX_PUSHED:
            if entries and not fresh and epoch == self._epoch:
                return  # nothing but what was read already
            self._behind = self._poked = True
        else:
            self._pushed += fresh
        self._news.set()

    async def _wait(self) -> None:
        """Wait for a push; look at the state of the stream if there is none."""
        with self._clock.move_on_at(self._clock.now() + self._log.lease / 4):
            await self._news.wait()
        if self._news.is_set():
            self._news = Event()
            self._leaseless = 0
            return
        info = await persist(lambda: self._log.info(self._key), patience=self._patience, clock=self._clock)
        if info.status is Status.MISSING:
            raise self._gone()
        if info.epoch != self._epoch or info.seq != self._seq or info.status is not Status.OPEN:
            self._behind = True
        elif info.alive:
            self._leaseless = 0
        else:
            # Twice, so that a producer that has just reconnected to the log can renew its lease.
            self._leaseless += 1
            if self._leaseless > 1:
                await self._lost(self._key, info)
                self._behind = True

    # --- what is missing -----------------------------------------------------------------------------------------

    def _missing(self, reason: str, epoch: int, seq: int, first: int | None) -> None:
        """Entries are missing behind the cursor: raise, or go on where `on_gap` says."""
        available = event_id(self._secret, epoch, first) if first is not None else None
        text = {
            "epoch": "the stream was replaced by another one of the same id",
            "future": "the log has lost entries that were read from it",
            "trimmed": "the log no longer keeps the entries that follow",
        }[reason]
        self.gap = ResumeGap(f"cannot resume: {text}", first_available=available, reason=reason)
        if self._on_gap == "raise":
            raise self.gap
        log.warning("relay: going on after a gap (%s) with on_gap=%r", reason, self._on_gap)
        self._epoch = epoch
        self._stop()  # follow again from there
        self._behind = True
        if self._on_gap == "skip" or reason == "future":
            self._seq = seq
        elif reason == "epoch":
            self._seq = 0
        else:
            self._seq = first - 1 if first is not None else seq

    def _gone(self) -> ResumeGap:
        self.gap = ResumeGap("cannot go on: the stream has expired or was deleted", reason="gone")
        return self.gap

    def _stop(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        self._pushed = []


class Subscription(Stream[Item]):
    """The items of a relayed stream, from where the reader left off to the end; a `Stream` like any other.

    Ends when the stream has ended. Raises what its source failed with, and ProducerLost if nobody could tell.
    Leaving it never stops the producer; `Hub.attached` does.
    """

    def __init__(self, tail: Tail) -> None:
        super().__init__(tail)
        self._tail = tail

    @property
    def info(self) -> StreamInfo:
        """The stream as it was when this subscription opened, or when it was replaced."""
        return self._tail.info

    @property
    def protocol(self) -> str:
        """The wire of `Item.data`, "" for bytes of the application."""
        return self._tail.info.protocol

    @property
    def media_type(self) -> str:
        """The content type of `Item.data`."""
        return self._tail.info.media_type

    @property
    def end(self) -> End | None:
        """How the stream ended, once that was reached; `end.told`: its error stands in the data already."""
        return self._tail.end

    @property
    def gap(self) -> ResumeGap | None:
        """The last gap that `on_gap` passed over."""
        return self._tail.gap
