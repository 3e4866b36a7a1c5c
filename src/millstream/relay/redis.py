"""`RedisLog`: streams in Redis 7 or Valkey, shared by all processes and machines that reach it.

Commands leave through two lanes, one for writes and one for reads: a lane has one connection, and sends in one round
trip what all tasks have ordered since the last. One more connection blocks in XREAD for all streams that this process
follows. So a process holds three connections, whatever it serves. A task that is cancelled only stops waiting, so
nobody ever reads another's answer (S5).

redis-py connects and packs. Its blocking connections, not its asyncio client: that one does not run on trio. On
asyncio the event loop itself sends and reads (`_direct.py`); on trio, through TLS, to a cluster and on Windows a thread
does. An event takes two round trips to its reader, one that writes and one that waits; so does a burst.
What is guaranteed is what Redis guarantees: a failover may lose acknowledged writes, and readers then get ResumeGap.
Source: RELAY.md sections 1, 3 to 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from millstream.errors import LogError, MissingExtra, StreamFenced, UsageError
from millstream.relay import _scripts as lua
from millstream.relay._connection import Connection, log_error
from millstream.relay._lane import Lane
from millstream.relay._log import Acquired, Claim, End, Mode, Page, Push, Status, StreamInfo, StreamLog
from millstream.relay._reader import BLOCK_MS, Reader, parse_entry

__all__ = ["RedisLog"]

GOODBYE_SECONDS = 1.0  # for a thread that is in the middle of a command; one that cannot connect is left behind
NUDGE_MS = 3_600_000  # life of a control key since its last use


class RedisLog(StreamLog):
    """The log for several processes.

    Args:
        server: `redis://...`, `rediss://...` or `unix://...`, or a `redis.Redis` client, whose connection settings are
            taken (Sentinel's too); a `redis.RedisCluster` client works, by polling (docs/topics/relay.md).
        prefix: of all keys.
        lease: seconds after which a producer that does not write or renew counts as dead.
        ttl: seconds that a stream without any write is kept.
        retain: seconds that it is kept after its end.
        maxlen: entries of one stream; somewhat more may be kept. Older ones are trimmed.
        exact: trim to `maxlen` exactly, which costs more.
        timeout: seconds to wait for Redis, to connect and to answer.
    Raises: ValueError: a bound that is not positive, a prefix with braces. UsageError: an async client.
    """

    def __init__(
        self,
        server: Any = "redis://localhost:6379/0",
        *,
        prefix: str = "ms",
        lease: float = 10.0,
        ttl: float = 86_400.0,
        retain: float = 600.0,
        maxlen: int = 100_000,
        exact: bool = False,
        timeout: float = 5.0,
    ) -> None:
        if min(lease, ttl, retain, maxlen, timeout) <= 0:
            raise ValueError("all bounds of a RedisLog must be positive")
        if "{" in prefix or "}" in prefix:
            raise ValueError("a prefix with braces would break the hash tags that keep a stream in one cluster slot")
        self.lease = lease
        self._prefix = prefix
        self._lease_ms = _ms(lease)
        self._ttl_ms = _ms(ttl)
        self._retain_ms = _ms(retain)
        self._maxlen = maxlen
        self._exact = int(exact)
        connect = connector(server)
        self._writes = Lane(connect, timeout)
        self._reads = Lane(connect, timeout)
        self._control = f"{prefix}:{{control/{secrets.token_hex(8)}}}:c"
        self._reader = Reader(Lane(connect, BLOCK_MS / 1000 + timeout), self._control, self._nudge)
        self._tasks: TaskGroup | None = None
        self._was_entered = False

    async def __aenter__(self) -> Self:
        """Start the reader. Connects at the first command."""
        if self._was_entered:
            raise UsageError("this log was entered already: one log, one hub, once")
        self._was_entered = True
        # Shielded: what is cancelled from outside may still have a word to hear.
        self._scope = anyio.CancelScope(shield=True)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._read_on, self._scope, name="millstream.relay.redis.tail")
        return self

    async def _read_on(self, scope: anyio.CancelScope) -> None:
        with scope:
            await self._reader.work()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the reader and close the connections."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:  # left already
            return
        self._scope.cancel()
        lanes = (self._writes, self._reads, self._reader.lane)
        for lane in lanes:
            lane.close()
        with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
            for lane in lanes:
                await lane.ended()
        await tasks.__aexit__(None, None, None)

    # --- the operations ------------------------------------------------------------------------------------------

    async def acquire(self, key: str, mode: Mode, claim: Claim) -> Acquired:
        """Elect the producer."""
        told = (claim.protocol, claim.media_type, claim.meta, claim.secret)
        won, info = await self._run(
            lua.ACQUIRE, key, mode, claim.token, self._lease_ms, self._ttl_ms, self._control, *told
        )
        return Acquired(won == 1, _info(info))

    async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
        """Append entries and renew the lease."""
        bounds = (self._lease_ms, self._ttl_ms, self._maxlen, self._exact)
        answer = _written(await self._run(lua.APPEND, key, gen, first, *bounds, *items))
        return answer[1].decode() if len(answer) > 1 and answer[1] is not None else None

    async def finalize(self, key: str, gen: int, end: End) -> None:
        """Append the end."""
        _written(await self._run(lua.FINALIZE, key, gen, *self._end(end)))

    async def orphan(self, key: str, gen: int, end: End) -> bool:
        """End a stream whose lease has run out."""
        return bool(await self._run(lua.ORPHAN, key, gen, *self._end(end)) == 1)

    async def cancel(self, key: str, reason: str) -> Status:
        """Ask the producer to stop, and wake its process."""
        status, control = await self._run(lua.CANCEL, key, reason, self._retain_ms)
        if status == b"open" and control:
            self._nudge(control, key, reason)
        return Status(status.decode())

    async def delete(self, key: str) -> bool:
        """Remove a stream."""
        return bool(await self._run(lua.DELETE, key))

    async def info(self, key: str) -> StreamInfo:
        """Return what is known."""
        return _info(await self._run(lua.INFO, key, lane=self._reads))

    async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
        """Return a page."""
        if self._reads.is_cluster:
            found = await self._run(lua.READ, key, epoch, after, count, lane=self._reads)
        else:
            found = await self._read(key, epoch, after, count)
        if found is None or found[0] is None:
            return None
        return Page(int(found[0]), int(found[1]), Status(found[2].decode()), [parse_entry(*raw)[1] for raw in found[3]])

    async def _read(self, key: str, epoch: int, after: int, count: int) -> list[Any]:
        """As the script READ, which takes 17 times as long: Lua makes tables of all entries."""
        self._running()
        state, _, entries = self._keys(key)
        *_, answers = await self._reads.transact(
            ("MULTI",),
            ("HMGET", state, "ep", "seq", "st"),
            ("XRANGE", entries, f"({epoch}-{after}", epoch, "COUNT", count),
            ("EXEC",),
        )
        for answer in answers:
            if isinstance(answer, Exception):
                raise log_error(answer)
        (its_epoch, seq, status), found = answers
        return [its_epoch, seq, status, found if its_epoch == b"%d" % epoch else []]

    def follow(self, key: str, epoch: int, after: int, push: Push) -> Callable[[], None]:
        """Have entries pushed by the one blocking reader of this process."""
        return self._reader.follow(self._keys(key), epoch, after, push)

    def on_cancel(self, key: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Have `callback(reason)` called when the word of a cancellation comes."""
        return self._reader.on_cancel(key, callback)

    # --- commands ------------------------------------------------------------------------------------------------

    def _keys(self, key: str) -> tuple[str, str, str]:
        stem = f"{self._prefix}:{{{key}}}:"
        return stem + "m", stem + "l", stem + "s"

    def _end(self, end: End) -> tuple[str, bytes, int, int]:
        return end.status.value, end.error, int(end.told), self._retain_ms

    async def _run(self, script: str, key: str, *args: Any, lane: Lane | None = None) -> Any:
        self._running()
        return await (lane or self._writes).call("EVALSHA", lua.sha[script], 3, *self._keys(key), *args)

    def _running(self) -> None:
        if self._tasks is None:
            raise UsageError("this log is not running: use it through `async with hub:`")

    def _nudge(self, control: str | bytes, key: str = "", reason: str = "") -> None:
        self._writes.post("EVALSHA", lua.sha[lua.NUDGE], 1, control, key, reason, NUDGE_MS)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _info(raw: list[Any]) -> StreamInfo:
    status, seq, gen, epoch, protocol, media_type, meta, cancel, age, error, told, ends, secret, *alive = raw
    if status is None:
        return StreamInfo(Status.MISSING)
    state = Status(status.decode())
    return StreamInfo(
        status=state,
        seq=int(seq),
        gen=int(gen),
        epoch=int(epoch),
        alive=alive[0] == 1,
        protocol=protocol.decode(),
        media_type=media_type.decode(),
        meta=meta,
        cancel=cancel.decode() if cancel is not None else None,
        age=max(0.0, int(age) / 1000),
        end=None if state is Status.OPEN else End(state, error or b"", told == b"1"),
        ends=int(ends),
        secret=secret,
    )


def _written(answer: list[Any]) -> list[Any]:
    """Return the answer of a fenced script if it was done; else raise what it says."""
    word = answer[0]
    if word == b"gone":
        raise LogError("the stream is not there any more: it expired, was deleted, or the log lost it", reason="gone")
    if word == b"lost":
        raise LogError("the log has lost entries that it had confirmed", reason="lost")
    if word == b"fenced":
        raise StreamFenced("another producer has taken this stream over")
    if word == b"ended":
        raise StreamFenced(f"this stream was ended from outside: {answer[1].decode()}")
    return answer


def connector(server: Any) -> Callable[[float], Connection]:
    """Return what makes a connection with a given time-out in seconds.

    Raises: MissingExtra: redis is not installed. UsageError: neither a URL nor a blocking client.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtra("RedisLog needs redis-py: pip install 'millstream[redis]'") from error
    if isinstance(server, redis.RedisCluster):
        return lambda timeout: Connection(server, cluster=True)
    if isinstance(server, str):
        pool = redis.ConnectionPool.from_url(server)
    elif isinstance(server, redis.Redis):
        pool = server.connection_pool
    else:
        raise UsageError(
            "RedisLog takes a URL, a redis.Redis or a redis.RedisCluster; not an async client: see its doc"
        )
    # RESP2 answers have one shape in all versions of redis-py. Who retries is `persist`, which keeps the order.
    # Notices of maintenance would need RESP3.
    given: dict[str, Any] = {name: value for name, value in pool.connection_kwargs.items() if "maint" not in name}
    fixed: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
    }

    def connect(timeout: float) -> Connection:
        options: dict[str, Any] = {**given, **fixed, "socket_timeout": timeout, "socket_connect_timeout": timeout}
        return Connection(pool.connection_class(**options))

    return connect
