"""`Subscription`: a relayed stream as its readers hold it."""

from __future__ import annotations

from millstream.errors import ResumeGap
from millstream.relay._item import Item
from millstream.relay._log import End, StreamInfo
from millstream.relay._tail import Tail
from millstream.streams import Stream

__all__ = ["Subscription"]


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
