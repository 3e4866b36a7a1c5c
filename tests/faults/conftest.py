"""Every async test runs on asyncio and on trio, with a full retry budget and no key of the machine."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import millstream as ms
from faults.layers import Served
from millstream.server.replay import ReplayApp
from millstream.streams.retry import PROCESS_BUDGET
from providers.live import serving
from relay.conftest import on_redis, redis_server

__all__ = ["on_redis", "redis_server"]

RECORDINGS = Path(ms.__file__).parent / "_recordings"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.endswith(("_API_KEY", "_BASE_URL", "_TOKEN", "_PROXY", "_proxy")):
            monkeypatch.delenv(name)
    PROCESS_BUDGET.reset()


@pytest.fixture(scope="session")
def replay_url() -> Iterator[str]:
    """The replay server, in a thread, with the packaged recordings."""
    with serving(ReplayApp(RECORDINGS, speed=math.inf)) as url:
        httpx2.get(url + "/recordings", trust_env=False)  # until it is up, it opens descriptors
        yield url


@pytest.fixture(params=["chat-tool-call", "messages-text", "chat-text"])
def served(request: pytest.FixtureRequest, replay_url: str) -> Served:
    """A recording behind the replay server, and its true events."""
    (entry,) = [
        one for one in json.loads((RECORDINGS / "INDEX.json").read_bytes()) if one["file"] == request.param + ".sse"
    ]
    body = (RECORDINGS / entry["file"]).read_bytes()
    return Served(request.param, entry["api"], entry["endpoint"], body, int(replay_url.rpartition(":")[2]))
