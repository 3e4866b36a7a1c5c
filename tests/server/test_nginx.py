"""The replicas of examples/answers behind a real nginx, with the configuration that the example ships."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import orjson
import pytest

import millstream as ms
from ports import free_port
from relay.redis_server import RedisServer
from server.processes import ROOT, process, python, replayed_model

TRUTH = ROOT / "src/millstream/_recordings/chat-text-usage.sse.truth.json"
TEXT = orjson.loads(TRUTH.read_bytes())["text"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Site:
    def __init__(self, url: str, replicas: list[object]) -> None:
        self.url = url
        self.replicas = replicas


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        message = "no nginx: install the Debian package nginx-light"
        if os.environ.get("MILLSTREAM_REQUIRE_NGINX") == "1":
            pytest.fail(message + " (MILLSTREAM_REQUIRE_NGINX=1)")
        pytest.skip(message)
    front, *web = [free_port() for _ in range(3)]
    conf = (ROOT / "examples" / "answers" / "nginx.conf").read_text()
    conf = conf.replace("listen 8080", f"listen 127.0.0.1:{front}")
    for i, port in enumerate(web):
        conf = conf.replace(f"web{i + 1}:8001", f"127.0.0.1:{port}")
    (tmp_path / "nginx.conf").write_text(f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log;\n{conf}")
    uvicorn = ["examples.answers.app:app", "--log-level", "critical"]
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        model = stack.enter_context(replayed_model("1"))
        replicas = [
            stack.enter_context(python("uvicorn", *uvicorn, port=port, REDIS_URL=redis.url, **model)) for port in web
        ]
        stack.enter_context(process(nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), port=front))
        yield Site(f"http://127.0.0.1:{front}", replicas)


class Reader:
    """Reads an answer to its end, over as many connections as it takes."""

    def __init__(self) -> None:
        self.messages: list[ms.SSEMessage] = []
        self.n_connections = 0
        self.n_chunks = 0
        self.begun = anyio.Event()

    async def read(self, url: str) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            while not self.messages or self.messages[-1].json()["type"] != "finish":
                self.n_connections += 1
                last = {"last-event-id": self.messages[-1].id} if self.messages else {}
                try:
                    async with client.stream("GET", url, headers=last) as response:
                        response.raise_for_status()
                        parser = ms.SSEParser()
                        async for chunk in response.aiter_bytes():
                            self.n_chunks += 1
                            self.messages += parser.feed(chunk)
                            if len(self.messages) > 20:
                                self.begun.set()
                except httpx2.TransportError:
                    assert self.n_connections < 5

    @property
    def text(self) -> str:
        events = [message.json() for message in self.messages]
        return "".join(event["text"] for event in events if event["type"] == "text_delta")


async def test_events_pass_one_by_one_and_a_replica_may_die(site: Site) -> None:
    async with httpx2.AsyncClient(base_url=site.url, trust_env=False) as client:
        # The second replica asks the model; nginx takes turns, so the first request goes to the first one.
        await client.get("/")
        answer_id = (await client.post("/answers?question=hi")).json()["id"]
    readers = [Reader(), Reader()]  # one on each replica
    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(reader.read, f"{site.url}/answers/{answer_id}")
                await anyio.lowlevel.checkpoint()
            for reader in readers:
                await reader.begun.wait()
            site.replicas[0].kill()
    assert [reader.text for reader in readers] == [TEXT, TEXT]
    assert sorted(reader.n_connections for reader in readers) == [1, 2]
    assert min(reader.n_chunks for reader in readers) > 20  # not held back
