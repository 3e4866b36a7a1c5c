"""What is sent: heads, bodies, and how they end; what goes elsewhere."""

from __future__ import annotations

import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
from tests.http.bare import Bare, Peer, answer

from millstream.http import Transport

pytestmark = pytest.mark.anyio

SECRET = "sk-a-key-that-nobody-may-see"


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=Transport()) as one:
        yield one


def keep(asked: list[tuple[bytes, bytes]]) -> Any:
    def play(peer: Peer) -> None:
        asked.append((peer.head, peer.read_body()))
        peer.send(answer(b"ok"))

    return play


def ours(error: Exception) -> str:
    """The traceback with the variables of our frames, and the text of the error."""
    lines = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    frames = [part for part in lines.split("  File ") if "/millstream/http/" in part.split(",")[0]]
    assert frames
    return "".join([repr(error), str(error), *frames])


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


BODIES: dict[str, Any] = {
    "none": {},
    "bytes": {"content": b"hello"},
    "large": {"content": b"x" * 1_000_000},
    "json": {"json": {"a": 1}},
    "form": {"data": {"a": "1"}},
    "files": {"files": {"f": ("n.txt", b"content")}, "headers": {"content-type": "multipart/form-data; boundary=xyz"}},
    "stream": {"content": lambda: pieces(b"ab", b"", b"c" * 70_000)},
    "stream of a known length": {"content": lambda: pieces(b"ab", b"cd"), "headers": {"content-length": "4"}},
    "query": {"params": {"q": "a b&c"}},
    "headers": {"headers": [("X-Case", "Kept"), ("x-case", "twice"), ("x-empty", "")]},
}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("name", BODIES)
async def test_the_server_sees_what_httpx2_sends(server: Bare, name: str, method: str) -> None:
    asked: list[tuple[bytes, bytes]] = []
    server.play = keep(asked)
    for transport in (httpx2.AsyncHTTPTransport(), Transport()):
        async with httpx2.AsyncClient(transport=transport) as client:
            options = dict(BODIES[name])
            if callable(options.get("content")):
                options["content"] = options["content"]()
            for _ in range(2 if name == "bytes" else 1):
                assert (await client.request(method, f"{server.url}/it", **options)).text == "ok"
    half = len(asked) // 2
    theirs, ours = asked[:half], asked[half:]
    assert [head.split(b"\r\n") for head, _ in ours] == [head.split(b"\r\n") for head, _ in theirs]
    assert [body for _, body in ours] == [body for _, body in theirs]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-bad": f"{SECRET}\r\nx-injected: 1"},
        {"x-bad": f"{SECRET}\n"},
        {"x-bad": f"{SECRET}\0"},
        {"x-bad": f" {SECRET}"},
        {"x bad": SECRET},
        {"": SECRET},
        {"content-length": "5", "transfer-encoding": "chunked", "x": SECRET},
        {"transfer-encoding": "gzip", "x": SECRET},
        {"content-length": "+5", "x": SECRET},
        [("host", "a"), ("host", "b"), ("x", SECRET)],
    ],
)
async def test_a_head_that_says_two_things_is_not_sent(client: Any, server: Bare, headers: Any) -> None:
    with pytest.raises(httpx2.LocalProtocolError) as caught:
        await client.post(f"{server.url}/it", headers=headers, content=pieces(b"hello"))
    assert SECRET not in ours(caught.value)
    assert server.peers == []


@pytest.mark.parametrize("fault", ["refused", "write", "early", "length", "read"])
async def test_a_traceback_with_variables_shows_no_key(server: Bare, fault: str) -> None:
    def play(peer: Peer) -> None:
        peer.reset() if fault == "early" else peer.gone.wait(1) and peer.close()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    server.play = play
    url = f"{server.url}/it" if fault != "refused" else "http://127.0.0.1:1/"
    headers = {"authorization": f"Bearer {SECRET}"} | ({"content-length": "9"} if fault == "length" else {})
    async with httpx2.AsyncClient(transport=Transport(), timeout=0.2) as client:
        with pytest.raises(httpx2.TransportError) as caught:
            await client.post(url, headers=headers, content=endless() if fault == "write" else b"hello")
    assert SECRET not in ours(caught.value)


async def test_a_method_that_is_none_is_not_sent(client: Any, server: Bare) -> None:
    for method in ("GET /x HTTP/1.1\r\nx:", "", "G T"):
        with pytest.raises(httpx2.LocalProtocolError):
            await client.request(method, f"{server.url}/it")
    assert server.peers == []


@pytest.mark.parametrize("length", ["3", "9"])
async def test_a_body_of_another_length_is_an_error_and_ends_the_connection(
    client: Any, server: Bare, length: str
) -> None:
    for content in (b"hello", pieces(b"hel", b"lo")):
        with pytest.raises(httpx2.LocalProtocolError):
            await client.post(f"{server.url}/it", content=content, headers={"content-length": length})
    assert (await client.get(f"{server.url}/echo/token")).text == "token"


async def test_an_error_of_the_body_passes_and_the_connection_is_closed(client: Any, server: Bare) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begin"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.post(f"{server.url}/it", content=broken())
    assert (await client.get(f"{server.url}/echo/token")).text == "token"


async def test_an_answer_before_the_body_was_sent_is_given(client: Any, server: Bare) -> None:
    def refuse(peer: Peer) -> None:
        peer.send(answer(b"too large", "connection: close", status="413 Too Large"))
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.read():
            pass
        peer.close()

    async def long() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    server.play = refuse
    response = await client.post(f"{server.url}/it", content=long())
    assert (response.status_code, response.text) == (413, "too large")
    assert (await client.get(f"{server.url}/echo/token")).text == "token"


async def test_an_answer_stops_the_upload_and_ends_the_connection(
    client: Any, server: Bare, anyio_backend_name: str
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("reads when all was sent")

    def refuse(peer: Peer) -> None:
        peer.send(answer(b"enough", status="400 Bad"))
        peer.hold()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"GET /echo/smuggled HTTP/1.1\r\nhost: x\r\n\r\n" * 100
            await anyio.lowlevel.checkpoint()

    server.play = refuse
    assert (await client.post(f"{server.url}/it", content=endless())).text == "enough"
    assert (await client.get(f"{server.url}/echo/token")).text == "token"
    assert len(server.peers) == 2


# --- elsewhere --------------------------------------------------------------------------------------------------------


async def test_a_proxy_is_left_to_httpx2(server: Bare) -> None:
    asked: list[tuple[bytes, bytes]] = []
    server.play = keep(asked)
    async with httpx2.AsyncClient(transport=Transport(proxy=server.url)) as client:
        assert (await client.get("http://nowhere.invalid/it")).text == "ok"
    assert asked[0][0].startswith(b"GET http://nowhere.invalid/it HTTP/1.1")


async def test_a_unix_socket_is_left_to_httpx2(tmp_path: Any) -> None:
    async with httpx2.AsyncClient(transport=Transport(uds=str(tmp_path / "none"))) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://localhost/")


async def test_an_upgrade_is_left_to_httpx2(client: Any, server: Bare) -> None:
    server.plays(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
    headers = {"connection": "upgrade", "upgrade": "x"}
    async with client.stream("GET", f"{server.url}/it", headers=headers) as response:
        assert response.status_code == 101
        assert "network_stream" in response.extensions


async def test_traces_are_left_to_httpx2(client: Any, server: Bare) -> None:
    seen: list[str] = []

    async def trace(name: str, info: Any) -> None:
        seen.append(name)

    response = await client.get(f"{server.url}/echo/token", extensions={"trace": trace})
    assert response.text == "token"
    assert "http11.send_request_headers.started" in seen


async def test_other_schemes_are_refused(client: Any) -> None:
    with pytest.raises(httpx2.UnsupportedProtocol):
        await client.get("ftp://localhost/")


async def test_a_wrapper_around_the_stream_sees_all_of_it(client: Any, server: Bare) -> None:
    server.plays(answer(b"all of it"))
    seen = []

    class Wrapper(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self.stream:
                seen.append(piece)
                yield piece

        async def aclose(self) -> None:
            await self.stream.aclose()

    async with client.stream("GET", f"{server.url}/it") as response:
        response.stream = Wrapper(response.stream)
        assert await response.aread() == b"all of it"
    assert seen == [b"all of it"]
