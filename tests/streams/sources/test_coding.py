"""Content codings that are undone here, for clients that do not say how much they were sent."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest

import millstream as ms
from millstream.streams.sources._coding import PIECE_BYTES, measured, unpacked

TEXT = b'data: {"a": 1}\n\n' * 20_000
PACKED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
    "deflate": zlib.compress(TEXT),
}
BARE = zlib.compress(TEXT, wbits=-15)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 100, 10**6])
@pytest.mark.parametrize(("coding", "data"), [*PACKED.items(), ("deflate", BARE)])
def test_any_cut_gives_the_text_in_pieces_of_a_bounded_size(coding: str, data: bytes, size: int) -> None:
    got = list(unpacked(pieces(data, size), coding, ms.limits.DEFAULT_LIMITS, "acme"))
    assert b"".join(got) == TEXT
    assert max(map(len, got)) <= PIECE_BYTES


@pytest.mark.parametrize("size", [1, 10**6])
def test_what_follows_the_end_is_left_out(size: int) -> None:
    data = PACKED["gzip"] + b"\0" * 10
    assert b"".join(unpacked(pieces(data, size), "gzip", ms.limits.DEFAULT_LIMITS, "acme")) == TEXT


@pytest.mark.parametrize(("coding", "data"), [("gzip", b"no gzip"), ("deflate", b"\xff\xff\xff")])
def test_bytes_of_another_kind_are_a_failure_of_the_connection(coding: str, data: bytes) -> None:
    with pytest.raises(ms.ConnectionFailed, match="damaged"):
        list(unpacked([data], coding, ms.limits.DEFAULT_LIMITS, "acme"))


@pytest.mark.parametrize("data", [b"", b"\x1f", PACKED["gzip"][:50]])
def test_what_is_cut_off_ends_where_it_ends(data: bytes) -> None:
    """Whether that was the end is for the decoder to say."""
    assert TEXT.startswith(b"".join(unpacked([data], "gzip", ms.limits.DEFAULT_LIMITS, "acme")))


def test_a_bomb_ends_when_it_has_grown_beyond_measure() -> None:
    data, got = gzip.compress(bytes(30_000_000)), bytearray()
    with pytest.raises(ms.LimitExceeded) as caught:
        got.extend(b"".join(unpacked([data], "gzip", ms.limits.DEFAULT_LIMITS, "acme")))
    assert (caught.value.option, caught.value.limit) == ("max_inflation", 200)
    for piece in unpacked([data[:1000]], "gzip", ms.limits.DEFAULT_LIMITS, "acme"):  # below a MiB nothing counts
        got += piece
    assert 200 * 1000 < len(got) <= 2**20


def test_a_body_of_a_client_that_says_how_much_it_was_sent_is_measured_by_that() -> None:
    httpx2 = pytest.importorskip("httpx2")

    def read(data: bytes, got: bytearray) -> None:
        response = httpx2.Response(200, headers={"content-encoding": "gzip"}, content=pieces(data, 1000))
        for piece in measured(response, response.iter_bytes(), ms.limits.DEFAULT_LIMITS):
            got += piece

    got = bytearray()
    read(PACKED["gzip"], got)
    assert got == TEXT
    with pytest.raises(ms.LimitExceeded) as caught:
        read(gzip.compress(bytes(30_000_000)), got)
    assert (caught.value.option, caught.value.limit) == ("max_inflation", 200)
    assert len(got) - len(TEXT) < 3_000_000
