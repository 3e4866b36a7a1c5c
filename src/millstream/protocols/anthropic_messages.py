"""Anthropic messages.

Every message says its own type in the JSON; the `event:` line repeats it and is not read. Usage is cumulative: later
values replace earlier ones. Source: PROTOCOLS.md section 3.
"""

from __future__ import annotations

from typing import Any

from millstream.core import Rule, Rules, Shapes
from millstream.events import (
    Citation,
    Citations,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    TextDelta,
    Usage,
)
from millstream.protocols._base import ANSWER, Fresh, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._provider_tools import ProviderTools
from millstream.protocols._values import count, label, members, number, text

__all__ = ["AnthropicMessagesDecoder"]


class AnthropicMessagesDecoder(SSEDecoder):
    """message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop."""

    name = "anthropic-messages"
    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, Safety)
    reasons = {
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "max_tokens": FinishReason.LENGTH,
        "model_context_window_exceeded": FinishReason.LENGTH,
        "tool_use": FinishReason.TOOL_CALLS,
        "refusal": FinishReason.CONTENT_FILTER,
        "pause_turn": FinishReason.PAUSE,
    }
    shapes = Shapes(payload=("delta.text", "delta.thinking", "delta.partial_json"), padded=True)

    rules = Rules(
        *(
            Rule(
                when={"type": "content_block_delta", "delta.type": f"{kind}_delta"},
                needs=("delta." + kind,),
                text={"delta." + kind: event},
                index="index",
            )
            for kind, event in (("text", TextDelta), ("thinking", ReasoningDelta))
        ),
        Rule(
            when={"type": "content_block_delta", "delta.type": "input_json_delta"},
            needs=("delta.partial_json",),
            index="index",
            call="_input",
            given=("delta.partial_json",),
        ),
        Rule(
            when={"type": "content_block_delta", "delta.type": "input_json_delta"},
            needs=("delta.partial_json",),
            index="index",
            call="_provider_input",
            given=("delta.partial_json",),
            raw=Raw,
        ),
        Rule(when={"type": "content_block_stop"}, index="index", call="_block_stop"),
        Rule(
            when={"type": "content_block_start", "content_block.type": "text"},
            reads=("content_block.text",),
            index="index",
        ),
        Rule(
            when={"type": "content_block_start", "content_block.type": "thinking"},
            reads=("content_block.thinking", "content_block.signature"),
            index="index",
        ),
        Rule(when={"type": "ping"}),
    )

    _raw_usage = Fresh(dict[str, Any])
    _whole_input = Fresh(dict[int, Any])
    _provider_tools = Fresh(ProviderTools)

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        match obj.get("type"):
            case "content_block_delta":
                self._delta(obj["delta"], number(obj["index"]), message)
            case "content_block_start":
                self._block(obj["content_block"], number(obj["index"]), message)
            case "content_block_stop":
                self._block_stop(number(obj["index"]))
            case "message_start":
                self._message_start(obj["message"])
            case "message_delta":
                self._message_delta(obj)
            case "message_stop":
                self._end(terminated=True)
            case "ping":
                pass
            case "error":
                self._fail(provider_error(obj, provider=self.provider))
            case None if obj.get("error"):
                self._fail(provider_error(obj, provider=self.provider))  # a proxy's, or another server's
            case _:
                self._raw(message)

    def _message_start(self, start: dict[str, Any]) -> None:
        # A proxy may splice two messages: what the first one left open will get no more fragments.
        for call in self._tools.finish(None, cut=True, confirmed=False):
            self._emit(call)
        self._whole_input.clear()
        self._model = label(start.get("model"))
        self._id = label(start.get("id"))
        self._begin()
        self._add_usage(start.get("usage"))

    def _message_delta(self, obj: dict[str, Any]) -> None:
        delta = obj.get("delta") or {}
        self._add_usage(obj.get("usage"))
        details = delta.get("stop_details")
        if details:
            note = label(details.get("explanation"))
            self._emit(Safety(label(details.get("category")) or "refusal", "block", note=note))
        if delta.get("stop_reason"):
            self._finish(text(delta["stop_reason"]))

    def _block(self, block: dict[str, Any], index: int, message: Any) -> None:
        match block.get("type"):
            case "text":
                if block.get("text"):
                    self._emit(TextDelta(text(block["text"]), index))
            case "thinking":
                if block.get("thinking") or block.get("signature"):
                    self._emit(
                        ReasoningDelta(
                            label(block.get("thinking")), index, signature=label(block.get("signature")) or None
                        )
                    )
            case "redacted_thinking":
                self._emit(ReasoningDelta("", index, encrypted=text(block.get("data") or "")))
            case "tool_use":
                self._emit(self._tools.fragment(index, label(block["id"]), label(block["name"]), None))
                if block.get("input"):
                    self._whole_input[index] = block["input"]
            case kind:
                self._raw(message)
                self._provider_block(kind, block, index)

    def _provider_block(self, kind: Any, block: dict[str, Any], index: int) -> None:
        """A tool that the provider runs, or what it gave back; that comes whole. `meta["block"]` is the rest of it."""
        if kind in ("server_tool_use", "mcp_tool_use"):
            call_id, name, meta = label(block.get("id")), label(block.get("name")), _rest(block, "input")
            self._provider_tools.begin(index, call_id, name, block.get("input"), meta=meta)
        elif label(kind).endswith("_tool_result"):
            content, call_id = block.get("content"), label(block.get("tool_use_id"))
            error = label(content.get("error_code")) if isinstance(content, dict) else ""
            error = error or ("the tool failed" if block.get("is_error") else "")
            name, meta = kind.removesuffix("_tool_result"), _rest(block, "content")
            self._emit(self._provider_tools.result(index, call_id, name, content, error, meta=meta))

    def _delta(self, delta: dict[str, Any], index: int, message: Any) -> None:
        match delta.get("type"):
            case "text_delta":
                if delta["text"]:
                    self._emit(TextDelta(text(delta["text"]), index))
            case "thinking_delta":
                if delta["thinking"]:
                    self._emit(ReasoningDelta(text(delta["thinking"]), index))
            case "signature_delta":
                if delta["signature"]:
                    self._emit(ReasoningDelta("", index, signature=text(delta["signature"])))
            case "input_json_delta" if index in self._tools:
                if delta["partial_json"]:
                    self._input(index, 0, text(delta["partial_json"]))
            case "input_json_delta" if index in self._provider_tools:
                self._provider_input(index, 0, text(delta["partial_json"]))
                self._raw(message)
            case "citations_delta":
                raw = delta["citation"]
                self._emit(Citations((_citation(raw),), index, _meta={"raw": raw}))
            case _:
                self._raw(message)

    def _input(self, index: int, _: int, fragment: str) -> bool:
        """More of a call's arguments. Returns: whether it is one of the user's tools."""
        if index not in self._tools:
            return False
        if fragment:
            self._whole_input.pop(index, None)
            self._emit(self._tools.fragment(index, "", "", fragment))
        return True

    def _provider_input(self, index: int, _: int, fragment: str) -> bool:
        """The same of the provider's tools; the message is given as `Raw` too."""
        if index not in self._provider_tools:
            return False
        self._grown = self._provider_tools.add(index, fragment)
        return True

    def _block_stop(self, index: int, *_: object) -> None:
        if index in self._whole_input:
            # A call that came complete in content_block_start (programmatic tool calling).
            self._emit(self._tools.fragment(index, "", "", self._whole_input.pop(index)))
        call = self._tools.done(index) or self._provider_tools.done(index)
        if call is not None:
            self._emit(call)

    def _add_usage(self, usage: dict[str, Any] | None) -> None:
        if not usage:
            return
        self._raw_usage |= {key: value for key, value in usage.items() if value is not None}
        self._usage = self._raw_usage

    def _total(self, raw: dict[str, Any]) -> Usage:
        given, made = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
        total = given + made if given is not None and made is not None else None
        return Usage(
            given,
            made,
            total,
            count(raw.get("cache_read_input_tokens")),
            count(raw.get("cache_creation_input_tokens")),
            count(members(raw.get("output_tokens_details")).get("thinking_tokens")),
            dict(raw),
        )

    def _raw(self, message: Any) -> None:
        self._emit(Raw(message.data, message.event if message.named else ""))


def _rest(block: dict[str, Any], told: str) -> dict[str, Any]:
    return {"block": {key: value for key, value in block.items() if key != told}}


def _citation(raw: dict[str, Any]) -> Citation:
    return Citation(
        url=label(raw.get("url")),
        title=label(raw.get("title") or raw.get("document_title")),
        source=label(raw.get("file_id") or raw.get("source")),
        text=label(raw.get("cited_text")),
        start=count(raw.get("start_char_index")),
        end=count(raw.get("end_char_index")),
    )
