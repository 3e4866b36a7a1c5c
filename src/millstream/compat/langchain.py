"""LangChain as a source: message chunks -> events.

    async with events(model.astream("Why is the sky blue?")) as stream: ...

Takes what `astream` and `stream` give: message chunks, the `(chunk, metadata)` pairs of LangGraph's
`stream_mode="messages"`, whole messages, text. Source: langchain-core 1.7, `messages/ai.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any

from orjson import dumps

from millstream.compat import _objects
from millstream.events import Event, FinishReason, Raw, ReasoningDelta, TextDelta, ToolResult, Usage
from millstream.protocols._base import ANSWER
from millstream.protocols._values import count, label, text
from millstream.streams import Stream

__all__ = ["LangChainDecoder", "events", "iter_events"]

# What stands in `content` also stands in `tool_call_chunks` or `tool_calls`.
TOOLS = {"tool_use", "input_json_delta", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call"}


def events(chunks: AsyncIterable[Any]) -> Stream[Event]:
    """Return the events of one answer, or of one run of a graph.

    Args: chunks: `model.astream(...)`, `chain.astream(...)`, or `graph.astream(..., stream_mode="messages")`.
    Returns: a Stream that has opened nothing yet. What LangChain raises is raised unchanged.
    """
    return _objects.aiter_events(chunks, LangChainDecoder())


def iter_events(chunks: Iterable[Any]) -> Iterator[Event]:
    """Give the events of `model.stream(...)`, synchronously."""
    return _objects.iter_events(chunks, LangChainDecoder())


class LangChainDecoder(_objects.ObjectDecoder):
    """`AIMessageChunk(content, tool_call_chunks, usage_metadata, response_metadata)` and its like."""

    name = "langchain"
    gives = (*ANSWER, ToolResult)
    # LangChain passes the providers' own words on.
    reasons = {
        "stop": FinishReason.STOP,
        "STOP": FinishReason.STOP,
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "completed": FinishReason.STOP,
        "COMPLETE": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "max_tokens": FinishReason.LENGTH,
        "MAX_TOKENS": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "tool_use": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
        "refusal": FinishReason.CONTENT_FILTER,
        "SAFETY": FinishReason.CONTENT_FILTER,
        "pause_turn": FinishReason.PAUSE,
    }

    def _restart(self) -> None:
        super()._restart()
        self._answer = ""  # the id of the message under way: a graph gives several
        self._n_unnumbered = 0

    def _item(self, item: Any) -> None:
        if isinstance(item, tuple):
            item = item[0]
        if isinstance(item, str):
            self._text(item, 0)
        elif item.type in ("AIMessageChunk", "ai"):
            self._answer_chunk(item)
        elif item.type == "tool":
            failed = item.status == "error"
            content = item.content
            result = ToolResult(item.tool_call_id, label(item.name), None if failed else content)
            self._emit(result if not failed else ToolResult(result.id, result.name, error=str(content)))
        else:
            self._emit(Raw(item.model_dump_json(), label(item.type)))

    def _answer_chunk(self, chunk: Any) -> None:
        if self._answer and chunk.id and chunk.id != self._answer:
            for call in self._tools.finish(0, cut=False):  # another model call of the same run
                self._emit(call)
        self._answer = chunk.id or self._answer
        about = chunk.response_metadata
        self._model = self._model or label(about.get("model_name") or about.get("model"))
        self._id = self._id or label(chunk.id)
        self._begin()
        thought = chunk.additional_kwargs.get("reasoning_content")
        if thought:
            self._emit(ReasoningDelta(text(thought)))
        if isinstance(chunk.content, str):
            self._text(chunk.content, 0)
        else:
            for position, block in enumerate(chunk.content):
                self._block(block, position)
        self._calls(chunk)
        if chunk.usage_metadata:
            self._usage = _added(self._usage, chunk.usage_metadata)
        reason = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
        if reason:
            self._finish(str(reason))

    def _text(self, piece: str, index: int) -> None:
        if piece:
            self._emit(TextDelta(piece, index))

    def _block(self, block: Any, position: int) -> None:
        if isinstance(block, str):
            self._text(block, position)
            return
        kind, index = block.get("type"), block.get("index")
        if type(index) is not int:
            index = position
        if kind == "text":
            self._text(text(block.get("text") or ""), index)
        elif kind in ("thinking", "reasoning"):
            words = block.get("thinking") or block.get("reasoning") or ""
            signature = block.get("signature") or (block.get("extras") or {}).get("signature")
            if words or signature:
                self._emit(ReasoningDelta(text(words), index, signature=signature or None))
        elif kind == "redacted_thinking":
            self._emit(ReasoningDelta("", index, encrypted=text(block.get("data"))))
        elif kind not in TOOLS:
            self._emit(Raw(dumps(block).decode(), label(kind)))

    def _calls(self, chunk: Any) -> None:
        pieces = getattr(chunk, "tool_call_chunks", None)
        if pieces is None:  # a whole message, not a chunk
            pieces = [{**call, "index": None} for call in chunk.tool_calls]
        for piece in pieces:
            key = piece.get("index")
            if key is None:
                self._n_unnumbered += bool(piece.get("id") or piece.get("name"))
                key = f"unnumbered {self._n_unnumbered}"
            self._emit(self._tools.fragment(key, label(piece.get("id")), label(piece.get("name")), piece.get("args")))


def _added(usage: Usage | None, more: Any) -> Usage:
    """Chunks tell parts of the usage: LangChain adds them up, and so is it done here."""

    def total(name: str, value: Any) -> int | None:
        before = getattr(usage, name, None)
        now = count(value)
        return before if now is None else now + (before or 0)

    read, spent = more.get("input_token_details") or {}, more.get("output_token_details") or {}
    return Usage(
        total("input_tokens", more.get("input_tokens")),
        total("output_tokens", more.get("output_tokens")),
        total("total_tokens", more.get("total_tokens")),
        total("cache_read_tokens", read.get("cache_read")),
        total("cache_write_tokens", read.get("cache_creation")),
        total("reasoning_tokens", spent.get("reasoning")),
        dict(more),
    )
