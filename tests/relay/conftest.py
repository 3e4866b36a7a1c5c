"""Every law is held by each engine: in memory (at once and not), on a real redis-server, and on one in cluster mode."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest

from millstream.relay import Hub
from relay.engines import Engine, InMemory, NotAtOnce, OnCluster, OnRedis
from relay.redis_server import RedisServer


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisServer]:
    with RedisServer("--cluster-enabled", "yes") as server:
        client = server.client()
        client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            pass
        client.close()
        yield server
    with warnings.catch_warnings():  # redis-py's cluster client leaves a connection of a replaced node to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=["memory", "not at once", "redis", "cluster"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param in ("memory", "not at once"):
        yield InMemory() if request.param == "memory" else NotAtOnce()
        return
    kind, fixture = {"redis": (OnRedis, "redis_server"), "cluster": (OnCluster, "redis_cluster")}[request.param]
    on = kind(request.getfixturevalue(fixture))
    yield on
    on.close()


@pytest.fixture
def on_redis(redis_server: RedisServer) -> Iterator[OnRedis]:
    on = OnRedis(redis_server)
    yield on
    on.close()


@pytest.fixture
async def hub(engine: Engine) -> AsyncIterator[Hub]:
    async with engine.hub() as running:
        yield running
