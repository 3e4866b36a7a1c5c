"""`SSEError`, caught by whoever catches the transport errors of the HTTP client that is installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from millstream.errors import MissingExtra

__all__ = ["SSEError"]


def _transport_errors() -> tuple[type[Exception], ...]:
    found = tuple(import_module(name).TransportError for name in ("httpx", "httpx2") if find_spec(name))
    if not found:
        raise MissingExtra("millstream.compat.httpx_sse needs an HTTP client: pip install httpx2 (or httpx)")
    return found


if TYPE_CHECKING:

    class SSEError(Exception):
        """The response is not an event stream. A TransportError of httpx and of httpx2, whichever are installed."""

else:
    SSEError = type(
        "SSEError",
        _transport_errors(),
        {"__module__": "millstream.compat.httpx_sse", "__doc__": "The response is not an event stream."},
    )
