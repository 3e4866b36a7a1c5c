"""A request of `millstream serve` has a head of bounded size, that comes in a bounded time."""

import socket

import anyio
import orjson
import pytest

from millstream.cli._heads import BoundedHeads
from server.gateway.kit import process
from server.serving import serving

pytestmark = pytest.mark.anyio

ASK = b"POST / HTTP/1.1\r\nhost: a\r\n"


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Quick(BoundedHeads):
    head_within = 0.3


class Heard:
    """Reads a whole body, answers with its size, and goes on for as long as `hold` is not set."""

    def __init__(self, hold=None):
        self.hold = hold

    async def __call__(self, scope, receive, send):
        n_bytes, more = 0, True
        while more:
            message = await receive()
            n_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]})
        await send({"type": "http.response.body", "body": b"%d " % n_bytes, "more_body": True})
        if self.hold is not None:
            await self.hold.wait()
        await send({"type": "http.response.body", "body": b"end"})


async def answer_to(url, *pieces, pause=0.0, until=b"0\r\n\r\n"):
    """Send the pieces, until the other side will have no more of them; return what it sends back, up to `until`."""
    host, port = url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        got = b""

        async def send():
            try:
                for piece in pieces:
                    await stream.send(piece)
                    await anyio.sleep(pause)
            except anyio.BrokenResourceError:
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            try:
                while until is None or until not in got:
                    got += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            tasks.cancel_scope.cancel()
        return got


def status_of(got):
    return int(got.split(b" ", 2)[1])


@pytest.mark.parametrize("cut", [100, 4000, 10**6])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 300_000,
        ASK + b"x: " + b"a" * 300_000,
        ASK + b"x: aaaaaaa\r\n" * 201 + b"\r\n",
        b"\r\n" * 150_000,
    ],
)
async def test_a_head_without_end_is_refused_whatever_its_pieces(head, cut):
    async with serving(Heard(), http=BoundedHeads) as url:
        with anyio.fail_after(20):
            got = await answer_to(url, *(head[at : at + cut] for at in range(0, len(head), cut)))
    assert got == b"" or status_of(got) == 431  # nothing, if our word was lost because he went on
    if cut >= len(head):
        assert orjson.loads(got.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


async def test_fields_after_a_body_have_the_same_bound():
    asked = ASK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    async with serving(Heard(), http=BoundedHeads) as url:
        with anyio.fail_after(20):
            assert await answer_to(url, asked, *[b"x: " + b"a" * 1000] * 300) == b""
            assert b"3 \r\n" in await answer_to(url, asked, b"x: " + b"a" * 30_000 + b"\r\n\r\n")


@pytest.mark.parametrize("pieces", [[b"GET / HT"], [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 100], [b"\r\n"] * 100])
async def test_a_head_that_trickles_is_refused_in_time(pieces):
    async with serving(Heard(), http=Quick) as url:
        with anyio.fail_after(20):
            assert status_of(await answer_to(url, *pieces, pause=0.02)) == 408


async def test_a_connection_that_says_nothing_is_closed():
    async with serving(Heard(), http=Quick) as url:
        with anyio.fail_after(20):
            assert await answer_to(url) == b""


async def test_an_answer_takes_its_time_and_a_large_body_is_no_head():
    hold = anyio.Event()
    async with serving(Heard(hold), http=Quick) as url, anyio.create_task_group() as tasks:

        async def ask():
            pieces = [
                ASK + b"content-length: 300000\r\n\r\n",
                *[b"a" * 20_000] * 15,
            ]
            got = await answer_to(url, *pieces, pause=0.04)
            assert b"300000 \r\n" in got
            assert b"end\r\n" in got

        tasks.start_soon(ask)
        await anyio.sleep(1.0)  # three times of what a head may take
        hold.set()


async def test_lines_between_two_requests_keep_no_connection():
    async with serving(Heard(), http=Quick) as url:
        with anyio.fail_after(20):
            got = await answer_to(url, ASK + b"content-length: 0\r\n\r\n", *[b"\r\n"] * 150, pause=0.02, until=None)
    assert b"end\r\n" in got
    assert b"HTTP/1.1 408 " in got


async def test_what_is_no_http_is_told_so():
    async with serving(Heard(), http=BoundedHeads) as url:
        assert status_of(await answer_to(url, b"\0\0\0\r\n\r\n")) == 400


def test_the_command_serves_with_these_bounds():
    with process("http://127.0.0.1:9", key=None) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 300 + b"\r\n")
            assert status_of(sock.recv(1000)) == 431
