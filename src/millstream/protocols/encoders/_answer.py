"""What the encoders of other providers' wires share: the calls that their client shall run, and the cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from millstream.events import ToolResult, Usage
from millstream.protocols.encoders._calls import ClientCalls
from millstream.protocols.encoders._sse import SSEEncoder

__all__ = ["AnswerEncoder"]


class AnswerEncoder(SSEEncoder):
    """One answer of a model. A wire's `_writers` begin with `SHARED`."""

    def __init__(self, *, expose_errors: bool = True) -> None:
        super().__init__(expose_errors=expose_errors)
        self._calls = ClientCalls()
        self._call_prefix = "call_"
        """Of the id that a call without one gets."""
        self._usage: Usage | None = None

    def _tool_result(self, event: ToolResult) -> bytes:
        self._calls.answered(event.id)
        return b""

    def _note_usage(self, event: Usage) -> bytes:
        self._usage = event
        return b""

    SHARED: ClassVar[dict[type, Callable[[Any, Any], bytes]]] = {ToolResult: _tool_result, Usage: _note_usage}
