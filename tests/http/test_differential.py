"""The same server, the same responses: what httpx2's own transport gives, `Transport` gives. Then the canary."""

from __future__ import annotations

import gzip
import threading
from typing import Any

import anyio
import httpx2
import pytest
from tests.http.bare import Bare, Peer, answer, chunked

from millstream.http import Transport

pytestmark = pytest.mark.anyio

LONG = b"x" * 200_000
HEAD = b"HTTP/1.1 200 OK\r\n"

SECONDS = 30.0  # a machine with much to do lets a thread wait for longer than the five that clients have by themselves

RESPONSES: dict[str, tuple[bytes, Any]] = {
    "length": (answer(b"hello"), None),
    "empty": (answer(b""), None),
    "long": (answer(LONG), None),
    "chunked": (chunked(b"a", b"bc", b"def" * 1000), None),
    "chunk extensions": (HEAD + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0;c\r\n\r\n", None),
    "trailers": (chunked(b"ab", end=b"0\r\nx-trailer: 1\r\n\r\n"), None),
    "upper case chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", None),
    "until close": (HEAD + b"content-type: text/plain\r\n\r\nuntil the end", Peer.close),
    "until close, long": (HEAD + b"\r\n" + LONG, Peer.close),
    "connection close": (answer(b"last", "connection: close"), Peer.close),
    "http/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", Peer.close),
    "http/1.0 until close": (b"HTTP/1.0 200 OK\r\n\r\nab", Peer.close),
    "100": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hello"), None),
    "103": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + answer(b"hello"), None),
    "204": (b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n", None),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", None),
    "404": (answer(b"no", status="404 Not Found"), None),
    "503": (answer(b"no", "retry-after: 1", status="503 Busy"), None),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nab", None),
    "odd reason": (b"HTTP/1.1 299 \xe9t\xe9 !\r\ncontent-length: 2\r\n\r\nab", None),
    "repeated headers": (answer(b"x", "set-cookie: a=1", "Set-Cookie: b=2", "X-Case: Kept"), None),
    "obs-text": (HEAD + b"x: \xe9\r\ncontent-length: 0\r\n\r\n", None),
    "empty value": (answer(b"x", "x-empty:", "x-spaces:    a  b   "), None),
    "gzip": (answer(gzip.compress(LONG, mtime=0), "content-encoding: gzip"), None),
    "identity": (answer(b"ab", "content-encoding: identity"), None),
    "many headers": (answer(b"x", *[f"x-{i}: {i}" for i in range(200)]), None),
    "60 KiB of headers": (answer(b"x", *[f"x-{i}: {'y' * 1000}" for i in range(60)]), None),
    "nothing": (b"", Peer.close),
    "half a status": (b"HTTP/1.1 2", Peer.close),
    "half a head": (HEAD + b"x: ", Peer.close),
    "short body": (HEAD + b"content-length: 10\r\n\r\nhalf", Peer.close),
    "short chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\nhalf", Peer.close),
    "no last chunk": (chunked(b"ab", end=b""), Peer.close),
    "half of the last chunk": (chunked(b"ab", end=b"0\r\n"), Peer.close),
    "bad chunk size": (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", Peer.close),
    "chunk of another size": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n", Peer.close),
    "negative length": (HEAD + b"content-length: -1\r\n\r\n", Peer.close),
    "two lengths": (HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc", Peer.close),
    "unknown transfer coding": (HEAD + b"transfer-encoding: gzip\r\n\r\nabc", Peer.close),
    "no http": (b"SSH-2.0-OpenSSH_9.6\r\n", Peer.close),
    "html": (b"<html>hello</html>\r\n\r\n", Peer.close),
    "nul in a value": (HEAD + b"x: a\0b\r\ncontent-length: 0\r\n\r\n", Peer.close),
    "space before the colon": (HEAD + b"x : a\r\ncontent-length: 0\r\n\r\n", Peer.close),
    "status 99": (b"HTTP/1.1 99 x\r\ncontent-length: 0\r\n\r\n", Peer.close),
    "endless head": (HEAD + b"x: " + b"y" * 300_000, Peer.close),
    "reset at once": (b"", Peer.reset),
    "http/1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nab", None),
    "garbage behind the end": (answer(b"ab") + b"garbage", None),
    "another response behind the end": (answer(b"ab") + answer(b"poison"), None),
}
# Where this transport is stricter: each of these is read in two ways by software that is in use (RFC 9112 11.2).
STRICTER: dict[str, tuple[bytes, Any]] = {
    "length and chunked": (
        HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        Peer.close,
    ),
    "the same length twice": (HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab", Peer.close),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nab", Peer.close),
    "folded header": (HEAD + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nab", Peer.close),
    "space behind a chunk size": (HEAD + b"transfer-encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n", Peer.close),
    "101": (b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Peer.close),
    "http/2.0": (b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nab", Peer.close),
}


async def outcome(client: httpx2.AsyncClient, method: str, url: str) -> Any:
    """What one sees of the response, or the class of the exception."""
    try:
        async with client.stream(method, url) as response:
            body = b"".join([piece async for piece in response.aiter_bytes()])
    except httpx2.HTTPError as error:
        return type(error)
    version, reason = response.http_version, response.reason_phrase
    return response.status_code, version, reason, response.headers.raw, body, response.num_bytes_downloaded


async def canary(client: httpx2.AsyncClient, server: Bare) -> None:
    """Requests that follow get their own bytes, all of them and nothing else."""
    for token in ("first-token", "second-token"):
        assert (await client.get(f"{server.url}/echo/{token}")).text == token


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", RESPONSES)
async def test_the_same_as_with_the_transport_of_httpx2(server: Bare, name: str, method: str) -> None:
    data, then = RESPONSES[name]
    if method == "HEAD":
        data = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if b"\r\n\r\n" in data else data
        if name in ("100", "103") or then is Peer.reset:
            pytest.skip("has no single head to answer with")
    server.plays(data, then)
    found = []
    for transport in (httpx2.AsyncHTTPTransport(), Transport()):
        async with httpx2.AsyncClient(timeout=SECONDS, transport=transport) as client:
            found.append(await outcome(client, method, f"{server.url}/it"))
            if isinstance(transport, Transport):
                await canary(client, server)
    assert found[1] == found[0]


@pytest.mark.parametrize("name", STRICTER)
async def test_what_can_be_read_in_two_ways_is_refused(server: Bare, name: str) -> None:
    server.plays(*STRICTER[name])
    async with httpx2.AsyncClient(timeout=SECONDS, transport=Transport()) as client:
        assert await outcome(client, "GET", f"{server.url}/it") is httpx2.RemoteProtocolError
        await canary(client, server)


async def test_a_content_coding_that_is_broken(server: Bare) -> None:
    server.plays(answer(b"no gzip", "content-encoding: gzip"))
    async with httpx2.AsyncClient(timeout=SECONDS, transport=Transport()) as client:
        assert await outcome(client, "GET", f"{server.url}/it") is httpx2.DecodingError
        await canary(client, server)


@pytest.mark.parametrize("name", [name for name, (data, then) in RESPONSES.items() if len(data) < 5000])
async def test_how_the_bytes_are_cut_changes_nothing(server: Bare, name: str) -> None:
    data, then = RESPONSES[name]
    sent = threading.Event()

    def drip(peer: Peer) -> None:
        try:
            peer.send_in_pieces(data)
        finally:
            sent.set()
        if then is not None:
            then(peer)

    found = []
    async with httpx2.AsyncClient(timeout=SECONDS, transport=Transport()) as client:
        for play in (lambda: server.plays(data, then), lambda: setattr(server, "play", drip)):
            play()
            found.append(await outcome(client, "GET", f"{server.url}/it"))
            if server.play is drip:
                # What comes behind an answer once the next request is on its way is an answer to that: nobody can tell.
                assert await anyio.to_thread.run_sync(sent.wait, 10)
            await canary(client, server)
    assert found[1] == found[0]
