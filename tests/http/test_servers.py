"""uvicorn and hypercorn: streams, uploads, connections that are kept, callers that leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from millstream.http import Transport
from server.serving import served_by

pytestmark = pytest.mark.anyio


class App:
    """`/echo`: the body, as it comes; `/stream`: pieces; `/endless`: until the client goes, which sets `gone`."""

    def __init__(self) -> None:
        self.clients: set[Any] = set()
        self.gone = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.clients.add(tuple(scope["client"]))
        headers = [(b"content-type", b"application/octet-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await getattr(self, scope["path"].strip("/"))(receive, send)

    async def echo(self, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})

    async def stream(self, receive: Any, send: Any) -> None:
        for number in range(50):
            await send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    async def endless(self, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:

            async def produce() -> None:
                while True:
                    await send({"type": "http.response.body", "body": b"more ", "more_body": True})
                    await anyio.sleep(0.01)

            tasks.start_soon(produce)
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
            tasks.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _possible(kind: str, anyio_backend_name: str) -> None:
    if kind == "uvicorn" and anyio_backend_name == "trio":
        pytest.skip("uvicorn runs on asyncio only")


SERVERS = pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])


@SERVERS
async def test_streams_uploads_and_leaving(kind: str) -> None:
    app = App()
    expected = "".join(f"{number} " for number in range(50)) + "end"

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"piece" * 2000
            await anyio.lowlevel.checkpoint()

    async with served_by(kind, app) as url, httpx2.AsyncClient(transport=Transport(), timeout=30) as client:
        for _ in range(5):
            assert (await client.get(f"{url}/stream")).text == expected
            assert (await client.post(f"{url}/echo", content=b"hello")).content == b"hello"
            assert (await client.post(f"{url}/echo", content=upload())).content == b"piece" * 40_000
            assert (await client.head(f"{url}/stream")).content == b""
        assert len(app.clients) <= 6  # after HEAD a server may close
        async with client.stream("GET", f"{url}/endless") as response:
            async for piece in response.aiter_bytes():
                assert piece.startswith(b"more ")
                break
        with anyio.fail_after(20):
            await app.gone.wait()
        assert (await client.get(f"{url}/stream")).text == expected


@SERVERS
async def test_many_at_once_get_their_own_answers(kind: str) -> None:
    async def ask(number: int) -> None:
        body = b"%d," % number * (number * 50 + 1)
        assert (await client.post(f"{url}/echo", content=body)).content == body

    limits = httpx2.Limits(max_connections=7)
    async with (
        served_by(kind, App()) as url,
        httpx2.AsyncClient(transport=Transport(limits=limits), timeout=30) as client,
        anyio.create_task_group() as tasks,
    ):
        for number in range(60):
            tasks.start_soon(ask, number)
