"""Reading one stream of a log: replay, then live, with every missing entry noticed. Users hold a `Subscription` of it.

Theory: entries behind the cursor are read in pages until a page is short; then the log pushes what comes. A push that
does not continue at the cursor is dropped and the next page is read instead, so pushes may overlap, overflow or be
missing. In silence the state is looked at every quarter of the lease: that finds dead producers, lost end markers and
streams that have gone. The log decouples: a slow reader holds up to MAX_PUSHED entries here and pages again later.
Cost: what is pushed is given as it is, in one batch, and readers of one stream share its items; a wait makes neither a
scope nor a timer. Source: RELAY.md section 3.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from millstream.errors import ProducerLost, ProtocolError, ResumeGap, StreamNotFound
from millstream.events import Error, decode_event, encode_event
from millstream.relay._ids import NO_KEY, check_event_id, event_id, parse_event_id
from millstream.relay._item import Item, Maker
from millstream.relay._log import End, Entry, Page, Status, StreamInfo, StreamLog, persist
from millstream.relay._rounds import Rounds
from millstream.streams._clock import Clock
from millstream.streams._handoff import Signal
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks

__all__ = ["LOST", "OnGap", "Tail"]

OnGap = Literal["raise", "earliest", "skip"]

PAGE = 500  # entries of one read
MAX_PUSHED = 1000  # entries that wait here for a slow reader before it pages again
LOST = End(Status.ORPHANED, encode_event(Error(ProducerLost("the producer of this stream died before its end"))))

log = logging.getLogger("millstream")


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
        maker: Callable[[bytes, int], Maker],
        rounds: Rounds,
        patience: float,
        clock: Clock,
    ) -> None:
        self._log = source
        self._key = key or NO_KEY
        self._after = after
        self._on_gap = on_gap
        self._allowed = allowed
        self._lost = lost
        self._maker_of = maker
        self._rounds = rounds
        self._patience = patience
        self._clock = clock
        self._secret = b""
        self._epoch = 0
        self._maker = Maker(b"", 0)
        self._seq = 0  # the cursor: everything up to here was given
        self._behind = True  # pages must be read
        self._poked = False  # something was pushed while a page was being read
        self._pushed: list[list[Entry]] = []
        self._n_pushed = 0
        self._news = False  # something was pushed since the last wait
        self._awake = Signal()
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
        self._maker = self._maker_of(info.secret, info.epoch)
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
            if self._pushed:
                items = self._take_pushed()
            elif self._behind:
                items = await self._page()
            else:
                await self._wait()
                continue
            if items:
                return items
        self._stop()
        if self.end.error:
            event = decode_event(self.end.error)
            raise event.error if isinstance(event, Error) else ProtocolError("the log tells an end by what is no error")
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
            self._wake()

    def overdue(self) -> None:
        """Look at the state of the stream: nothing has come for a while."""
        self._awake.set()

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
        items: list[Item] = []
        if page.entries:
            items = self._maker.make(page.entries)
            self._seq, _, end = page.entries[-1]
            # Else it is of a producer that died, and another one took over.
            if self._seq == page.seq and page.status is not Status.OPEN:
                self.end = end
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

    def _take_pushed(self) -> list[Item]:
        """Move the cursor over the entries that wait here, and return those with payload."""
        pushed, self._pushed, self._n_pushed = self._pushed, [], 0
        items = self._maker.made(pushed[0])
        for entries in pushed[1:]:
            items += self._maker.made(entries)
        self._seq, _, self.end = pushed[-1][-1]
        return items

    def _push(self, epoch: int, entries: list[Entry]) -> None:
        last = self._pushed[-1][-1].seq if self._pushed else self._seq
        fresh = entries if entries and entries[0].seq == last + 1 else [e for e in entries if e.seq > last]
        fits = epoch == self._epoch and bool(fresh) and fresh[0].seq == last + 1
        if self._behind or not fits or self._n_pushed + len(fresh) > MAX_PUSHED:
            if entries and not fresh and epoch == self._epoch:
                return  # nothing but what was read already
            self._behind = self._poked = True
        else:
            self._pushed.append(fresh)
            self._n_pushed += len(fresh)
        self._wake()

    def _wake(self) -> None:
        self._news = True
        self._awake.set()

    async def _wait(self) -> None:
        """Wait for a push; look at the state of the stream if there is none."""
        if not self._news:
            self._rounds.begin(self)
            try:
                await self._awake.wait()
            finally:
                self._rounds.end(self)
        if self._news:
            self._news = False
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
        self._maker = self._maker_of(self._secret, epoch)
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
        self._pushed, self._n_pushed = [], 0
