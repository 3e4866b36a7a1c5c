"""TLS with a certificate authority of our own: names, trust, what is negotiated, and ends without a farewell."""

from __future__ import annotations

import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx2
import pytest
import trustme
from tests.http.bare import Bare, Peer, answer, chunked

from millstream.http import Transport

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()


class Tls:
    """A server with a certificate for `names`. Attributes: asked: (server name, what was offered) per connection."""

    def __init__(self, *names: str) -> None:
        self.asked: list[str | None] = []
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(*names).configure_cert(self.server_context)
        self.server_context.set_alpn_protocols(["h2", "http/1.1"])
        self.server_context.sni_callback = lambda sock, name, context: self.asked.append(name)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture
def tls() -> Tls:
    return Tls("localhost", "127.0.0.1")


@pytest.fixture
def secure(tls: Tls) -> Iterator[Bare]:
    with Bare(tls.server_context) as server:
        yield server


async def test_answers_and_their_connection_are_kept(secure: Bare) -> None:
    secure.plays(chunked(b"hello", b" ", b"x" * 200_000))
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        for _ in range(3):
            assert (await client.get(f"{secure.url}/it")).text == "hello " + "x" * 200_000
            assert (await client.get(f"{secure.url}/echo/token")).text == "token"
    assert len(secure.peers) == 1


async def test_certificates_are_read_once_for_all_requests_that_begin_together(secure: Bare, monkeypatch: Any) -> None:
    made: list[Any] = []
    create = httpx2.create_ssl_context

    def noted(**options: Any) -> ssl.SSLContext:
        made.append(options)
        return create(**options)

    monkeypatch.setattr(httpx2, "create_ssl_context", noted)
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client, anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(client.get, f"{secure.url}/echo/{number}")
    assert len(made) == 1
    assert sum(peer.n_requests for peer in secure.peers) == 5


async def test_http_1_1_is_what_is_negotiated(secure: Bare) -> None:
    found: list[str] = []

    def play(peer: Peer) -> None:
        found.append(peer.sock.selected_alpn_protocol())
        peer.send(answer(b"ok"))

    secure.play = play
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        await client.get(f"{secure.url}/it")
    assert found == ["http/1.1"]


async def test_a_context_that_others_use_for_http_2(secure: Bare) -> None:
    context = trusting()
    async with httpx2.AsyncClient(transport=Transport(verify=context)) as client:
        for _ in range(2):
            context.set_alpn_protocols(["h2"])
            assert (await client.get(f"{secure.url}/echo/token", headers={"connection": "close"})).text == "token"
            await anyio.to_thread.run_sync(secure.peers[-1].gone.wait, 0.1)


async def test_the_name_that_is_asked_for(secure: Bare, tls: Tls) -> None:
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        url = f"https://localhost:{secure.port}/echo/token"
        assert (await client.get(url)).text == "token"
        assert (await client.get(url, extensions={"sni_hostname": "127.0.0.1"})).text == "token"
    assert tls.asked == ["localhost", None]  # an address is no name to ask for
    assert len(secure.peers) == 2  # what was opened for one name does not serve another


async def test_another_name_in_the_certificate() -> None:
    with Bare(Tls("elsewhere.example").server_context) as server:
        async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"{server.url}/echo/token")
    assert server.peers == [] or server.peers[0].n_requests == 0


async def test_an_authority_that_nobody_trusts(secure: Bare) -> None:
    async with httpx2.AsyncClient(transport=Transport()) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"{secure.url}/echo/token")
    async with httpx2.AsyncClient(transport=Transport(verify=False)) as client:
        assert (await client.get(f"{secure.url}/echo/token")).text == "token"


async def test_a_server_that_speaks_no_tls(server: Bare) -> None:
    server.play = lambda peer: peer.send(b"HTTP/1.1 400 Bad\r\n\r\n")
    async with httpx2.AsyncClient(transport=Transport(verify=trusting()), timeout=0.3) as client:
        with pytest.raises((httpx2.ConnectError, httpx2.ConnectTimeout)):
            await client.get(f"https://127.0.0.1:{server.port}/it")


async def test_a_handshake_that_takes_too_long(server: Bare) -> None:
    async with httpx2.AsyncClient(transport=Transport(verify=trusting()), timeout=0.2) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{server.port}/it")
    # The server reads a handshake as the beginning of a head, and sees the client go.
    assert server.peers == [] or await anyio.to_thread.run_sync(server.peers[0].gone.wait, 5)


def hang_up(peer: Peer) -> None:
    """End TCP without the farewell of TLS."""
    peer.sock.close()
    peer.ended = True


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200", chunked(b"ab", end=b""), answer(b"abc")[:-1]])
async def test_an_end_in_the_middle_is_an_error(secure: Bare, data: bytes) -> None:
    secure.plays(data, hang_up)
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await client.get(f"{secure.url}/it")
        assert (await client.get(f"{secure.url}/echo/token")).text == "token"


async def test_leaving_closes_the_connection(secure: Bare) -> None:
    def endless(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    secure.play = endless
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        async with client.stream("GET", f"{secure.url}/it") as response:
            assert await anext(response.aiter_bytes())
        assert await anyio.to_thread.run_sync(secure.peers[0].gone.wait, 5)
        assert (await client.get(f"{secure.url}/echo/token")).text == "token"


async def test_a_large_body_is_sent(secure: Bare) -> None:
    found: list[Any] = []

    def play(peer: Peer) -> None:
        found.append(peer.read_body())
        peer.send(answer(b"ok"))

    secure.play = play
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        assert (await client.post(f"{secure.url}/it", content=b"x" * 2_000_000)).text == "ok"
    assert found == [b"x" * 2_000_000]


async def test_a_reset_in_the_middle_of_an_upload_is_an_error_of_reading(secure: Bare) -> None:
    refused = threading.Event()

    def refuse(peer: Peer) -> None:
        peer.send(answer(b"too large", status="413 Too Large"))
        peer.reset()
        refused.set()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begin"
        assert refused.wait(5)  # the loop does not run, so the answer is not read
        for _ in range(100):
            yield b"x" * 10

    secure.play = refuse
    async with httpx2.AsyncClient(transport=Transport(verify=trusting())) as client:
        with pytest.raises(httpx2.ReadError):  # unlike without TLS: what has come is not decrypted any more
            await client.post(f"{secure.url}/it", content=pieces())
        assert (await client.get(f"{secure.url}/echo/token")).text == "token"
