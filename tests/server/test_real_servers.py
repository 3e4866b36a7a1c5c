"""EventStreamResponse on uvicorn (httptools, h11) and hypercorn (asyncio, trio), with a real provider behind it."""

import anyio
import httpx2
import pytest

import millstream as ms
from millstream.server import EventStreamResponse
from millstream.testing import HANG, ScriptedSource
from server.serving import Upstream, served_by

pytestmark = pytest.mark.anyio

CHUNK = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi\n\rdata: x\n\n\0\u2028"), ms.Finish(ms.FinishReason.STOP)

SERVERS = {
    "uvicorn-httptools": ("uvicorn", "asyncio", {"http": "httptools"}),
    "uvicorn-h11": ("uvicorn", "asyncio", {"http": "h11"}),
    "hypercorn-asyncio": ("hypercorn", "asyncio", {}),
    "hypercorn-trio": ("hypercorn", "trio", {}),
}


@pytest.fixture(params=SERVERS)
def server(request):
    return SERVERS[request.param]


@pytest.fixture
def anyio_backend(server):
    return server[1]


@pytest.fixture(params=["2.3", "2.4"])
def generation(request):
    """Neither server speaks ASGI 2.4 for HTTP yet, so it is put in front: then `send` raises once the client left."""
    return request.param


def of_generation(app, generation):
    if generation == "2.3":
        return app

    async def newer(scope, receive, send):
        gone = False

        async def receive_24():
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def send_24(message):
            if gone:
                raise OSError("the client has gone")
            await send(message)

        await app({**scope, "asgi": {**scope["asgi"], "spec_version": "2.4"}}, receive_24, send_24)

    return newer


def forwarding(upstream, http, **options):
    async def app(scope, receive, send):
        stream = ms.stream(http.stream("POST", upstream.url), protocol="openai-chat")
        await EventStreamResponse(stream, **options)(scope, receive, send)

    return app


async def raw_request(url, method="GET", headers=""):
    host, _, port = url.removeprefix("http://").partition(":")
    stream = await anyio.connect_tcp(host, int(port))
    await stream.send(f"{method} / HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode())
    return stream


@pytest.mark.parametrize("protocol", ["millstream.events.v1", "millstream.events.v1+ndjson"])
async def test_every_byte_arrives(server, protocol):
    name, _, settings = server

    async def app(scope, receive, send):
        stream = ms.Stream(ScriptedSource(START, *[TEXT] * 100, STOP))
        await EventStreamResponse(stream, protocol)(scope, receive, send)

    async with served_by(name, app, **settings) as url, httpx2.AsyncClient(trust_env=False) as http:
        async with ms.stream(http.stream("GET", url), protocol=protocol) as stream:
            assert await stream.collect() == [START, *[TEXT] * 100, STOP]
        head = await http.head(url)
    assert head.content == b""
    assert head.headers["content-type"] == ms.encoder(protocol).media_type
    assert head.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("every", [None, 0.02], ids=["silent", "talking"])
async def test_the_upstream_is_left_within_a_second_of_the_client_leaving(server, generation, every):
    name, _, settings = server
    async with Upstream(CHUNK, every=every) as upstream, httpx2.AsyncClient(trust_env=False) as http:
        app = of_generation(forwarding(upstream, http), generation)
        async with served_by(name, app, **settings) as url:
            client = await raw_request(url)
            got = b""
            while b"Hi" not in got:
                got += await client.receive()
            assert got.startswith(b"HTTP/1.1 200")
            await client.aclose()
            with anyio.fail_after(20):
                await upstream.gone.wait()
        sent = upstream.n_bytes
        assert upstream.n_requests == 1
        assert sent == upstream.n_bytes < 100 * len(CHUNK)


async def test_the_upstream_is_left_when_the_client_does_not_even_wait_for_it_to_answer(server):
    name, _, settings = server
    asked = anyio.Event()
    gone = anyio.Event()

    async def make(last):
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            gone.set()

    async def app(scope, receive, send):
        await EventStreamResponse(make)(scope, receive, send)

    async with served_by(name, app, **settings) as url:
        client = await raw_request(url)
        with anyio.fail_after(20):
            await asked.wait()
        await client.aclose()
        with anyio.fail_after(20):
            await gone.wait()


async def test_a_client_that_never_reads_is_left_and_so_is_the_upstream(server):
    name, _, settings = server
    big = b'data: {"choices":[{"delta":{"content":"' + b"x" * 500_000 + b'"}}]}\n\n'
    async with Upstream(big, every=0.0) as upstream, httpx2.AsyncClient(trust_env=False) as http:
        ended = anyio.Event()
        app = forwarding(upstream, http, send_timeout=0.5)

        async def watched(scope, receive, send):
            await app(scope, receive, send)
            ended.set()

        async with served_by(name, watched, **settings) as url:
            client = await raw_request(url)
            with anyio.fail_after(10):
                await upstream.gone.wait()
            await client.aclose()
            with anyio.fail_after(10):
                await ended.wait()
        assert upstream.n_bytes < 60_000_000


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        ("429 Too Many Requests", 429, "rate_limited"),
        ("503 Service Unavailable", 503, "overloaded"),
        ("401 Unauthorized", 502, "auth"),
        ("400 Bad Request", 400, "invalid_request"),
        ("500 Internal Server Error", 502, "provider"),
    ],
)
async def test_what_the_provider_refuses_is_a_status_for_the_client(server, line, status, kind):
    name, _, settings = server
    body = b'{"error":{"message":"key sk-secret","code":"c"}}'
    headers = [f"content-length: {len(body)}", "retry-after: 7"]
    async with (
        Upstream(body, status=line, headers=headers) as upstream,
        httpx2.AsyncClient(trust_env=False) as http,
        served_by(name, forwarding(upstream, http), **settings) as url,
    ):
        response = await http.get(url)
    assert response.status_code == status
    assert response.json()["error"]["type"] == kind
    assert "sk-secret" not in response.text
    if status == 429:
        assert response.headers["retry-after"] == "7"


async def test_a_provider_that_is_not_there_is_502(server):
    name, _, settings = server
    async with Upstream() as upstream:
        pass
    http = httpx2.AsyncClient(trust_env=False)
    async with http, served_by(name, forwarding(upstream, http), **settings) as url:
        response = await http.get(url)
    assert response.status_code == 502
    assert response.json()["error"] == {
        "type": "connection", "message": "The connection to the model broke off.", "retryable": True
    }  # fmt: skip


async def test_an_early_status_and_heartbeats_reach_the_client_while_the_upstream_is_silent(server):
    name, _, settings = server

    class Slow(ms.Stream):
        async def _open(self):
            await anyio.sleep(0.3)
            await super()._open()

    async def app(scope, receive, send):
        await EventStreamResponse(Slow(ScriptedSource(START, HANG)), heartbeat=0.1, open_within=0.1)(
            scope, receive, send
        )

    async with served_by(name, app, **settings) as url:
        client = await raw_request(url)
        got = b""
        with anyio.fail_after(20):
            while got.count(b": \n\n") < 3 or b'"start"' not in got:
                got += await client.receive()
        assert got.index(b": \n\n") < got.index(b'"start"')
        await client.aclose()
