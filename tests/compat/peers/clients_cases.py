"""Real responses of aiohttp, niquests and requests over loopback. Run by test_peers.py where these are installed."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import niquests
import pytest
import requests

import millstream as ms
from millstream.compat.responses import from_aiohttp, from_niquests, iter_events

BODY = (Path(ms.__file__).parent / "_recordings" / "chat-text.sse").read_bytes()
EXPECTED = [ms.events.encode_event(event) for event in ms.iter_events([BODY], "openai-chat")]
CODED = {
    "gzip": gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]),
    "deflate": zlib.compress(BODY),
    "bare": zlib.compress(BODY, wbits=-15),
    "bomb": gzip.compress(b": " + b"x" * 6_000_000),
}


class Server(ThreadingHTTPServer):
    gone: threading.Event


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/limited":
            body = b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'
            self.send_response(429)
            self.send_header("Retry-After", "7")
            self.send_header("x-request-id", "r1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        body = BODY
        if self.path.startswith("/coded/"):
            coding = self.path.removeprefix("/coded/").replace("bomb", "gzip").replace("bare", "deflate")
            self.send_header("Content-Encoding", coding)
            body = CODED.get(self.path.removeprefix("/coded/"), BODY)
        self.end_headers()
        half = len(body) // 2
        for part in (body[:half], body[half:]):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.flush()
            if self.path == "/cut":
                self.close_connection = True
                return
            if self.path == "/hold":
                try:
                    while self.rfile.read(1):
                        pass
                except OSError:
                    pass
                self.server.gone.set()
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.gone = threading.Event()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def with_aiohttp(url: str, use) -> object:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await use(from_aiohttp(response))


async def with_niquests(url: str, use) -> object:
    async with niquests.AsyncSession() as session:
        return await use(from_niquests(await session.get(url, stream=True)))


ASYNC = pytest.mark.parametrize("client", [with_aiohttp, with_niquests])
SYNC = pytest.mark.parametrize("client", [requests, niquests])


def url(server: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


async def everything(response) -> list[bytes]:
    async with ms.stream(response, "openai-chat") as events:
        return [ms.events.encode_event(event) async for event in events]


async def first_text(response) -> str:
    async with ms.stream(response, "openai-chat") as events:
        async for event in events:
            if isinstance(event, ms.TextDelta):
                return event.text
    return ""


@ASYNC
def test_async_events(server: Server, client) -> None:
    assert asyncio.run(client(url(server), everything)) == EXPECTED


@ASYNC
def test_async_status(server: Server, client) -> None:
    with pytest.raises(ms.RateLimited, match="slow down") as caught:
        asyncio.run(client(url(server, "/limited"), everything))
    assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (429, 7.0, "r1")


@ASYNC
def test_async_content_type(server: Server, client) -> None:
    with pytest.raises(ms.errors.UnexpectedContentType):
        asyncio.run(client(url(server, "/page"), everything))


@ASYNC
def test_async_cut(server: Server, client) -> None:
    with pytest.raises(ms.ConnectionFailed):
        asyncio.run(client(url(server, "/cut"), everything))


@ASYNC
def test_async_leaving_closes_the_connection(server: Server, client) -> None:
    assert asyncio.run(client(url(server, "/hold"), first_text))
    assert server.gone.wait(20)


@SYNC
def test_sync_events(server: Server, client) -> None:
    found = iter_events(client.get(url(server), stream=True), "openai-chat")
    assert [ms.events.encode_event(event) for event in found] == EXPECTED


@SYNC
def test_sync_status(server: Server, client) -> None:
    with pytest.raises(ms.RateLimited, match="slow down") as caught:
        list(iter_events(client.get(url(server, "/limited"), stream=True), "openai-chat"))
    assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (429, 7.0, "r1")


@SYNC
def test_sync_content_type(server: Server, client) -> None:
    with pytest.raises(ms.errors.UnexpectedContentType):
        list(iter_events(client.get(url(server, "/page"), stream=True), "openai-chat"))


@SYNC
def test_sync_cut(server: Server, client) -> None:
    with pytest.raises(ms.ConnectionFailed):
        list(iter_events(client.get(url(server, "/cut"), stream=True), "openai-chat"))


@SYNC
def test_sync_what_is_no_failure_of_the_connection_is_raised_as_it_is(server: Server, client) -> None:
    response = client.get(url(server), stream=True)
    assert b"".join(response.iter_content(100)) == BODY
    with pytest.raises(client.exceptions.StreamConsumedError):
        list(iter_events(response, "openai-chat"))


@SYNC
def test_sync_events_come_as_they_arrive_and_leaving_closes(server: Server, client) -> None:
    found = iter_events(client.get(url(server, "/hold"), stream=True), "openai-chat")
    assert isinstance(next(found), ms.Start)
    found.close()
    assert server.gone.wait(20)


@SYNC
@pytest.mark.parametrize("coding", ["gzip", "deflate", "bare"])
def test_sync_a_coding_is_undone(server: Server, client, coding: str) -> None:
    found = iter_events(client.get(url(server, f"/coded/{coding}"), stream=True), "openai-chat")
    assert [ms.events.encode_event(event) for event in found] == EXPECTED


@SYNC
def test_sync_the_rest_of_what_was_read_from_already_is_unpacked_too(server: Server, client) -> None:
    response = client.get(url(server, "/coded/gzip"), stream=True)
    assert next(response.iter_content(1)) == BODY[:1]
    found = list(iter_events(response, "openai-chat"))
    assert [ms.events.encode_event(event) for event in found[-3:]] == EXPECTED[-3:]


@SYNC
def test_sync_a_bomb_has_a_limit(server: Server, client) -> None:
    with pytest.raises(ms.LimitExceeded) as caught:
        list(iter_events(client.get(url(server, "/coded/bomb"), stream=True), "openai-chat"))
    assert caught.value.option == "max_inflation"


@SYNC
@pytest.mark.parametrize("coding", ["compress", "gzip,gzip", "zstd"])
def test_sync_a_coding_that_nobody_undoes_is_told(server: Server, client, coding: str) -> None:
    response = client.get(url(server, f"/coded/{coding}"), stream=True, headers={"accept-encoding": "gzip"})
    with pytest.raises(ms.errors.UnexpectedContentType, match=coding.partition(",")[0]):
        list(iter_events(response, "openai-chat"))


@SYNC
def test_sync_bytes_that_are_not_of_their_coding_are_a_failure_of_the_connection(server: Server, client) -> None:
    with pytest.raises(ms.ConnectionFailed):
        list(iter_events(client.get(url(server, "/coded/x-gzip"), stream=True), "openai-chat"))
