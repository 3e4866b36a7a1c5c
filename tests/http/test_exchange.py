"""The parser alone: however the bytes are cut, the same comes out; what is no body is bounded."""

from __future__ import annotations

import random
from itertools import pairwise

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.http.bare import answer, chunked
from tests.http.test_differential import RESPONSES, STRICTER

from millstream.http._exchange import Exchange
from millstream.http._limits import MAX_OVERHEAD_BYTES

SMALL = [data for data, _ in [*RESPONSES.values(), *STRICTER.values()] if 0 < len(data) < 5000]


def outcome(data: list[bytes], method: bytes = b"GET") -> tuple[object, ...]:
    exchange = Exchange(method)
    body = b""
    for piece in data:
        exchange.feed(piece)
        if exchange.parts:
            body += exchange.take()
    exchange.feed_eof()
    assert exchange.is_complete or exchange.error is not None
    return (
        exchange.status,
        exchange.reason if exchange.is_answered else b"",
        exchange.headers if exchange.is_answered else [],
        exchange.is_complete,
        body if exchange.is_answered else b"",
        type(exchange.error) if not exchange.is_complete else None,
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("data", SMALL)
def test_byte_by_byte(data: bytes, method: bytes) -> None:
    assert outcome([data[at : at + 1] for at in range(len(data))], method) == outcome([data], method)


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(SMALL), cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_cut_anywhere(data: bytes, cuts: list[int]) -> None:
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert outcome([data[a:b] for a, b in pairwise(ends)]) == outcome([data])


@settings(max_examples=500, deadline=None)
@given(data=st.sampled_from(SMALL), seed=st.integers(0, 2**32))
def test_whatever_comes_nothing_is_raised(data: bytes, seed: int) -> None:
    dice = random.Random(seed)
    mutated = bytearray(data)
    for _ in range(dice.randrange(1, 6)):
        mutated[dice.randrange(len(mutated))] = dice.randrange(256)
    found = outcome([bytes(mutated)])
    assert outcome([bytes(mutated[at : at + 1]) for at in range(len(mutated))]) == found


def test_a_complete_response_is_reusable_if_nothing_follows() -> None:
    for data, reusable in [
        (answer(b"ab"), True),
        (chunked(b"ab"), True),
        (answer(b"ab", "connection: close"), False),
        (answer(b"ab") + b"x", False),
        (answer(b"ab") + answer(b"cd"), False),
    ]:
        exchange = Exchange(b"GET")
        exchange.feed(data)
        assert exchange.take() == b"ab"
        assert (exchange.is_complete, exchange.is_reusable) == (True, reusable), data


@pytest.mark.parametrize("body", [b"ab", b"abc", b"a"])
def test_the_answer_to_head_has_no_body(body: bytes) -> None:
    exchange = Exchange(b"HEAD")
    exchange.feed(answer(b"ab")[:-2])
    assert exchange.is_complete
    assert exchange.is_reusable
    exchange.feed(body)
    assert not exchange.is_reusable
    exchange = Exchange(b"HEAD")
    exchange.feed(answer(b"ab")[:-2] + body)
    assert exchange.parts == []
    assert not exchange.is_reusable


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\nx: ",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ",
    ],
)
def test_what_is_no_body_is_bounded(begin: bytes) -> None:
    more = b"y: z\r\n" * 100 if begin.endswith(b"OK\r\n") else b"y" * 600
    exchange = Exchange(b"GET")
    exchange.feed(begin)
    n_bytes = 0
    while exchange.error is None and n_bytes < 2 * MAX_OVERHEAD_BYTES:
        exchange.feed(more)
        n_bytes += len(more)
    assert isinstance(exchange.error, httpx2.RemoteProtocolError)
    assert n_bytes <= MAX_OVERHEAD_BYTES + len(more)


def test_interim_responses_are_bounded_too() -> None:
    exchange = Exchange(b"GET")
    for _ in range(10_000):
        exchange.feed(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        if exchange.error is not None:
            break
    assert isinstance(exchange.error, httpx2.RemoteProtocolError)
    assert exchange.headers == []


def test_a_long_stream_is_no_overhead() -> None:
    exchange = Exchange(b"GET")
    exchange.feed(chunked(end=b""))
    for _ in range(50_000):
        exchange.feed(b"1\r\nx\r\n")
        assert exchange.take() == b"x"
    assert exchange.error is None


def test_what_came_before_an_error_is_kept() -> None:
    exchange = Exchange(b"GET")
    exchange.feed(chunked(b"ab", b"cd", end=b"zz\r\n"))
    assert exchange.take() == b"abcd"
    assert isinstance(exchange.error, httpx2.RemoteProtocolError)
