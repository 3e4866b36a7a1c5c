"""The producer of one stream: pulls the source ahead into a small buffer, and writes what is there in batches.

Two tasks. The pump reads the source and encodes; the writer appends all that has gathered while the last append was
under way, so a slow log makes batches larger, and a full buffer makes the source wait. Into a log that never makes
anybody wait the pump writes by itself. The writer also renews the lease when the source is silent, and stops the pump
when a cancellation or a fence comes. Nothing it does may fail into the hub's task group.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Literal, TypeVar

from anyio import CancelScope, Event, create_task_group, move_on_after

from millstream.errors import LogError, ProcessingError, StreamError, StreamFenced, UsageError
from millstream.events import Error, Finish, FinishReason, encode_event
from millstream.protocols import Encoder
from millstream.relay._buffer import Buffer
from millstream.relay._log import Acquired, End, Status, StreamInfo, StreamLog, persist
from millstream.relay._rounds import Rounds
from millstream.relay._tail import LOST
from millstream.streams import Stream
from millstream.streams._clock import Clock

__all__ = ["Producer", "Run"]

GOODBYE_SECONDS = 2.0  # how long a producer that is shut down may take to say so

T = TypeVar("T")

log = logging.getLogger("millstream")


class Run:
    """A stream as whoever published it sees it.

    Attributes:
        stream_id: under which it was published.
        role: "producer" if it is produced by this call; "consumer" if it exists already.
        status: OPEN until it has ended; of a consumer, as it was then.
        error: what ended it, if not the source's own end: also StreamFenced and LogError, which readers do not see.
        local: the log was given up (`on_log_error="local"`): only readers of this process get the rest.
    """

    def __init__(self, stream_id: str, role: Literal["producer", "consumer"], status: Status) -> None:
        self.stream_id = stream_id
        self.role = role
        self.status = status
        self.error: Exception | None = None
        self.local = False
        self._ended = Event()
        if status is not Status.OPEN:
            self._ended.set()

    async def wait(self) -> Status:
        """Wait until the stream has ended, and return how. Does not raise what ended it: see `error`.

        Raises: UsageError: this run is a consumer of a stream that another process produces; subscribe to it.
        """
        if self.role == "consumer" and not self._ended.is_set():
            raise UsageError("this stream is produced elsewhere: use `hub.subscribe` to see its end")
        await self._ended.wait()
        return self.status


class Producer(Run):
    """A stream that this process produces."""

    def __init__(
        self,
        stream_id: str,
        source_log: StreamLog,
        key: str,
        acquired: Acquired,
        make: Callable[[], Any],
        encoder: Encoder | None,
        *,
        go_local: Callable[[StreamInfo, int], StreamLog] | None = None,
        rounds: Rounds,
        patience: float,
        clock: Clock,
    ) -> None:
        super().__init__(stream_id, "producer", Status.OPEN)
        self._log = source_log
        self._key = key
        self._info = acquired.info
        self.gen = acquired.info.gen
        self._seq = acquired.info.seq
        self._make = make
        self._go_local = go_local
        self._encoder = encoder
        self._framed = encoder is not None and encoder.media_type.startswith("text/event-stream")
        self._patience = patience
        self._clock = clock
        self._rounds = rounds
        self._overdue = False  # the lease must be renewed
        self._buffer = Buffer()
        self._source_scope = CancelScope()
        self._scope = CancelScope()
        self._reason: str | None = None  # of a cancellation
        self._over = False  # the source has ended: by itself, by an error, or stopped from here
        self._failure: Exception | None = None  # of the source
        self._problem: Exception | None = None  # with the log
        self._told: StreamError | None = None  # a fatal Error event went through

    def stop(self, reason: str) -> None:
        """Stop the source; the stream ends as cancelled."""
        if self._reason is None:
            self._reason = reason
            self._source_scope.cancel()

    def shut_down(self) -> None:
        """Stop at once; the stream ends as orphaned, so that another process can take it over."""
        self._scope.cancel()

    def overdue(self) -> None:
        """Renew the lease: nothing has been written for a while."""
        self._overdue = True
        self._buffer.wake()

    async def run(self) -> None:
        """Produce to the end. Raises nothing but the backend's cancellation."""
        forget = self._log.on_cancel(self._key, self.stop)
        try:
            with self._scope:
                await self._produce()
            if self.status is Status.OPEN:
                await self._orphaned()
        except Exception as error:
            self.error = error
            self.status = Status.ERROR
            log.warning("relay: a producer lost its stream: %s", error)
        except BaseException:
            await self._orphaned()
            raise
        finally:
            forget()
            self._rounds.end(self)
            self._ended.set()

    async def _produce(self) -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(self._pump, name="millstream.relay.pump")
            try:
                await self._write_all()
            except (LogError, StreamFenced) as error:
                self._problem = error  # raised below: here the group would wrap it
                self._source_scope.cancel()
        if self._problem is not None:
            raise self._problem
        # Not when it was cut off by a shut-down which this task has not felt yet: half an answer would pass for whole.
        if self._over:
            await self._finish()

    # --- the source ----------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        try:
            with self._source_scope:
                made = self._make()
                if inspect.isawaitable(made):
                    made = await made
                async with made if isinstance(made, Stream) else Stream(_iterable(made)) as stream:
                    async for batch in stream.batches():
                        frames: list[bytes] = []
                        try:
                            self._encode(batch, frames)
                        finally:  # what came before an item that cannot be encoded is not lost
                            if frames:
                                await self._give(frames)
            self._over = not self._scope.cancel_called
        except Exception as error:
            self._over = not self._scope.cancel_called  # else it is what the source made of being cut off
            if error is not self._problem:
                self._failure = error
        finally:
            self._buffer.close()

    async def _give(self, frames: list[bytes]) -> None:
        if not self._log.immediate or self._buffer:
            await self._buffer.put(frames)
            return
        try:
            await self._append(frames)
        except (LogError, StreamFenced) as error:
            self._problem = error
            raise

    def _encode(self, items: list[Any], frames: list[bytes]) -> None:
        """Append to `frames` the entries that items make: for SSE one message each, so that every id stands for one."""
        for item in items:
            if isinstance(item, bytes):
                frames += [item] if item else []
                continue
            if self._encoder is None:
                raise UsageError(
                    f"this stream was published as bytes (protocol=None), and gave a {type(item).__name__}"
                )
            if isinstance(item, Error) and item.fatal:
                self._told = item.error
            data = self._encoder.encode(item)
            if data.find(b"\n\n") == len(data) - 2 > 0:
                frames.append(data)
            else:
                frames += self._split(data)

    def _split(self, data: bytes) -> list[bytes]:
        # Our encoders end lines with LF and put no blank line into a message.
        if not self._framed or data.count(b"\n\n") < 2:
            return [data] if data else []
        return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]

    # --- the log -------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        self._rounds.begin(self)
        while True:
            await self._buffer.wait()
            items = self._buffer.take()
            if items or self._overdue:
                await self._append(items)
            elif self._buffer.closed:
                return

    async def _append(self, items: list[bytes]) -> None:
        first = self._seq + 1
        if self._log.immediate:
            reason = await self._log.append(self._key, self.gen, first, items)
        else:
            reason = await self._ask(lambda: self._log.append(self._key, self.gen, first, items))
        self._seq += len(items)
        self._overdue = False
        self._rounds.begin(self)
        if reason is not None:
            self.stop(reason)

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await persist(call, patience=self._patience, clock=self._clock)
        except LogError as error:
            if self._go_local is None or self.local or not error.retryable:
                raise
            log.warning("relay: a stream goes on for the readers of this process only: %s", error)
        self.local = True
        self._log = self._go_local(self._info, self._seq)
        self._log.on_cancel(self._key, self.stop)
        return await call()

    async def _finish(self) -> None:
        end, last = self._ending()
        tail: list[bytes] = []
        if self._encoder is not None:
            for event in last:
                tail += self._split(self._encoder.encode(event))
            tail += self._split(self._encoder.close())
        if tail:
            await self._append(tail)
        await self._ask(lambda: self._log.finalize(self._key, self.gen, end))
        self.status = end.status

    def _ending(self) -> tuple[End, list[Any]]:
        """Return the end, and the events that tell it to those who read the payload."""
        if self._reason is not None and self._told is None:  # what a source raises when it is stopped is no news
            return End(Status.CANCELLED), [Finish(FinishReason.OTHER, "cancelled")]
        self.error = self._failure or self._told
        if self.error is None:
            return End(Status.DONE), []
        error = self._told or safe(self.error)
        last = [] if self._told else [Error(error), Finish(FinishReason.ERROR)]
        try:
            told = encode_event(Error(error))
        except (TypeError, ValueError):  # a fact of it that cannot be written: an end that is not told is waited for
            error = ProcessingError(f"the producer failed: {type(error).__name__}")
            told, last = encode_event(Error(error)), [Error(error), Finish(FinishReason.ERROR)]
        return End(Status.ERROR, told, told=self._encoder is not None), last

    async def _orphaned(self) -> None:
        self.status = Status.ORPHANED
        with move_on_after(GOODBYE_SECONDS, shield=True):
            try:
                await self._log.finalize(self._key, self.gen, LOST)
            except (LogError, StreamFenced) as error:
                log.debug("relay: a producer could not say goodbye: %s", error)


def safe(error: Exception) -> StreamError:
    """Return what readers may be told: of an error in the application's own code only its class."""
    if isinstance(error, StreamError):
        return error
    log.error("relay: the producer's code failed", exc_info=error)
    return ProcessingError(f"the producer failed: {type(error).__name__}")


def _iterable(made: Any) -> AsyncIterable[Any]:
    if not isinstance(made, AsyncIterable):
        raise UsageError(f"make_stream must give a Stream or an async iterable, not {type(made).__name__}")
    return made
