"""`Hub`: publish a stream once; read, resume and cancel it from any process that shares the log.

The hub is the long-lived owner of all producers of its process, in one task group (S21). It knows no HTTP: what serves
a subscription is in `server/`. Who may read what is the application's decision, asked for at every access. Source:
RELAY.md section 2, THREATS_AND_FAULTS.md S3 to S5.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakSet, WeakValueDictionary

import anyio
from anyio.abc import TaskGroup

from millstream.errors import StreamExists, StreamNotFound, UsageError
from millstream.protocols import Encoder, encoder
from millstream.relay._ids import NO_KEY, encoded, stream_key
from millstream.relay._item import Maker
from millstream.relay._log import Acquired, Claim, Mode, Status, StreamInfo, StreamLog, persist
from millstream.relay._rounds import Timekeeper
from millstream.relay._run import Producer, Run
from millstream.relay._subscription import Subscription
from millstream.relay._tail import LOST, OnGap, Tail
from millstream.relay.memory import MemoryLog
from millstream.streams._clock import ANYIO_CLOCK, Clock

__all__ = ["Authorize", "Hub", "MakeStream", "TakeOver"]

Authorize = Callable[[Any, str], bool | Awaitable[bool]]
"""(scope, stream_id) -> whether the caller may read, cancel and ask after this stream. `scope` is what he passed."""

MakeStream = Callable[..., Any]
"""Returns a `Stream` of events, or any async iterable of events or bytes, or an awaitable of one."""

TakeOver = Callable[[str, StreamInfo], MakeStream | None]
"""(stream_id, info) -> what continues an orphaned stream, called with `after=`; None to leave it orphaned."""

MISSING = StreamInfo(Status.MISSING)


class Hub:
    """Publishes and reads streams over a log. Use it in `async with`: leaving the block ends its producers.

    Args:
        log: a `MemoryLog` or a `RedisLog`; the hub enters and leaves it.
        authorize: `(scope, stream_id) -> bool`, sync or async, asked at each subscribe, cancel and status. There is no
            default, because a default would be a leak: whoever serves all streams to everybody says so here.
        protocol: the wire in which events are kept; readers in the same wire get the bytes as they are.
        take_over: what to do with a stream whose producer died, found by a reader of this hub. By default it ends as
            orphaned.
        grace: seconds that producers get to finish when the block is left; then their streams are marked orphaned.
        patience: seconds for which a log that cannot be reached is tried again.
        on_log_error: what a producer does after that: "fail", or go on for the "local" readers, those of this hub; the
            stream is lost for all others, and cannot be resumed from before. `run.local` tells.
        clock: what leases and waits go by; a `FakeClock` in tests.
    Raises: UnknownProtocol.

    In its methods `stream_id` is the public name of a stream; `owner` the part of the name that clients do not choose,
    such as a tenant, the same as for `publish`; `scope` is whatever the application wants `authorize` to see.
    """

    def __init__(
        self,
        log: StreamLog,
        *,
        authorize: Authorize,
        protocol: str = "millstream.events.v1",
        take_over: TakeOver | None = None,
        grace: float = 0.0,
        patience: float = 30.0,
        on_log_error: Literal["fail", "local"] = "fail",
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        encoder(protocol)
        if on_log_error not in ("fail", "local"):
            raise ValueError(f'on_log_error is "fail" or "local", not {on_log_error!r}')
        self.log = log
        self._authorize = authorize
        self._protocol = protocol
        self._take_over = take_over
        self._grace = grace
        self._patience = patience
        self._local_if_down = on_log_error == "local"
        self._clock = clock
        self._locals: dict[str, MemoryLog] = {}
        self._tails: WeakSet[Tail] = WeakSet()
        self._makers: WeakValueDictionary[tuple[bytes, int], Maker] = WeakValueDictionary()
        self._tasks: TaskGroup | None = None
        self._runs: dict[str, Producer] = {}

    async def __aenter__(self) -> Self:
        """Enter the log.

        Raises: UsageError: entered already. LogError: the log cannot be reached and never will be.
        """
        if self._tasks is not None:
            raise UsageError("this hub is entered already; one hub, one `async with`")
        await self.log.__aenter__()
        self._tasks = await anyio.create_task_group().__aenter__()
        self._times = Timekeeper(self.log.lease, self._clock)
        self._tasks.start_soon(self._times.work, name="millstream.relay.times")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let producers finish for `grace` seconds, mark the streams of the others orphaned, leave the log."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:  # left already
            return
        try:
            try:
                if self._runs and error is None and self._grace > 0:
                    with self._clock.move_on_at(self._clock.now() + self._grace):
                        for run in list(self._runs.values()):
                            await run.wait()
            finally:
                for run in list(self._runs.values()):
                    run.shut_down()
                self._times.stop()
                await tasks.__aexit__(None, None, None)
                self._times.looks.close()
        finally:
            await self.log.__aexit__(kind, error, trace)

    # --- producing -----------------------------------------------------------------------------------------------

    async def publish(
        self,
        stream_id: str,
        make_stream: MakeStream,
        *,
        on_exists: Mode = "attach",
        protocol: str | Encoder | None = "",
        media_type: str = "",
        owner: str = "",
        meta: bytes = b"",
    ) -> Run:
        """Make a stream and produce it in the background, unless it exists.

        Of several processes that publish the same id at once, one becomes the producer.

        Args:
            stream_id: 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -. `new_stream_id()` makes one that cannot be guessed.
            make_stream: called without arguments, by the producer only. With `on_exists="resume"` it is called with
                `after=`, the number of items that are there already.
            on_exists: "attach": leave it, running or ended, and be a consumer. "error": raise. "replace": begin anew;
                its producer is fenced off and its readers get ResumeGap. "resume": go on with one whose producer died
                or failed; otherwise as "attach".
            protocol: the wire to keep events in, by default the hub's; an encoder, which then writes this stream only;
                None for a source of bytes, kept item by item.
            media_type: content type, by default that of the protocol.
            owner: whose stream it is; must be given to reach it again. Streams of different owners never meet.
            meta: kept beside the stream.
        Returns: `Run`; `run.role` says whether this call produces.
        Raises: StreamExists, UnknownProtocol, LogError. UsageError: a bad stream id, or a hub that is not entered.
        """
        key = stream_key(stream_id, owner)
        if key is None:
            raise UsageError("a stream id is 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -")
        name = self._protocol if protocol == "" else protocol
        wire = encoder(name) if isinstance(name, str) else name
        media = media_type or (wire.media_type if wire is not None else "application/octet-stream")
        claim = Claim(
            secrets.token_hex(16), wire.name if wire is not None else "", media, meta, secrets.token_bytes(32)
        )
        acquired = await self._acquire(key, on_exists, claim)
        if not acquired.won:
            if on_exists == "error":
                raise StreamExists("a stream of this id exists already")
            return self._runs.get(key) or Run(stream_id, "consumer", acquired.info.status)
        return self._start(stream_id, key, acquired, make_stream, wire, resume=on_exists == "resume")

    async def _acquire(self, key: str, mode: Mode, claim: Claim) -> Acquired:
        self._entered()
        return await persist(lambda: self.log.acquire(key, mode, claim), patience=self._patience, clock=self._clock)

    def _start(
        self, stream_id: str, key: str, acquired: Acquired, make: MakeStream, wire: Encoder | None, *, resume: bool
    ) -> Producer:
        info = acquired.info
        if wire is None or wire.name != info.protocol:  # a stream that is continued keeps its own
            wire = encoder(info.protocol) if info.protocol else None
        producer = Producer(
            stream_id,
            self.log,
            key,
            acquired,
            (lambda: make(after=info.seq - info.ends)) if resume else make,
            wire,
            go_local=partial(self._go_local, key) if self._local_if_down else None,
            rounds=self._times.renewals,
            patience=self._patience,
            clock=self._clock,
        )
        former = self._runs.get(key)
        if former is not None:  # replaced: it would find out at its next write
            former.stop("replaced")
        self._runs[key] = producer
        self._entered().start_soon(self._run, key, producer, name="millstream.relay.run")
        return producer

    def _go_local(self, key: str, info: StreamInfo, seq: int) -> StreamLog:
        local = self._locals[key] = MemoryLog(max_streams=1, lease=self.log.lease, clock=self._clock)
        local.adopt(key, info, seq)
        for tail in list(self._tails):
            tail.move(local, key)
        return local

    def _log_of(self, key: str | None) -> StreamLog:
        return self._locals.get(key or NO_KEY, self.log)

    async def _run(self, key: str, producer: Producer) -> None:
        try:
            await producer.run()
        finally:
            if self._runs.get(key) is producer:
                del self._runs[key]
                self._locals.pop(key, None)  # readers that have not finished hold it themselves

    def _entered(self) -> TaskGroup:
        if self._tasks is None:
            raise UsageError("the hub is not running: use it inside `async with hub:`")
        return self._tasks

    # --- reading -------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        stream_id: str,
        *,
        after: str | None = None,
        on_gap: OnGap = "raise",
        scope: Any = None,
        owner: str = "",
    ) -> Subscription:
        """Return the items of a stream, from after an event id or from the first, to its end; use it in `async with`.

        Opening raises StreamNotFound (unknown, or refused by `authorize`), InvalidEventId, ResumeGap, LogError.

        Args:
            after: the `id` of the last item that was received: `Last-Event-ID`.
            on_gap: when entries that should follow are gone: "raise" ResumeGap; go on at the "earliest" that is there;
                or "skip" to what comes from now on. `subscription.gap` tells.
            scope: handed to `authorize`.
            owner: as given to `publish`.
        """
        self._entered()

        async def lost(key: str, info: StreamInfo) -> None:
            await self._lost(stream_id, key, info)

        key = stream_key(stream_id, owner)
        tail = Tail(
            self._log_of(key),
            key,
            after,
            on_gap=on_gap,
            allowed=lambda: self._may(scope, stream_id),
            lost=lost,
            maker=self._maker,
            rounds=self._times.looks,
            # Longer than that of a producer that will then go on without the log.
            patience=2 * self._patience + 1.0 if self._local_if_down else self._patience,
            clock=self._clock,
        )
        self._tails.add(tail)
        return Subscription(tail)

    def _maker(self, secret: bytes, epoch: int) -> Maker:
        maker = self._makers.get((secret, epoch))
        if maker is None:
            maker = self._makers[secret, epoch] = Maker(secret, epoch)
        else:
            maker.shared = True
        return maker

    @asynccontextmanager
    async def attached(
        self, stream_id: str, *, scope: Any = None, owner: str = "", reason: str = "disconnected", **where: Any
    ) -> AsyncIterator[Subscription]:
        """Subscribe, and cancel the stream when the block is left before its end: for answers that nobody else reads.

        Args: reason: that of the cancellation. where: `after` and `on_gap`, and the rest as for `subscribe`.
        """
        async with self.subscribe(stream_id, scope=scope, owner=owner, **where) as subscription:
            try:
                yield subscription
            finally:
                if subscription.end is None:
                    with anyio.move_on_after(self._patience, shield=True):
                        await self.cancel(stream_id, reason, scope=scope, owner=owner)

    async def cancel(self, stream_id: str, reason: str = "cancelled", *, scope: Any = None, owner: str = "") -> Status:
        """Stop a stream, wherever it is produced; one that has ended stays as it is. Returns the status before.

        Its readers get what was written so far, a `Finish` with raw reason "cancelled", and the end.

        Raises: StreamNotFound: unknown, or refused by `authorize`. LogError. UsageError: a reason that is no text.
        """
        encoded("reason", reason)
        key = await self._reach(stream_id, scope, owner)
        status = Status.MISSING
        if key is not None:
            status = await self._ask(lambda: self._log_of(key).cancel(key, reason))
        if status is Status.MISSING:
            raise StreamNotFound("no such stream")
        return status

    async def status(self, stream_id: str, *, scope: Any = None, owner: str = "") -> StreamInfo:
        """Return what is known of a stream; status "missing" also for one that `authorize` refuses. Raises LogError."""
        key = await self._reach(stream_id, scope, owner)
        return replace(await self._ask(lambda: self._log_of(key).info(key)), secret=b"") if key is not None else MISSING

    async def delete(self, stream_id: str, *, scope: Any = None, owner: str = "") -> bool:
        """Remove a stream with all its data. False if there was none, or `authorize` refuses. Raises LogError."""
        key = await self._reach(stream_id, scope, owner)
        return key is not None and await self._ask(lambda: self._log_of(key).delete(key))

    async def _reach(self, stream_id: str, scope: Any, owner: str) -> str | None:
        """Return the key of a stream that the caller may touch; else take as long and return None."""
        self._entered()
        key = stream_key(stream_id, owner)
        info = await self._ask(lambda: self._log_of(key).info(key or NO_KEY))
        allowed = await self._may(scope, stream_id)
        return key if allowed and info.status is not Status.MISSING else None

    async def _may(self, scope: Any, stream_id: str) -> bool:
        answer = self._authorize(scope, stream_id)
        # Exactly True: a hook that returns something else by mistake does not open the door.
        return (await answer if inspect.isawaitable(answer) else answer) is True

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        return await persist(call, patience=self._patience, clock=self._clock)

    async def _lost(self, stream_id: str, key: str, info: StreamInfo) -> None:
        """A reader found the producer dead."""
        make = self._take_over(stream_id, info) if self._take_over is not None and self._tasks is not None else None
        if make is None:
            await self._ask(lambda: self.log.orphan(key, info.gen, LOST))
            return
        claim = Claim(secrets.token_hex(16), info.protocol, info.media_type, info.meta, info.secret)
        acquired = await self._acquire(key, "resume", claim)
        if acquired.won:
            self._start(stream_id, key, acquired, make, None, resume=True)
