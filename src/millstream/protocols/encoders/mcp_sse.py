"""MCP over streamable HTTP: JSON-RPC messages passed on, or an answer as the result of a tool call.

`Raw` events that hold a JSON-RPC message go out as they are; the first response is the end. With `request_id` the other
events become a response of our own: text and files its content, `Error` an error response; with `progress_token` too,
each piece of text is also a progress notification.

Not expressible, gives b"": answers but the first (`n` > 1), reasoning, tool calls and their results (the provider's
too), ObjectDelta, Handoff, Data, StepStart, StepFinish, Usage, Safety, warnings (`Error` that is not fatal), Raw that
is no JSON-RPC, files that are neither bytes nor an address; without `request_id` all but Raw and Error.
Not expressible, left out: of Citations all but address and title; why an answer ended.
An answer that was cut off (`FinishReason.INCOMPLETE`, or no `Finish`) gets no response. Source: PROTOCOLS.md section
10, MCP 2025-11-25 (transports, progress, tools).
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from orjson import JSONDecodeError, loads

from millstream.errors import InvalidRequest, ProviderError
from millstream.events import Citations, Error, File, Finish, FinishReason, Raw, Start, TextDelta
from millstream.protocols.encoders._sse import SSEEncoder, json_data, json_text, sse_message

__all__ = ["MCPEncoder"]

INVALID_REQUEST, INTERNAL_ERROR = -32600, -32603


class MCPEncoder(SSEEncoder):
    """`event: message`, `data: {"jsonrpc":"2.0", ...}`.

    Args:
        request_id: of the `tools/call` request that the events answer; None: JSON-RPC messages are only passed on.
        progress_token: what the request has in `_meta.progressToken`; None: no progress is told.
        expose_errors: send the messages of errors, instead of a sentence for their kind.
    """

    name = "mcp-sse"

    def __init__(
        self,
        *,
        request_id: int | str | None = None,
        progress_token: int | str | None = None,
        expose_errors: bool = True,
    ) -> None:
        super().__init__(expose_errors=expose_errors)
        self._request_id = request_id
        self._progress_token = progress_token
        self._progress = 0
        self._texts: list[str] = []
        self._content: list[dict[str, Any]] = []

    def _begin(self, start: Start) -> bytes:
        return b""

    def _say(self, **members: Any) -> bytes:
        return json_data({"jsonrpc": "2.0", **members}, "message")

    def _raw(self, event: Raw) -> bytes:
        try:
            message = loads(event.data)
        except JSONDecodeError:
            return b""
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return b""
        out = sse_message(event.data, event.event or "message")
        if "method" not in message and ("result" in message or "error" in message):
            self._live = False
        return out

    def _text(self, event: TextDelta) -> bytes:
        if event.choice or self._request_id is None:
            return b""
        out = b""
        if self._progress_token is None:
            json_text(event.text)
        else:
            told = {"progressToken": self._progress_token, "progress": self._progress + 1, "message": event.text}
            out = self._say(method="notifications/progress", params=told)
        self._progress += 1
        self._texts.append(event.text)
        return out

    def _file(self, event: File) -> bytes:
        kind = event.media_type.partition("/")[0]
        block: dict[str, Any] = {"mimeType": event.media_type}
        if event.data and kind in ("image", "audio"):
            block |= {"type": kind, "data": b64encode(event.data).decode()}
        elif event.data:
            name = f"file:///{len(self._content)}"
            block = {"type": "resource", "resource": {"uri": name, **block, "blob": b64encode(event.data).decode()}}
        elif event.url:
            block |= {"type": "resource_link", "uri": event.url, "name": event.url}
        else:
            return b""
        return self._add(block)

    def _citations(self, event: Citations) -> bytes:
        links = [(source.url, source.title or source.url) for source in event.citations if source.url]
        return self._add(*({"type": "resource_link", "uri": url, "name": title} for url, title in links))

    def _add(self, *blocks: dict[str, Any]) -> bytes:
        json_text(blocks)
        self._end_text()
        self._content += blocks
        return b""

    def _end_text(self) -> None:
        if self._texts:
            self._content.append({"type": "text", "text": "".join(self._texts)})
            self._texts = []

    def _error(self, event: Error) -> bytes:
        if not event.fatal:
            return b""
        error = event.error
        code = INVALID_REQUEST if isinstance(error, InvalidRequest) else INTERNAL_ERROR
        if isinstance(error, ProviderError) and error.code.lstrip("-").isdecimal():
            code = int(error.code)
        out = self._say(id=self._request_id, error={"code": code, "message": self._words(error)})
        self._live = False
        return out

    def _finish(self, event: Finish) -> bytes:
        self._live = False
        if self._request_id is None or event.reason is FinishReason.INCOMPLETE:
            return b""
        if event.reason is FinishReason.ERROR:
            failed = {"code": INTERNAL_ERROR, "message": "the answer ended with an error"}
            return self._say(id=self._request_id, error=failed)
        self._end_text()
        return self._say(id=self._request_id, result={"content": self._content, "isError": False})

    _writers = {Citations: _citations, Error: _error, File: _file, Finish: _finish, Raw: _raw, TextDelta: _text}
