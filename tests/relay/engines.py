"""The engines that hold the contract, and what a test does to them behind their backs."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from millstream.relay import Hub, MemoryLog, RedisLog, StreamLog
from relay.redis_server import RedisServer

_prefixes = itertools.count()


class Engine:
    """A log that several hubs share, as several processes would."""

    name = ""

    def log(self, **options: Any) -> StreamLog:
        """Return a log over the same data; options count for what is written through it."""
        raise NotImplementedError

    def hub(self, **options: Any) -> Hub:
        return Hub(self.log(), **{"authorize": everybody, "patience": 5.0} | options)

    def lose_lease(self, key: str) -> None:
        """As if the producer had been silent for too long."""
        raise NotImplementedError

    def lose(self, key: str) -> None:
        """As if the stream had expired."""
        raise NotImplementedError

    def lose_entries(self, key: str) -> None:
        """As if all entries had been trimmed."""
        raise NotImplementedError


class InMemory(Engine):
    name = "memory"

    def __init__(self) -> None:
        self._log: MemoryLog | None = None

    def log(self, **options: Any) -> MemoryLog:
        options.pop("exact", None)
        if self._log is None or options:
            self._log = MemoryLog(**{"lease": 60.0} | options)
        return self._log

    def lose_lease(self, key: str) -> None:
        self._log._streams[key].lease_until = 0.0

    def lose(self, key: str) -> None:
        self._log._drop(key)

    def lose_entries(self, key: str) -> None:
        kept = self._log._streams[key]
        while kept.entries:
            self._log._bytes -= kept.trim()


class NotAtOnce(InMemory):
    """As a log of an application that keeps entries in memory and makes its writers wait."""

    def log(self, **options: Any) -> MemoryLog:
        log = super().log(**options)
        log.immediate = False
        return log


class OnRedis(Engine):
    name = "redis"

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = f"test{next(_prefixes)}"
        self.client = server.client()
        self.clients: list[Any] = [self.client]

    def close(self) -> None:
        """Close what this opened; a log closes no client that it was given."""
        for client in self.clients:
            if hasattr(client, "disconnect_connection_pools"):  # `close` of redis-py's cluster client leaves them open
                client.disconnect_connection_pools()
            client.close()

    def log(self, **options: Any) -> RedisLog:
        return RedisLog(self.server.url, **{"prefix": self.prefix, "lease": 60.0} | options)

    def key(self, key: str, letter: str) -> str:
        return f"{self.prefix}:{{{key}}}:{letter}"

    def lose_lease(self, key: str) -> None:
        assert self.client.delete(self.key(key, "l"))

    def lose(self, key: str) -> None:
        for letter in "mls":
            self.client.delete(self.key(key, letter))

    def lose_entries(self, key: str) -> None:
        self.client.execute_command("XTRIM", self.key(key, "s"), "MAXLEN", 0)


class OnCluster(OnRedis):
    name = "cluster"

    def log(self, **options: Any) -> RedisLog:
        import redis

        client = redis.RedisCluster.from_url(self.server.url)
        self.clients.append(client)
        return RedisLog(client, **{"prefix": self.prefix, "lease": 60.0} | options)


def everybody(scope: Any, stream_id: str) -> bool:
    return True


async def until(true: Callable[[], Any | Awaitable[Any]], seconds: float = 20.0) -> Any:
    """Wait for something that another process or thread does, and that tells nobody when it is done."""
    with anyio.fail_after(seconds):
        while True:
            answer = true()
            answer = await answer if isinstance(answer, Awaitable) else answer
            if answer:
                return answer
            await anyio.sleep(0.005)
