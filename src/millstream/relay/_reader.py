"""The one blocking reader of a process: XREAD over all streams that somebody here follows, and one control stream.

The control stream wakes it when the set has changed, and brings the word that a stream produced here is to be stopped.
Both are accelerators: who follows compares numbers, and looks himself after a while. Cost: an XREAD names every
followed stream, so it is O(streams followed), and brings whatever has come since the last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio

from millstream.errors import LogError
from millstream.relay import _scripts as lua
from millstream.relay._lane import Lane
from millstream.relay._log import End, Entry, Push, Status

__all__ = ["BLOCK_MS", "Reader", "parse_entry"]

BLOCK_MS = 2000  # of one XREAD; also how late a change is seen if the word of it is lost
COUNT = 500
POLL_SECONDS = 0.02  # between two rounds over the streams in a cluster

log = logging.getLogger("millstream")


class Reader:
    """Follows streams for all who read in this process.

    Args:
        lane: its connection, which it does not share.
        control: key of this process's control stream.
        nudge: adds an entry to a control stream.
    """

    def __init__(self, lane: Lane, control: str, nudge: Callable[[str], None]) -> None:
        self.lane = lane
        self._control = control
        self._nudge = nudge
        self._control_id = "0-0"
        self._follows: dict[str, _Follow] = {}
        self._cancels: dict[str, Callable[[str], None]] = {}
        self._changed = anyio.Event()
        self.is_reading = False
        """A blocking read is under way, of the streams as they were when it began."""

    @property
    def n_followers(self) -> int:
        """How many follow a stream."""
        return sum(len(follow.pushes) for follow in self._follows.values())

    def follow(self, keys: tuple[str, str, str], epoch: int, after: int, push: Push) -> Callable[[], None]:
        """As `StreamLog.follow`."""
        name = keys[2]
        follow = self._follows.get(name)
        if follow is None:
            follow = self._follows[name] = _Follow(keys, epoch, after)
            self._wake()
        token = object()
        follow.pushes[token] = push

        def unfollow() -> None:
            follow.pushes.pop(token, None)
            if not follow.pushes and self._follows.get(name) is follow:
                del self._follows[name]

        return unfollow

    def on_cancel(self, key: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """As `StreamLog.on_cancel`."""
        self._cancels[key] = callback
        self._wake()

        def forget() -> None:
            if self._cancels.get(key) is callback:
                del self._cancels[key]

        return forget

    def _wake(self) -> None:
        """Take up what is followed now."""
        self._changed.set()
        if self.is_reading:
            self.is_reading = False  # once is enough
            self._nudge(self._control)

    async def work(self) -> None:
        """Read until cancelled."""
        delay = 0.05
        while True:
            if not self._follows and not self._cancels:
                self._changed = anyio.Event()
                await self._changed.wait()
            try:
                await (self._poll() if self.lane.is_cluster else self._read())
                delay = 0.05
            except LogError as error:
                # Whoever follows looks at his stream himself after a while, and meets the error there.
                log.warning("relay: reading from Redis failed, trying again: %s", error)
                self._control_id = "0-0"
                await anyio.sleep(delay)
                delay = min(1.0, 2 * delay)

    async def _read(self) -> None:
        names = [self._control, *self._follows]
        ids = [self._control_id, *(follow.id for follow in self._follows.values())]
        self.is_reading = True
        try:
            found = await self.lane.call("XREAD", "COUNT", COUNT, "BLOCK", BLOCK_MS, "STREAMS", *names, *ids)
        finally:
            self.is_reading = False
        for raw_name, entries in found or ():
            name = raw_name.decode()
            if name == self._control:
                self._hear(entries)
            elif name in self._follows:
                self._follows[name].give(entries)

    async def _poll(self) -> None:
        """In a cluster one XREAD cannot span slots: read each stream in turn."""
        for name, follow in list(self._follows.items()):
            found = await self.lane.call("EVALSHA", lua.sha[lua.READ], 3, *follow.keys, follow.epoch, follow.seq, COUNT)
            if found is None or int(found[0]) != follow.epoch:
                follow.give([])
            elif found[3] and name in self._follows:
                follow.give(found[3])
        self._hear(await self.lane.call("EVALSHA", lua.sha[lua.HEAR], 1, self._control, self._control_id))
        await anyio.sleep(POLL_SECONDS)

    def _hear(self, entries: Any) -> None:
        """Take the word of cancellations; of changes there is nothing to take."""
        for raw_id, fields in entries:
            self._control_id = raw_id.decode()
            callback = self._cancels.get(fields[1].decode())
            if callback is not None:
                callback(fields[3].decode())


class _Follow:
    """A stream that somebody in this process follows, and how far it was read for them."""

    def __init__(self, keys: tuple[str, str, str], epoch: int, seq: int) -> None:
        self.keys = keys
        self.epoch = epoch
        self.seq = seq
        self.pushes: dict[object, Push] = {}

    @property
    def id(self) -> str:
        return f"{self.epoch}-{self.seq}"

    def give(self, raw: Any) -> None:
        epoch, entries = self.epoch, list[Entry]()
        prefix = b"%d-" % epoch
        n = len(prefix)
        for raw_id, fields in raw:
            if raw_id.startswith(prefix) and fields[0] == b"d":  # as `parse_entry`, in half of the time
                entries.append(Entry(int(raw_id[n:]), fields[1]))
                continue
            its_epoch, entry = parse_entry(raw_id, fields)
            if its_epoch != epoch:  # replaced between two entries: readers of the old one must look
                self._push(epoch, entries)
                epoch, entries = its_epoch, []
            entries.append(entry)
        if entries:
            self.epoch, self.seq = epoch, entries[-1].seq
        self._push(epoch, entries)

    def _push(self, epoch: int, entries: list[Entry]) -> None:
        for push in list(self.pushes.values()):
            push(epoch, entries)


def parse_entry(raw_id: bytes, fields: list[bytes]) -> tuple[int, Entry]:
    """Return the epoch and the entry of what XREAD and XRANGE give."""
    epoch, _, seq = raw_id.partition(b"-")
    if fields[0] == b"d":
        return int(epoch), Entry(int(seq), fields[1])
    return int(epoch), Entry(int(seq), b"", End(Status(fields[1].decode()), fields[3], fields[5] == b"1"))
