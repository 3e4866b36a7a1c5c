"""`Item`, and how entries of a log become items: once for all readers of a stream in this process."""

from __future__ import annotations

from typing import NamedTuple

from millstream.errors import ProtocolError
from millstream.events import Event, decode_event
from millstream.relay._ids import event_ids
from millstream.relay._log import Entry

__all__ = ["Item", "Maker"]

KEPT = 16


class Item(NamedTuple):
    """One entry for a consumer.

    Attributes:
        id: what to send as `id:`, and to get back as `Last-Event-ID`.
        data: the payload: for SSE wires one whole message with its blank line, to which an `id:` line may be prefixed.
    """

    id: str
    data: bytes

    @property
    def event(self) -> Event:
        """The event, if the stream's protocol is a native one (`millstream.events.v1`, also as NDJSON).

        Raises: ProtocolError: it is another one; use `millstream.decoder(subscription.protocol)`.
        """
        if self.data.startswith(b"data: "):
            return decode_event(self.data[6:])
        if self.data.startswith(b"{"):
            return decode_event(self.data)
        raise ProtocolError("no millstream.events.v1 event", reason="event")


class Maker:
    """Makes the items of one life of a stream.

    Attributes: shared: several readers have it. They are given the same lists of entries, one reader after the other,
        and the items are then made for the first of them.
    """

    def __init__(self, secret: bytes, epoch: int) -> None:
        self._id = event_ids(secret, epoch)
        self._made: dict[int, tuple[list[Entry], list[Item]]] = {}
        self.shared = False

    def make(self, entries: list[Entry]) -> list[Item]:
        """Return the items of those entries that are no end. Cost: 0.7 us an item."""
        make_id, new = self._id, tuple.__new__  # `Item` itself is Python code, and takes twice as long
        return [new(Item, (make_id(seq), data)) for seq, data, end in entries if end is None]

    def made(self, entries: list[Entry]) -> list[Item]:
        """As `make`, for a list that every reader is given and nobody changes: next to nothing for all but one."""
        if not self.shared:
            return self.make(entries)
        known = self._made.get(id(entries))
        if known is None:
            if len(self._made) >= KEPT:
                del self._made[next(iter(self._made))]
            # With the list, so that none that comes later has its id.
            known = self._made[id(entries)] = entries, self.make(entries)
        return known[1].copy()
