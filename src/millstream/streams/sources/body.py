"""A body of bytes -> batches of events: any async iterable of bytes, and a decoder."""

from __future__ import annotations

from collections.abc import AsyncIterable

from anyio.lowlevel import checkpoint

from millstream.errors import IncompleteStream, StreamError
from millstream.events import Error, Event, Finish, FinishReason
from millstream.protocols import Bytes, Decoder
from millstream.streams._pull import FAIR_PULLS, Puller, close_iterator
from millstream.streams.sources._transport import transport_error

__all__ = ["BodySource"]


class BodySource(Puller[Event]):
    """Decode chunks as they come; one pull gives the events of one chunk.

    After the decoder's last event nothing more is read. A fatal `Error` event is delivered, and so is the `Finish`
    after it; then the stream ends by raising what the event carries, so that nobody takes a failure for an end.
    """

    def __init__(self, chunks: AsyncIterable[Bytes], decoder: Decoder, *, require_finish: bool = False) -> None:
        self._chunks = aiter(chunks)
        self._decoder = decoder
        self._require_finish = require_finish
        self._failure: StreamError | None = None
        self._done = False

    async def open(self) -> None:
        """Nothing to do: the source opens itself at the first chunk."""

    async def pull(self) -> list[Event]:
        """Return the events of the next chunk that completes any."""
        since_checkpoint = 0
        while not self._done:
            events = await self._read()
            self._done = self._done or self._decoder.ended
            self._note_outcome(events)
            if events:
                return events
            since_checkpoint += 1
            if since_checkpoint == FAIR_PULLS:
                since_checkpoint = 0
                await checkpoint()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return []

    async def aclose(self) -> None:
        """Close the iterator over the body."""
        self._done = True
        await close_iterator(self._chunks)

    async def _read(self) -> list[Event]:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._done = True
            return self._decoder.close()
        except Exception as error:
            failure = transport_error(error, self._decoder.provider)
            if failure is None:
                raise
            failure.__cause__ = error
            self._done = True
            return self._decoder.fail(failure)
        if isinstance(chunk, str):
            raise TypeError(
                "millstream reads bytes, not str: pass response.aiter_bytes(), not aiter_text or aiter_lines"
            )
        return self._decoder.feed(chunk)

    def _note_outcome(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Error) and event.fatal:
                self._failure = event.error
            elif isinstance(event, Finish) and event.reason is FinishReason.INCOMPLETE and self._require_finish:
                self._failure = IncompleteStream(
                    f"{self._decoder.provider}: the body ended before the stream did", provider=self._decoder.provider
                )
