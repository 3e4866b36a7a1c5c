"""pydantic-ai as a source: the events of a run -> ours.

    async with agent.run_stream_events("Plan my trip") as run, events(run) as stream: ...

Takes `AgentStreamEvent`s: from `Agent.run_stream_events`, from the `event_stream_handler` of `Agent.run`, or from a
model's own stream. What has no counterpart here comes as `Data`. Source: pydantic-ai 2.68, `messages.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from millstream.compat import _objects
from millstream.events import (
    Data,
    Event,
    File,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    TextDelta,
    ToolResult,
    Usage,
)
from millstream.protocols._base import ANSWER
from millstream.protocols._values import count
from millstream.streams import Stream

__all__ = ["PydanticAIDecoder", "events"]

# Said already: the call by its parts, the end of the output by what follows.
SILENT = {"final_result", "function_tool_call", "output_tool_call"}


def events(run: AsyncIterable[Any]) -> Stream[Event]:
    """Return the events of a run.

    Args: run: what `agent.run_stream_events(...)` gives, or any async iterable of such events.
    Returns: a Stream that has opened nothing yet. What pydantic-ai raises is raised unchanged.
    """
    return _objects.aiter_events(run, PydanticAIDecoder())


class PydanticAIDecoder(_objects.ObjectDecoder):
    """`PartStartEvent`, `PartDeltaEvent`, `PartEndEvent`, the results of tools, `AgentRunResultEvent`."""

    name = "pydantic-ai"
    gives = (*ANSWER, ToolResult, ProviderToolCall, ProviderToolResult, File, Data)
    reasons = {
        "stop": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "content_filter": FinishReason.CONTENT_FILTER,
        "tool_call": FinishReason.TOOL_CALLS,
        "error": FinishReason.ERROR,
    }

    def _item(self, item: Any) -> None:
        kind = item.event_kind
        if kind == "part_start":
            if item.index == 0:
                self._next_answer()
            self._part(item.index, item.part)
        elif kind == "part_delta":
            self._delta(item.index, item.delta)
        elif kind == "part_end":
            self._part_end(item.index, item.part)
        elif kind in ("function_tool_result", "output_tool_result"):
            self._result(item.part)
        elif kind == "agent_run_result":
            self._usage = _usage(item.result.usage)
            response = item.result.response
            self._finish(response.finish_reason or "stop")
        elif kind not in SILENT:
            self._emit(Data(item, kind))

    def _next_answer(self) -> None:
        for call in self._tools.finish(0, cut=False):
            self._emit(call)

    def _part(self, index: int, part: Any) -> None:
        kind = part.part_kind
        if kind == "text":
            self._text(part.content, index)
        elif kind == "thinking":
            self._thought(part.content, part.signature, index)
        elif kind == "tool-call":
            self._emit(self._tools.fragment(index, part.tool_call_id, part.tool_name, part.args))
        elif kind == "file":
            self._emit(File(part.content.media_type, part.content.data, index=index))
        elif kind == "builtin-tool-return":
            result = ProviderToolResult(part.tool_call_id, part.tool_name, part.model_response_object(), index=index)
            self._emit(result)
        elif kind != "builtin-tool-call":  # that one is told when it is whole
            self._emit(Data(part, kind))

    def _delta(self, index: int, delta: Any) -> None:
        kind = delta.part_delta_kind
        if kind == "text":
            self._text(delta.content_delta, index)
        elif kind == "thinking":
            self._thought(delta.content_delta, delta.signature_delta, index)
        elif kind != "tool_call":
            self._emit(Data(delta, kind))
        elif index in self._tools:  # else it is of a provider's tool
            self._emit(self._tools.fragment(index, delta.tool_call_id or "", "", delta.args_delta))

    def _part_end(self, index: int, part: Any) -> None:
        if part.part_kind == "tool-call":
            call = self._tools.done(index)
            if call is not None:
                self._emit(call)
        elif part.part_kind == "builtin-tool-call":
            self._emit(ProviderToolCall(part.tool_call_id, part.tool_name, part.args_as_dict(), index))

    def _text(self, piece: str, index: int) -> None:
        if piece:
            self._emit(TextDelta(piece, index))

    def _thought(self, piece: str | None, signature: str | None, index: int) -> None:
        if piece or signature:
            self._emit(ReasoningDelta(piece or "", index, signature=signature or None))

    def _result(self, part: Any) -> None:
        if part.part_kind == "retry-prompt" or getattr(part, "outcome", "success") != "success":
            said = part.model_response() if part.part_kind == "retry-prompt" else part.model_response_str()
            self._emit(ToolResult(part.tool_call_id, part.tool_name or "", error=said))
        else:
            self._emit(ToolResult(part.tool_call_id, part.tool_name, part.content))


def _usage(usage: Any) -> Usage:
    if not hasattr(usage, "input_tokens"):  # a method in older versions
        usage = usage()
    return Usage(
        count(usage.input_tokens),
        count(usage.output_tokens),
        count(usage.input_tokens + usage.output_tokens),
        count(usage.cache_read_tokens),
        count(usage.cache_write_tokens),
        count(usage.details.get("reasoning_tokens")),
    )
