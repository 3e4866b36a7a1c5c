"""Exceptions of HTTP clients -> ours, by name, so that none of them has to be imported.

Source: the exception hierarchies of httpx 0.28, httpx2 2.16, aiohttp 3.14, requests 2.34,
niquests 3.21, anyio 4.
"""

from __future__ import annotations

from millstream.errors import ConnectionFailed, StreamError, StreamTimeout

__all__ = ["transport_error"]

TIMEOUTS = {
    "aiohttp.ServerTimeoutError",
    "builtins.TimeoutError",
    "httpx.TimeoutException",
    "httpx2.TimeoutException",
    "niquests.Timeout",
    "requests.Timeout",
}
FAILURES = {
    "aiohttp.ClientConnectionError",
    "aiohttp.ClientPayloadError",
    "anyio.BrokenResourceError",
    "builtins.ConnectionError",
    "httpx.DecodingError",
    "httpx.TransportError",
    "httpx2.DecodingError",
    "httpx2.TransportError",
    "niquests.ChunkedEncodingError",
    "niquests.ConnectionError",
    "niquests.ContentDecodingError",
    "requests.ChunkedEncodingError",
    "requests.ConnectionError",
    "requests.ContentDecodingError",
    "ssl.SSLError",
}


def transport_error(error: Exception, provider: str) -> StreamError | None:
    """Return our exception for a failure of the connection, None for any other exception.

    The text names only the class: the client's own text stays in `__cause__`, which the caller sets.
    """
    names = {f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(error).__mro__}
    said = type(error).__name__
    if names & TIMEOUTS:
        return StreamTimeout(f"{provider}: the HTTP client gave up waiting ({said})", provider=provider)
    if names & FAILURES:
        return ConnectionFailed(f"{provider}: the connection failed ({said})", provider=provider)
    return None
