"""httpx-sse's own names on millstream's parser: `from millstream.compat import httpx_sse` in the place of
`import httpx_sse`. For clients of httpx and of httpx2.

The same interface and the same events, except where httpx-sse departs from the standard: see docs/howto/drop_in.md.
Source: httpx-sse 0.4.3, https://github.com/florimondmanca/httpx-sse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.compat.httpx_sse._api import EventSource, aconnect_sse, connect_sse
from millstream.compat.httpx_sse._models import ServerSentEvent

if TYPE_CHECKING:
    from millstream.compat.httpx_sse._exceptions import SSEError as SSEError

__all__ = ["EventSource", "SSEError", "ServerSentEvent", "__version__", "aconnect_sse", "connect_sse"]

__version__ = "0.4.3"
"""The version of httpx-sse whose behaviour this is."""


def __getattr__(name: str) -> Any:
    # The base class of SSEError is httpx's or httpx2's: neither is imported before it is needed.
    if name == "SSEError":
        from millstream.compat.httpx_sse._exceptions import SSEError

        return SSEError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
