"""The gateway runs on uvicorn, and with it on asyncio; what differs on trio has a test of its own."""

import pytest

from millstream.streams.retry import PROCESS_BUDGET
from relay.redis_server import RedisServer


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _full_retry_budget():
    PROCESS_BUDGET.reset()


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server
