"""MCP over streamable HTTP: one JSON-RPC message per SSE message, each handed on as `Raw`.

Notifications and the server's own requests come first; the response is the end, an error response is an `Error`.
Not known here: ids of requests (so a batch, which the protocol gave up in 2025, ends with its first response), and what
resumes a connection: read `id` and `retry` with `SSEParser`. Source: PROTOCOLS.md section 10.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import InvalidRequest, ProviderError
from millstream.events import Raw
from millstream.protocols._base import SSEDecoder
from millstream.protocols._values import label

__all__ = ["MCPDecoder"]

# JSON-RPC: parse error, invalid request, no such method, invalid parameters.
CALLERS_FAULT = (-32700, -32600, -32601, -32602)


class MCPDecoder(SSEDecoder):
    """`event: message`, `data: {"jsonrpc":"2.0", ...}`."""

    name = "mcp-sse"
    gives = (Raw,)

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        error = obj.get("error")
        if isinstance(error, dict):
            code = label(error.get("code"))
            cls = InvalidRequest if error.get("code") in CALLERS_FAULT else ProviderError
            said = label(error.get("message"))[:500] or "no message"
            self._fail(cls(f"{self.provider} answered {code}: {said}", code=code, provider=self.provider))
            return
        self._emit(Raw(message.data, message.event))
        if "result" in obj:
            self._end(terminated=True)
