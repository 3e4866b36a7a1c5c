"""Faults 7 to 31, 41 and 42: a server that stalls, floods, lies or refuses, over real sockets."""

from __future__ import annotations

import re
import socket
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

import millstream as ms
from faults.invariants import CANARY, PATIENCE, Seen, gone, read
from faults.layers import LAYERS, TLS, Layer, Served, over
from faults.proxy import Hurt, Proxy
from providers.live import KEY, Connection, Scripted, chunk, head, whole
from providers.test_errors import AT_ONCE, END, GOOD, delta, event, everything

pytestmark = [
    pytest.mark.anyio,
    # httpx2 leaves its inner generators to the garbage collector if a body is not read to its end; trio warns of that.
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2.*garbage collected:ResourceWarning"),
]

try:
    from millstream.http import Transport as _Transport  # needs httptools

    HAS_OWN_TRANSPORT = _Transport is not None
except ImportError:
    HAS_OWN_TRANSPORT = False

SOON = 0.15  # seconds, for the clocks that are to run out
BODY = b"".join(event(one) for one in (delta("Hel"), delta(CANARY), END, b"[DONE]"))
CHAT = Served("", "openai-chat", "/v1/chat/completions", BODY, 0)


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest) -> Layer:
    return request.param


def told(seen: Seen) -> str:
    """Everything that somebody might see of the error; the canary is the provider's, so only `body` may hold it."""
    assert seen.error is not None
    shown = everything(seen.error)
    assert KEY not in shown
    return str(seen.error)


async def asked(layer: Layer, *answers: Any, **options: Any) -> tuple[Seen, Scripted]:
    with Scripted(*answers) as server:
        seen = await over(layer, server.url, CHAT, **options)
        if seen.error is not None:
            told(seen)
        return seen, server


# --- silence ---------------------------------------------------------------------------------------------------------


async def test_fault_07_silence_before_the_head(layer: Layer, served: Served) -> None:
    with Proxy(served.port, Hurt("stall", 0)) as proxy:
        seen = await over(layer, proxy.url, served, ms.Timeouts(first=SOON))
        seen.check([], "Timeout", within=SOON + 2)
        assert seen.error.kind == "first"  # type: ignore[union-attr]
        assert await gone(proxy.connections[-1]), "the connection was given up too"


async def test_fault_08_silence_after_the_head_is_tried_again(served: Served) -> None:
    at = served.body and 150  # in the HTTP head, behind its first line
    with Proxy(served.port, Hurt("stall", at), Hurt()) as proxy:
        seen = await over(LAYERS["provider"], proxy.url, served, ms.Timeouts(first=SOON), retry=AT_ONCE)
        seen.check(served.truth, "Completed")
        assert len(proxy.connections) == 2


async def test_fault_09_silence_in_the_middle_of_an_event(layer: Layer, served: Served) -> None:
    with Proxy(served.port, Hurt("stall", len(served.body) // 2)) as proxy:
        seen = await over(layer, proxy.url, served, ms.Timeouts(idle=SOON))
        seen.check(served.truth, "Timeout", within=SOON + 2)
        assert seen.error.kind == "idle"  # type: ignore[union-attr]
        assert len(seen.events) > 3, "what had come is kept"
        assert await gone(proxy.connections[-1])


def repeating(*pieces: bytes, every: float = 0.005) -> Callable[[Connection], None]:
    def answer(connection: Connection) -> None:
        connection.send(head() + b"".join(map(chunk, pieces[:-1])))
        connection.send_until_left(chunk(pieces[-1]), every)

    return answer


@pytest.mark.parametrize("noise", [b": ping\n\n", b"event: ping\ndata: {}\n\n", b"id: 1\n\n", b"retry: 1\n\n", b"\n"])
async def test_fault_10_11_only_pings_and_comments(layer: Layer, noise: bytes) -> None:
    """They keep `idle` quiet, not `progress`."""
    clocks = ms.Timeouts(first=5, idle=5, progress=2 * SOON, total=10)
    seen, server = await asked(layer, repeating(event(delta("a")), noise), timeouts=clocks)
    assert (seen.outcome, seen.error.kind) == ("Timeout", "progress")  # type: ignore[union-attr]
    assert (seen.text, seen.seconds < (SOON + 2) * PATIENCE) == ("a", True)
    assert await gone(server.connections[0])


@pytest.mark.invariants(rss_mib=24)
async def test_fault_11_a_flood_of_comments_takes_no_memory(layer: Layer) -> None:
    flood = b": " + b"x" * 500 + b"\n"

    def answer(connection: Connection) -> None:
        connection.send(head())
        while connection.sent < 32 * 2**20:
            connection.send(chunk(flood * 100))
        connection.hang_up()

    seen, server = await asked(layer, answer)
    assert seen.outcome in ("Truncated", "TransportError")
    assert server.connections[0].sent > 32 * 2**20, "nothing kept it from taking all"


async def test_fault_12_deltas_for_ever(layer: Layer) -> None:
    """Thinking that never ends is progress; `total` ends it. Deltas without text are none."""
    thinking = event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm "}}]})
    seen, _ = await asked(layer, repeating(thinking), timeouts=ms.Timeouts(progress=5, total=SOON))
    assert (seen.outcome, seen.error.kind) == ("Timeout", "total")  # type: ignore[union-attr]
    seen, _ = await asked(layer, repeating(event(delta(""))), timeouts=ms.Timeouts(progress=SOON, total=5))
    assert (seen.outcome, seen.error.kind) == ("Timeout", "progress")  # type: ignore[union-attr]


async def test_fault_13_a_byte_now_and_then(layer: Layer, served: Served) -> None:
    with Proxy(served.port, Hurt("drip", 400, 0.01)) as proxy:
        seen = await over(layer, proxy.url, served, ms.Timeouts(idle=5, total=0.5))
        seen.check(served.truth, "Timeout", within=2.5)
        assert seen.error.kind == "total"  # type: ignore[union-attr]


def test_fault_07_13_the_clocks_of_providers_are_on_by_default() -> None:
    clocks = ms.provider("openai:m", api_key=KEY).timeouts  # type: ignore[attr-defined]
    assert None not in (clocks.first, clocks.idle, clocks.progress, clocks.total)


# --- floods ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ten_megabytes() -> bytes:
    """Of messages that all have another form, so that each is read in full."""
    some = (event({f"unknown_{i}": "x" * 200, "choices": []}) for i in range(42_000))
    return b"".join(some) + event(END) + b"data: [DONE]\n\n"


async def test_fault_14_ten_megabytes_in_one_read_do_not_hold_up_the_loop(ten_megabytes: bytes) -> None:
    """I6 is what is proven: they are decoded in slices, and other tasks run between two of them."""

    async def burst() -> AsyncIterator[bytes]:
        yield ten_megabytes

    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    n_events = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        async with ms.stream(burst(), "openai-chat") as events:
            async for batch in events.batches():
                n_events += len(batch)
        tasks.cancel_scope.cancel()
    assert n_events >= 2
    assert turns > 10


@pytest.mark.parametrize("cut", [65_535, 65_536, 65_537, 131_072, 200_000])
async def test_fault_14_a_slice_border_changes_nothing(served: Served, cut: int) -> None:
    body = b": " + b"x" * (cut - 700) + b"\n\n" + served.body

    async def whole_body() -> AsyncIterator[bytes]:
        yield bytearray(body)

    (await read(ms.stream(whole_body(), served.api))).check(served.truth, "Completed")


def gzipped(data: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    return made.compress(data) + made.flush()


def coded(data: bytes, coding: str = "gzip") -> bytes:
    return head(more=f"content-encoding: {coding}\r\n") + chunk(data) + b"0\r\n\r\n"


async def test_fault_15_compressed_and_cut(layer: Layer, served: Served) -> None:
    """Some servers compress though nobody asked: that is read. Cut off, what had come is a prefix."""
    here = Served(served.name, served.api, served.endpoint, served.body, 0)
    packed = gzipped(served.body)
    with Scripted(coded(packed), *(coded(packed[:at]) for at in range(10, len(packed), len(packed) // 8))) as server:
        (await over(layer, server.url, here)).check(served.truth, "Completed")
        for _ in range(7):
            (await over(layer, server.url, here)).check(served.truth, "Truncated", "TransportError")


async def test_fault_15_compressed_and_damaged(layer: Layer) -> None:
    packed = gzipped(BODY)
    seen, _ = await asked(layer, coded(packed[:30] + b"\xff\xff\xff" + packed[33:]))
    seen.check(CHAT.truth, "Truncated", "TransportError", "ProtocolError")


FILLERS = [b"\n", b": x\n", b"data: x\n"]


@pytest.fixture(scope="session")
def bombs() -> dict[bytes, bytes]:
    made = {}
    for filler in FILLERS:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        block = filler * (2**20 // len(filler))
        packed = [packer.compress(event(delta("Hel"))), *(packer.compress(block) for _ in range(256)), packer.flush()]
        made[filler] = b"".join(packed)
        assert len(made[filler]) < 2**20
    return made


@pytest.mark.invariants(rss_mib=48, step_ms=60, because="the client inflates a MiB at a time")
@pytest.mark.parametrize("filler", FILLERS)
async def test_fault_16_a_bomb(layer: Layer, filler: bytes, bombs: dict[bytes, bytes]) -> None:
    """A quarter of a gigabyte in 250 KB: comments are stopped by their ratio, an event by its size as well."""
    seen, _ = await asked(layer, coded(bombs[filler]))
    assert seen.outcome == "LimitExceeded", seen.error
    assert seen.error.option in ("max_inflation", "max_event_bytes")  # type: ignore[union-attr]
    assert seen.text == "Hel"


@pytest.mark.parametrize("coding", ["gzip, gzip", "x-unknown", "br", "deflate, gzip", "gzip,"])
async def test_fault_17_unknown_and_double_content_encodings_are_refused(layer: Layer, coding: str) -> None:
    seen, _ = await asked(layer, coded(gzipped(BODY), coding))
    if coding == "gzip,":
        seen.check(CHAT.truth, "Completed")
    else:
        assert seen.outcome == "Refused"
        assert "content encoding" in told(seen)


# --- answers that are no streams -------------------------------------------------------------------------------------


async def test_fault_18_a_page_where_a_stream_should_be(layer: Layer) -> None:
    """Nothing of the page is parsed or told; and a portal that quotes the request has not made us quote the key."""
    quoted = "" if layer is LAYERS["stream"] else KEY  # only a provider knows what the key is
    page = f"<html>data: {{}}\n\n {quoted} {CANARY} please log in</html>".encode()
    seen, _ = await asked(layer, whole("200 OK", page, "text/html"))
    assert (seen.outcome, seen.events) == ("Refused", [])
    assert "'text/html'" in told(seen)
    assert CANARY not in told(seen)
    assert KEY.encode() not in seen.error.body  # type: ignore[union-attr]


async def test_fault_19_an_error_with_status_200(layer: Layer) -> None:
    body = b'{"error":{"type":"overloaded_error","message":"busy"}}'
    seen, _ = await asked(layer, whole("200 OK", body))
    assert (seen.outcome, type(seen.error), seen.events) == ("ProviderError", ms.Overloaded, [])
    # The same under the stream's own type.
    seen, _ = await asked(layer, whole("200 OK", body, "text/event-stream"))
    assert (seen.outcome, type(seen.error)) == ("ProviderError", ms.Overloaded)


BUSY = event({"error": {"message": "busy", "type": "overloaded_error", "code": "overloaded_error"}})
NEVER = event({"error": {"message": "no", "type": "invalid_request_error", "code": "invalid"}})


async def test_fault_20_an_error_as_the_first_event_is_tried_again_by_its_kind() -> None:
    provider = LAYERS["provider"]
    seen, server = await asked(provider, head() + chunk(BUSY) + b"0\r\n\r\n", GOOD, retry=AT_ONCE)
    assert (seen.text, len(server.asked)) == ("Hello", 2)
    seen, server = await asked(provider, head() + chunk(NEVER) + b"0\r\n\r\n", GOOD, retry=AT_ONCE)
    assert (seen.outcome, len(server.asked)) == ("ProviderError", 1)


async def test_fault_21_24_an_error_in_mid_stream_is_not_tried_again() -> None:
    broken = head() + chunk(event(delta("Hel"))) + chunk(BUSY) + b"0\r\n\r\n"
    seen, server = await asked(LAYERS["provider"], broken, GOOD, retry=AT_ONCE)
    assert (seen.outcome, seen.text, len(server.asked)) == ("ProviderError", "Hel", 1)
    assert isinstance(seen.error, ms.Overloaded)


@pytest.mark.parametrize(
    ("value", "at_least", "at_most"),
    [
        ("0.05", 0.05, 0.0625),
        (formatdate(time.time() - 3600, usegmt=True), 0.0, 0.0),
        ("1000000000", 0.1, 0.125),
        ("soon", 0.0, 0.0),
        ("-5", 0.0, 0.0),
        ("\u0664", 0.0, 0.0),
    ],
)
async def test_fault_22_how_long_a_rate_limit_is_waited_for(value: str, at_least: float, at_most: float) -> None:
    """Never less than asked, spread above it, never more than the cap; garbage means the policy's own (here none)."""
    waits: list[float] = []
    policy = ms.RetryPolicy(
        rate_limit=lambda n: 0.0, max_delay=0.1, budget=None, on_retry=lambda n, error, delay: waits.append(delay)
    )
    answer = f"HTTP/1.1 429 x\r\ncontent-length: 0\r\nretry-after: {value}\r\n\r\n".encode()
    seen, _ = await asked(LAYERS["provider"], answer, GOOD, retry=policy)
    assert seen.text == "Hello"
    assert len(waits) == 1
    assert at_least <= waits[0] <= at_most


@pytest.mark.parametrize(("status", "tries"), [(503, 2), (529, 2), (500, 2), (400, 1), (401, 1), (403, 1), (404, 1)])
async def test_fault_23_25_which_status_is_tried_again(status: int, tries: int) -> None:
    seen, server = await asked(LAYERS["provider"], whole(f"{status} x", b"{}"), GOOD, retry=AT_ONCE)
    assert len(server.asked) == tries
    assert seen.outcome == ("Completed" if tries == 2 else "ProviderError")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_fault_26_a_redirect_is_refused_and_no_header_travels(status: int) -> None:
    with Scripted(GOOD) as other:
        moved = whole(f"{status} x", b"", more=f"location: {other.url}/\r\n")
        seen, _ = await asked(LAYERS["provider"], moved, retry=AT_ONCE)
        assert seen.outcome == "ProviderError"
        assert other.connections == []


@pytest.mark.parametrize("status", [204, 205])
async def test_fault_27_no_content(layer: Layer, status: int) -> None:
    seen, _ = await asked(layer, f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n".encode())
    assert (seen.outcome, seen.events) == ("Refused", [])
    assert str(status) in told(seen)
    assert not seen.error.retryable  # type: ignore[union-attr]


# --- ends ------------------------------------------------------------------------------------------------------------

DONE = b"data: [DONE]\n\n"
HEL = event(delta("Hel"))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        pytest.param(HEL + event(END) + DONE + DONE, "Completed", id="28 twice"),
        pytest.param(HEL + event(END) + DONE + event(delta("more")), "Completed", id="28 data after it"),
        pytest.param(HEL + event(END), "Completed", id="29 only a reason"),
        pytest.param(HEL, "Truncated", id="30 neither"),
        pytest.param(HEL + event(END) + DONE[:-1], "Completed", id="31 no blank line"),
        pytest.param(HEL + event(END) + DONE[:-2], "Completed", id="31 no line end"),
        pytest.param(HEL + event(END) + b"data: [DONE]x\n\n", "ProtocolError", id="28 something else"),
    ],
)
async def test_fault_28_29_30_31_how_it_ends(layer: Layer, body: bytes, outcome: str) -> None:
    seen, _ = await asked(layer, head() + chunk(body) + b"0\r\n\r\n")
    assert (seen.outcome, seen.text) == (outcome, "Hel")


# --- no connection ---------------------------------------------------------------------------------------------------


async def test_fault_41_a_name_that_nobody_knows(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def unknown_later(*_: Any, **__: Any) -> Any:
        unknown()

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr("trio.socket.getaddrinfo", unknown_later)
    seen = await over(layer, "http://no-such-host.invalid", CHAT)
    seen.check([], "TransportError")


async def test_fault_41_nobody_listens(layer: Layer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = "http://{}:{}".format(*sock.getsockname())
    (await over(layer, url, CHAT)).check([], "TransportError")


NEEDS_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes the first packet and never answers: a listener whose queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
            fillers.append(filler)
        try:
            yield "http://{}:{}".format(*sock.getsockname())
        finally:
            for filler in fillers:
                filler.close()


@NEEDS_LINUX
async def test_fault_41_a_black_hole(layer: Layer) -> None:
    with black_hole() as url:
        seen = await over(layer, url, CHAT, ms.Timeouts(first=SOON))
        seen.check([], "Timeout", within=SOON + 2)


@NEEDS_LINUX
async def test_fault_41_the_clients_own_deadline_is_a_timeout_too() -> None:
    with black_hole() as url:
        async with httpx2.AsyncClient(verify=TLS, timeout=SOON) as client:
            seen = await read(ms.stream(client.stream("POST", url), "openai-chat"))
        seen.check([], "Timeout", within=SOON + 2)


# --- the pool --------------------------------------------------------------------------------------------------------


def text_answer(text: str) -> bytes:
    return head() + b"".join(chunk(event(one)) for one in (delta(text), END, b"[DONE]")) + b"0\r\n\r\n"


def _cut(connection: Connection) -> None:
    connection.send(text_answer("foreign")[:-40])
    connection.hang_up()


def _hold(connection: Connection) -> None:
    connection.send(text_answer("foreign")[:-40])
    connection.hold()


def _lingering(connection: Connection) -> None:
    connection.send(text_answer("foreign")[:-5])
    connection.hold()


MISBEHAVING: list[Any] = [
    _cut,
    _hold,
    _lingering,
    head() + chunk(event(delta("foreign"))) + b"zz\r\n",
    head() + chunk(event(delta("foreign"))) + b"0\r\n\r\n",
    head(length=10_000) + event(delta("foreign")),
    head(length=20) + event(delta("foreign")) + event(delta("smuggled")),
    whole("503 x", b"foreign"),
    whole("200 x", b"<html>foreign", "text/html"),
    b"HTTP/1.1 204 x\r\n\r\n",
    coded(gzipped(text_answer("foreign")), "x-unknown"),
    head() + chunk(BUSY) + chunk(event(delta("foreign"))) + b"0\r\n\r\n",
    b"garbage\r\n\r\n",
]


@pytest.mark.parametrize("after", ["the end", "leaving", "cancelling"])
async def test_fault_42_the_next_request_gets_only_its_own_bytes(after: str) -> None:
    """One pool, each misbehaviour in turn, and good requests behind each of them."""

    def answer(connection: Connection) -> None:
        what, number = re.findall(rb"(bad|good)-([0-9]+)", server.asked[-1][1])[0]
        how = MISBEHAVING[int(number)] if what == b"bad" else text_answer(f"mine-{number.decode()}")
        how(connection) if callable(how) else connection.send(how)

    async def misbehave(i: int) -> None:
        with suppress(ms.StreamError):
            async with model.stream_text(f"bad-{i}") as events:
                async for one in events:
                    if after == "leaving" and isinstance(one, ms.TextDelta):
                        return

    with Scripted(answer) as server:
        options: dict[str, Any] = {"base_url": server.url, "api_key": KEY, "timeouts": ms.Timeouts(idle=SOON)}
        model = ms.provider("openai:m", retry=None, **options)
        patient = ms.provider("openai:m", retry=AT_ONCE, **options)
        for i in range(len(MISBEHAVING)):
            with anyio.move_on_after(0.03 if after == "cancelling" else 5):
                await misbehave(i)
            for n in range(2):
                assert (await patient.generate_text(f"good-{10 * i + n}")).text == f"mine-{10 * i + n}"


@pytest.mark.xfail(
    not HAS_OWN_TRANSPORT, reason="httpcore2 keeps what follows an answer, and takes it for the next one: threat S5"
)
@pytest.mark.parametrize("first", [text_answer("foreign"), b"HTTP/1.1 204 x\r\n\r\n"])
async def test_fault_42_an_answer_too_many_is_not_taken_for_the_next(first: bytes) -> None:
    """What comes behind an answer in the same packet. (What comes after the next request was sent, nobody can tell.)"""
    with Scripted(first + text_answer("smuggled"), text_answer("mine"), text_answer("mine")) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY, retry=None)
        with suppress(ms.errors.UnexpectedContentType):
            await model.generate_text("hi")
        assert (await model.generate_text("hi")).text == "mine"
