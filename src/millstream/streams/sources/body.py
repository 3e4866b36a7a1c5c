"""A body of bytes -> batches of events: any async iterable of bytes, and a decoder."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

from millstream.errors import IncompleteStream, LimitExceeded, StreamError
from millstream.events import Error, Event, Finish, FinishReason, TextDelta
from millstream.protocols import Bytes, Decoder
from millstream.streams._pull import Puller, breathe, close_iterator
from millstream.streams._tasks import Tasks
from millstream.streams.sources._transport import transport_error

__all__ = ["BodySource"]

SLICE_BYTES = 64 * 1024
"""So much of a chunk is decoded in one pull (M2): 10 MB in one read would hold the event loop up for 0.2 s."""

SLICE_COUNTS = 15
"""A slice without any event counts as so many more chunks (S17): 64 slices of blank lines take 40 ms."""

NOTHING = memoryview(b"")


class BodySource(Puller[Event]):
    """Decode chunks as they come; one pull gives the events of one chunk, or of a slice of a large one.

    After the decoder's last event nothing more is read. A fatal `Error` event is delivered, and so is the `Finish`
    after it; then the stream ends by raising what the event carries, so that nobody takes a failure for an end.
    """

    def __init__(self, chunks: AsyncIterable[Bytes], decoder: Decoder, *, require_finish: bool = False) -> None:
        self._chunks = aiter(chunks)
        self._next = self._chunks.__anext__
        self._decoder = decoder
        self._require_finish = require_finish
        self._failure: StreamError | None = None
        self._done = False
        self._rest = NOTHING
        self._watchers: list[Callable[[int], None]] = []

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Call `watcher` with the size of each chunk."""
        self._watchers.append(watcher)

    def join_texts(self) -> None:
        """Let the decoder join the texts of messages that are alike."""
        if self._decoder._reader is not None:
            self._decoder._reader.joins = True

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do: the source opens itself at the first chunk."""

    async def pull(self) -> list[Event]:
        """Return the events of the next chunk that completes any."""
        fruitless = 0
        while not self._done:
            if self._rest:
                events = self._decode_slice()
            else:
                try:
                    chunk = await self._next()
                except Exception as error:
                    events = self._end(error)
                else:
                    if type(chunk) is bytes and len(chunk) <= SLICE_BYTES and not self._watchers:
                        events = self._decoder.feed(chunk)
                        self._done = self._decoder.ended
                    else:
                        events = self._decode(chunk)
            if events:
                if type(events[-1]) is not TextDelta:  # after a fatal Error come at most Usage and Finish
                    self._note_outcome(events[-3:])
                return events
            fruitless = await breathe(fruitless + SLICE_COUNTS if self._rest else fruitless)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return []

    async def aclose(self) -> None:
        """Close the iterator over the body."""
        self._done, self._rest = True, NOTHING
        await close_iterator(self._chunks)

    def _end(self, error: Exception) -> list[Event]:
        """Return the last events, after what the body ended with. Raises: that, if it is not the transport's."""
        if isinstance(error, StopAsyncIteration):
            self._done = True
            return self._decoder.close()
        failure = error if isinstance(error, LimitExceeded) else transport_error(error, self._decoder.provider)
        if failure is None:
            raise error
        if failure is not error:
            failure.__cause__ = error
        self._done = True
        return self._decoder.fail(failure)

    def _decode(self, chunk: Bytes) -> list[Event]:
        if isinstance(chunk, str):
            raise TypeError(
                "millstream reads bytes, not str: pass response.aiter_bytes(), not aiter_text or aiter_lines"
            )
        for watcher in self._watchers:
            watcher(len(chunk))
        if len(chunk) > SLICE_BYTES and isinstance(chunk, Bytes) and memoryview(chunk).c_contiguous:
            self._rest = memoryview(chunk).cast("B")
            return self._decode_slice()
        return self._feed(chunk)

    def _decode_slice(self) -> list[Event]:
        piece, self._rest = self._rest[:SLICE_BYTES], self._rest[SLICE_BYTES:]
        return self._feed(piece)

    def _feed(self, data: Bytes) -> list[Event]:
        events = self._decoder.feed(data)
        self._done = self._decoder.ended
        return events

    def _note_outcome(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Error) and event.fatal:
                self._failure = event.error
            elif isinstance(event, Finish) and event.reason is FinishReason.INCOMPLETE and self._require_finish:
                self._failure = IncompleteStream(
                    f"{self._decoder.provider}: the body ended before the stream did", provider=self._decoder.provider
                )
