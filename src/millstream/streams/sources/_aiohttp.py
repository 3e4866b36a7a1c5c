"""A response of aiohttp with the names of httpx2. aiohttp is not imported; its response is known by what it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

__all__ = ["AiohttpResponse", "as_response"]


class AiohttpResponse:
    """See `Response`. Args: response: an `aiohttp.ClientResponse`. Source: aiohttp 3.14."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.status_code: int = response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers, found without regard to case."""
        headers: Mapping[str, str] = self._response.headers
        return headers

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Iterate over what arrives of the body, content codings undone."""
        return aiter(self._response.content.iter_any())

    async def aclose(self) -> None:
        """Release the connection: to the pool if the body was read to its end, else it is closed."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def as_response(response: Any) -> Any:
    """Return a response of aiohttp as `Response`, anything else as it is."""
    if hasattr(response, "status_code") or not hasattr(getattr(response, "content", None), "iter_any"):
        return response
    return AiohttpResponse(response)
