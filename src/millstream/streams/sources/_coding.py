"""Content codings of a response: which can be read, and how much a byte of them may become (M10).

The HTTP client undoes them. Clients leave what they do not know as it is, which would look like a broken stream; and a
few bytes of a compressed body may mean gigabytes. Source: RFC 9110 8.4.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from millstream.errors import LimitExceeded
from millstream.limits import Limits
from millstream.streams._pull import close_iterator

__all__ = ["Inflated", "codings", "unreadable"]

ALWAYS = {"gzip", "x-gzip", "deflate"}
IF_ASKED = {"br", "zstd"}  # only clients with an extra package can undo these, and then they ask for them
FREE_BYTES = 1024 * 1024  # what comes out before the ratio counts


def codings(response: Any) -> list[str]:
    """Return the content codings in the order in which they were applied."""
    given = response.headers.get("content-encoding", "").split(",")
    return [name for name in (each.strip().lower() for each in given) if name not in ("", "identity")]


def unreadable(response: Any) -> str:
    """Return the codings of a response if they cannot be undone (several, or one that no client knows), else ""."""
    found = codings(response)
    asked = getattr(getattr(response, "request", None), "headers", {}).get("accept-encoding", "")
    known = ALWAYS | {name for name in IF_ASKED if name in asked}
    return "" if not found or (len(found) == 1 and found[0] in known) else ", ".join(found)


class Inflated(AsyncIterator[bytes]):
    """The decoded body of a response with a content coding. Raises LimitExceeded if it grows beyond all measure."""

    def __init__(self, response: Any, limits: Limits) -> None:
        self._response = response
        self._chunks = response.aiter_bytes()
        self._most = limits.max_inflation
        self._n_bytes = 0

    async def __anext__(self) -> bytes:
        chunk: bytes = await anext(self._chunks)
        self._n_bytes += len(chunk)
        came = getattr(self._response, "num_bytes_downloaded", self._n_bytes)
        if self._n_bytes > FREE_BYTES and self._n_bytes > came * self._most:
            raise LimitExceeded(
                f"a compressed body grew to more than {self._most} times of what was sent (Limits.max_inflation)",
                option="max_inflation",
                limit=self._most,
                reason="inflation",
            )
        return chunk

    async def aclose(self) -> None:
        """Close the iterator over the body."""
        await close_iterator(self._chunks)
