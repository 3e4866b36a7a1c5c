"""Content codings of a response: which can be read, and how much a byte of them may become (M10).

The HTTP client undoes them, or `unpacked` does for clients that do not say how much they were sent. Clients leave what
they do not know as it is, which would look like a broken stream; and a few bytes of a compressed body may mean
gigabytes. Source: RFC 9110 8.4.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from millstream.errors import ConnectionFailed, LimitExceeded, UnexpectedContentType
from millstream.limits import Limits
from millstream.streams._pull import close_iterator

__all__ = ["UNPACKED", "Inflated", "codings", "measured", "refuse_unreadable", "unpacked"]

UNPACKED = {"gzip", "x-gzip", "deflate"}
"""What clients can always undo, and `unpacked` too."""
IF_ASKED = {"br", "zstd"}  # only clients with an extra package can undo these, and then they ask for them
FREE_BYTES = 1024 * 1024  # what comes out before the ratio counts
PIECE_BYTES = 64 * 1024
TAKE_BYTES = 16 * 1024  # zlib copies what it has not read yet for each piece
ANY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib
GZIP = b"\x1f\x8b"


def codings(response: Any) -> list[str]:
    """Return the content codings in the order in which they were applied."""
    given = response.headers.get("content-encoding", "").split(",")
    return [name for name in (each.strip().lower() for each in given) if name not in ("", "identity")]


def refuse_unreadable(response: Any, provider: str) -> None:
    """Raise UnexpectedContentType if the codings cannot be undone: several, or one that no client knows."""
    found = codings(response)
    asked = getattr(getattr(response, "request", None), "headers", {}).get("accept-encoding", "")
    known = UNPACKED | {name for name in IF_ASKED if name in asked}
    if found and (len(found) > 1 or found[0] not in known):
        raise UnexpectedContentType(
            f"{provider} sent content encoding {', '.join(found)!r}, which cannot be undone here",
            content_type=response.headers.get("content-type", ""),
            provider=provider,
        )


class Inflated(AsyncIterator[bytes]):
    """The decoded body of a response with a content coding. Raises LimitExceeded if it grows beyond all measure."""

    def __init__(self, response: Any, limits: Limits) -> None:
        self._response = response
        self._chunks = response.aiter_bytes()
        self._measure = _Measure(limits)

    async def __anext__(self) -> bytes:
        chunk: bytes = await anext(self._chunks)
        self._measure.add(chunk, getattr(self._response, "num_bytes_downloaded", None))
        return chunk

    async def aclose(self) -> None:
        """Close the iterator over the body."""
        await close_iterator(self._chunks)


def measured(response: Any, chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """Give the decoded chunks of a response that knows `num_bytes_downloaded`. Raises: LimitExceeded."""
    measure = _Measure(limits)
    for chunk in chunks:
        measure.add(chunk, response.num_bytes_downloaded)
        yield chunk


def unpacked(chunks: Iterable[bytes], coding: str, limits: Limits, provider: str) -> Iterator[bytes]:
    """Undo a coding of `UNPACKED`, in pieces of at most 64 KiB. What follows its end is left out, as clients do.

    Raises: LimitExceeded. ConnectionFailed: the bytes are not of this coding.
    """
    measure, came, head = _Measure(limits), 0, b""
    inflate, ended = None, False
    for chunk in (whole[at : at + TAKE_BYTES] for whole in chunks for at in range(0, len(whole), TAKE_BYTES)):
        came += len(chunk)
        left, head = head + chunk, b""
        while left:
            if inflate is None:
                if len(left) < len(GZIP):
                    head = left
                    break
                if ended and not left.startswith(GZIP):
                    return
                inflate = _inflater(coding, left)  # there may be several, one after the other
            try:
                piece = inflate.decompress(left, PIECE_BYTES)
            except zlib.error as error:
                raise ConnectionFailed(f"{provider}: the compressed body is damaged", provider=provider) from error
            if piece:
                measure.add(piece, came)
                yield piece
            left = inflate.unconsumed_tail
            if inflate.eof:
                left, inflate, ended = inflate.unused_data, None, True


def _inflater(coding: str, head: bytes) -> Any:
    bare = coding == "deflate" and (head[0] & 15 != 8 or int.from_bytes(head[:2], "big") % 31)
    return zlib.decompressobj(
        -zlib.MAX_WBITS if bare else ANY_HEADER
    )  # bare: without a header, as some servers send it


class _Measure:
    def __init__(self, limits: Limits) -> None:
        self._most = limits.max_inflation
        self._n_bytes = 0

    def add(self, chunk: bytes, came: int | None) -> None:
        """Count what came out. `came`: of the body so far as it was sent, None if nobody knows."""
        self._n_bytes += len(chunk)
        if came is not None and self._n_bytes > FREE_BYTES and self._n_bytes > came * self._most:
            raise LimitExceeded(
                f"a compressed body grew to more than {self._most} times of what was sent (Limits.max_inflation)",
                option="max_inflation",
                limit=self._most,
                reason="inflation",
            )
