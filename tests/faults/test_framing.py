"""Faults 32 to 37 and 40: line ends, BOM, NUL, bad UTF-8, every limit at its border, TLS, through whole streams."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
import trustme

import millstream as ms
from faults.invariants import Seen, comparable, read
from faults.proxy import Hurt, Proxy
from providers.live import chunk, head
from providers.test_errors import END, delta, event

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2.*garbage collected:ResourceWarning"),
]


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def decoded(body: bytes, size: int = 1 << 30, protocol: str = "openai-chat", **options: Any) -> Seen:
    return await read(ms.stream(pieces(body, size), protocol, **options))


A = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}'
TWO = b'data: {"choices":[{"index":0,\r\ndata:"delta":{"content":"a"}}]}'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'

BODIES = {
    "32 lf": (A + b"\n\n" + FINISH + b"\n\n", "a"),
    "32 cr": (A + b"\r\r" + FINISH + b"\r\r", "a"),
    "32 crlf": (A + b"\r\n\r\n" + FINISH + b"\r\n\r\n", "a"),
    "32 mixed": (A + b"\r\n\n" + A + b"\n\r\n" + FINISH + b"\r\n\r", "aa"),
    "32 mixed, two lines of data": (TWO + b"\r\r\n" + FINISH + b"\n\n", "a"),
    "33 bom": (b"\xef\xbb\xbf" + A + b"\n\n" + FINISH + b"\n\n", "a"),
    "33 two boms": (b"\xef\xbb\xbf\xef\xbb\xbf" + A + b"\n\n" + A + b"\n\n" + FINISH + b"\n\n", "a"),
    "33 bom in the middle": (A + b"\n\n\xef\xbb\xbf" + A + b"\n\n" + FINISH + b"\n\n", "a"),
    "33 bom in a text": (A.replace(b'"a"', b'"\xef\xbb\xbfa"') + b"\n\n" + FINISH + b"\n\n", "\ufeffa"),
    "34 nul in an id": (b"id: 1\x002\n" + A + b"\n\n" + FINISH + b"\n\n", "a"),
    "35 line separators": (
        A.replace(b'"a"', '"\u2028\u2029\x85"'.encode()) + b"\n\n" + FINISH + b"\n\n",
        "\u2028\u2029\x85",
    ),
    "35 an escaped pair": (A.replace(b'"a"', b'"\\ud83d\\ude00"') + b"\n\n" + FINISH + b"\n\n", "\U0001f600"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_fault_32_33_34_35_bytes_that_confuse_readers_of_lines(name: str) -> None:
    """At every cut the same; a BOM in the middle makes its line an unknown field, as the standard has it."""
    body, text = BODIES[name]
    whole = await decoded(body)
    assert (whole.text, whole.outcome) == (text, "Completed")
    for size in (1, 2, 3, 5, 7):
        assert (await decoded(body, size)).events == whole.events
    for at in range(len(body)):
        (await read(ms.stream(halves(body, at), "openai-chat"))).check(whole.events, "Completed")


async def halves(body: bytes, at: int) -> AsyncIterator[bytes]:
    yield body[:at]
    yield body[at:]


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\\ud800", b"\\udc00x"]
)
async def test_fault_35_what_is_no_unicode_is_replaced_or_an_error_but_never_a_broken_string(bad: bytes) -> None:
    body = A + b"\n\n" + A.replace(b'"a"', b'"' + bad + b'"') + b"\n\n" + FINISH + b"\n\n"
    whole = await decoded(body)
    assert whole.text.startswith("a")
    assert whole.outcome in ("Completed", "ProtocolError")
    assert b"".join(ms.events.encode_event(one) for one in whole.events).decode()
    for size in (1, 2, 3):
        assert comparable((await decoded(body, size)).events) == comparable(whole.events)


def sse(n: int) -> bytes:
    """An event that counts `n` bytes: its unfinished line, `data: ` included."""
    return b"data: " + b'{"choices":[],"x":"' + b"x" * (n - 27) + b'"}\n\n'


def ndjson(n: int) -> bytes:
    return b'{"done":false,"x":"' + b"x" * (n - 21) + b'"}\n'


@pytest.mark.parametrize(
    ("protocol", "make", "option"), [("openai-chat", sse, "max_event_bytes"), ("ollama", ndjson, "max_line_bytes")]
)
@pytest.mark.parametrize("limit", [100, 5000])
async def test_fault_36_a_limit_does_not_depend_on_the_cuts(protocol: str, make: Any, option: str, limit: int) -> None:
    limits = ms.Limits(**{option: limit})
    border = limit - 50
    while not await too_large(protocol, make(border + 1), limits):
        border += 1
    assert border in (limit, limit - 1), "the limit is what it says"
    for n in (border - 1, border, border + 1):
        for size in (1, 2, 3, 64, 1 << 30):
            seen = await decoded(make(n) + make(30) + make(30), size, protocol, limits=limits)
            if n > border:
                assert seen.outcome == "LimitExceeded"
                assert seen.error.option == option  # type: ignore[union-attr]
            else:
                assert seen.outcome == "Truncated"


async def too_large(protocol: str, body: bytes, limits: ms.Limits) -> bool:
    return (await decoded(body, 1 << 30, protocol, limits=limits)).outcome == "LimitExceeded"


@pytest.mark.parametrize("size", [1, 100])
async def test_fault_36_lines_and_names_count_together(size: int) -> None:
    """One counter for all that is kept of an event, so that no combination passes a limit."""
    limits = ms.Limits(max_event_bytes=1000)
    for body in (b"data: x\n" * 600, b"data:\n" * 1100, b"event: " + b"x" * 1100, b"id: " + b"x" * 1100, b"x" * 1100):
        assert (await decoded(body, size, limits=limits)).outcome == "LimitExceeded", body[:10]


def test_fault_36_lines_are_bounded_by_the_bytes_that_each_of_them_keeps() -> None:
    """M2: a line of data keeps one byte at least, its line end, so a cap on bytes is one on lines too."""
    parser = ms.SSEParser(max_event_bytes=1000)
    assert parser.feed(b"data:\n" * 993) == []  # the next line alone takes five
    assert parser.error is None
    with pytest.raises(ms.LimitExceeded) as caught:
        parser.feed(b"data:\n" * 10)
    assert caught.value.option == "max_event_bytes"


def test_fault_36_lines_that_are_not_kept_take_no_memory() -> None:
    parser = ms.SSEParser(max_event_bytes=1000)
    lines = b"id: 1\nevent: a\nretry: 5\nnobody: knows\n: comment\n" * 1000
    parser.feed(lines)
    tracemalloc.start()
    try:
        for _ in range(50):
            assert parser.feed(lines) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    (message,) = parser.feed(b"data: x\n\n")
    assert (message.id, message.event, message.retry, message.data) == ("1", "a", 5, "x")


def test_fault_37_numbers_depth_and_keys_of_an_object() -> None:
    """The table of verdicts; C, scalar C and the oracle in Python are compared in tests/core and tests/c."""
    for text, verdict in (
        (b"[" * 128 + b"]" * 128, None),
        (b"[" * 129 + b"]" * 129, ms.LimitExceeded),
        (b"9" * 4300, None),
        (b"9" * 4301, ms.LimitExceeded),
        (b"1e999", ms.errors.InvalidJSON),
        (b"NaN", ms.errors.InvalidJSON),
        (b"-Infinity", ms.errors.InvalidJSON),
        (b"-0", None),
        (b'{"a":1,"a":2}', None),
    ):
        for size in (1, len(text)):
            parser = ms.JSONParser()
            error = None
            try:
                for at in range(0, len(text), size):
                    parser.feed(text[at : at + size])
                parser.close()
                if parser.error is not None:
                    raise parser.error
            except ms.ParseError as caught:
                error = caught
            assert type(error) is type(None) if verdict is None else isinstance(error, verdict), (text[:20], error)
            if text == b'{"a":1,"a":2}':
                assert parser.value == {"a": 2}


# --- TLS -------------------------------------------------------------------------------------------------------------


AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1")


@contextmanager
def tls_server(body: bytes, polite: bool) -> Iterator[int]:
    """Answers each connection with `body`, then ends it: with close_notify, or as a cut cable would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    threads: list[threading.Thread] = []

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), raw, context.wrap_socket(raw, server_side=True) as sock:
            while b"{}" not in sock.recv(65536):
                pass
            sock.sendall(body)
            with suppress(OSError):
                if polite:
                    sock.unwrap()
                sock.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=[listener.accept()[0]]))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


CLIENT = ssl.create_default_context()
AUTHORITY.configure_trust(CLIENT)


async def over_tls(port: int) -> Seen:
    async with httpx2.AsyncClient(trust_env=False, verify=CLIENT, timeout=5) as client:
        return await read(ms.stream(client.stream("POST", f"https://127.0.0.1:{port}/", content=b"{}"), "openai-chat"))


UNFRAMED = head(length=None).replace(b"transfer-encoding: chunked\r\n", b"connection: close\r\n")
HEL = event(delta("Hel"))


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "cut"])
async def test_fault_40_tls_that_ends_without_a_goodbye_is_never_an_end(polite: bool) -> None:
    for body, outcomes in (
        (head() + chunk(HEL), ["TransportError"]),
        (UNFRAMED + HEL, ["Truncated", "TransportError"]),
        (head() + chunk(HEL + event(END) + b"data: [DONE]\n\n") + b"0\r\n\r\n", ["Completed"]),
    ):
        with tls_server(body, polite) as port:
            seen = await over_tls(port)
            assert seen.outcome in outcomes, seen.error
            assert seen.text == "Hel"


async def test_fault_40_a_damaged_tls_record_is_an_error_of_the_connection() -> None:
    body = head() + b"".join(chunk(event(delta(f"{i} "))) for i in range(200))
    with tls_server(body, True) as port, Proxy(port) as proxy:
        await over_tls(proxy.port)
        n = proxy.connections[-1].n_bytes
        for at in range(20, n, n // 12):
            proxy.hurt(Hurt("corrupt", at))
            seen = await over_tls(proxy.port)
            assert seen.outcome == "TransportError"
            assert "".join(f"{i} " for i in range(200)).startswith(seen.text)
