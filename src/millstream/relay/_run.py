"""The producer of one stream: pulls the source ahead into a small buffer, and writes what is there in batches.

Two tasks. The pump reads the source and encodes; the writer appends all that has gathered while the last append was
under way, so a slow log makes batches larger, and a full buffer makes the source wait. The writer also renews the lease
when the source is silent, and stops the pump when a cancellation or a fence comes. Nothing it does may fail into the
hub's task group.
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
from millstream.relay._log import Acquired, End, Status, StreamInfo, StreamLog, persist
from millstream.relay._tail import LOST
from millstream.streams import Stream
from millstream.streams._clock import Clock

__all__ = ["Producer", "Run"]

BATCH_ITEMS = 256  # of one append: some 2 ms of the Redis server's time
BATCH_BYTES = 256 * 1024
BUFFER_ITEMS = 1024
BUFFER_BYTES = 1 << 20
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
        self._buffer = _Buffer()
        self._source_scope = CancelScope()
        self._scope = CancelScope()
        self._reason: str | None = None  # of a cancellation
        self._failure: Exception | None = None  # of the source
        self._told: StreamError | None = None  # a fatal Error event went through

    def stop(self, reason: str) -> None:
        """Stop the source; the stream ends as cancelled."""
        if self._reason is None:
            self._reason = reason
            self._source_scope.cancel()

    def shut_down(self) -> None:
        """Stop at once; the stream ends as orphaned, so that another process can take it over."""
        self._scope.cancel()

    async def run(self) -> None:
        """Produce to the end. Raises nothing but the backend's cancellation."""
        forget = self._log.on_cancel(self._key, self.stop)
        try:
            with self._scope:
                await self._produce()
            if self._scope.cancelled_caught:
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
            if self.status is Status.OPEN:
                self.status = Status.ORPHANED
            self._ended.set()

    async def _produce(self) -> None:
        problem: Exception | None = None
        async with create_task_group() as tasks:
            tasks.start_soon(self._pump, name="millstream.relay.pump")
            try:
                await self._write_all()
            except (LogError, StreamFenced) as error:
                problem = error  # raised below: here the group would wrap it
                self._source_scope.cancel()
        if problem is not None:
            raise problem
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
                            for item in batch:
                                frames += self._frames(item)
                        finally:  # what came before an item that cannot be encoded is not lost
                            await self._buffer.put(frames)
        except Exception as error:
            self._failure = error
        finally:
            self._buffer.close()

    def _frames(self, item: Any) -> list[bytes]:
        """Return the entries that one item makes: for SSE one message each, so that every id stands for one."""
        if isinstance(item, bytes):
            return [item] if item else []
        if self._encoder is None:
            raise UsageError(f"this stream was published as bytes (protocol=None), and gave a {type(item).__name__}")
        if isinstance(item, Error) and item.fatal:
            self._told = item.error
        return self._split(self._encoder.encode(item))

    def _split(self, data: bytes) -> list[bytes]:
        # Our encoders end lines with LF and put no blank line into a message.
        if not self._framed or data.count(b"\n\n") < 2:
            return [data] if data else []
        return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]

    # --- the log -------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        while True:
            with self._clock.move_on_at(self._clock.now() + self._log.lease / 3):
                await self._buffer.wait()
            items = self._buffer.take()
            if not items and self._buffer.closed:
                return
            await self._append(items)

    async def _append(self, items: list[bytes]) -> None:
        first = self._seq + 1
        reason = await self._ask(lambda: self._log.append(self._key, self.gen, first, items))
        self._seq += len(items)
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
        return End(Status.ERROR, encode_event(Error(error)), told=self._encoder is not None), last

    async def _orphaned(self) -> None:
        with move_on_after(GOODBYE_SECONDS, shield=True):
            try:
                await self._log.finalize(self._key, self.gen, LOST)
            except (LogError, StreamFenced) as error:
                log.debug("relay: a producer could not say goodbye: %s", error)
        self.status = Status.ORPHANED


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


class _Buffer:
    """Between pump and writer: one task each. Bounded in items and bytes; one put may pass the bound."""

    def __init__(self) -> None:
        self._items: list[bytes] = []
        self._bytes = 0
        self._ready = Event()
        self._room = Event()
        self.closed = False

    async def put(self, items: list[bytes]) -> None:
        """Add items, then wait while it is full."""
        if not items:
            return
        self._items += items
        self._bytes += sum(map(len, items))
        self._ready.set()
        while len(self._items) >= BUFFER_ITEMS or self._bytes >= BUFFER_BYTES:
            self._room = Event()
            await self._room.wait()

    def close(self) -> None:
        """No more comes."""
        self.closed = True
        self._ready.set()

    async def wait(self) -> None:
        """Wait until there is something to take, or nothing more comes."""
        await self._ready.wait()

    def take(self) -> list[bytes]:
        """Return a batch, at least one item if there is any."""
        n = n_bytes = 0
        for item in self._items[:BATCH_ITEMS]:
            n_bytes += len(item)
            if n and n_bytes > BATCH_BYTES:
                break
            n += 1
        items, self._items = self._items[:n], self._items[n:]
        self._bytes -= sum(map(len, items))
        if not self._items and not self.closed:
            self._ready = Event()
        self._room.set()
        return items
