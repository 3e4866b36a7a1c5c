"""OpenAI Responses, and the servers that imitate it (Azure, xAI, LM Studio, OpenRouter, Bedrock's mantle).

Every message says its own type in the JSON; the `event:` line repeats it where it is sent, and is not read. Items are
told apart by `output_index`, because proxies rotate item ids. Messages of the provider's own tools, and all that is not
known here, are `Raw`; the provider's tools give typed events too when their item is done.
Of an item without deltas, its `output_item.done` is used. Source: PROTOCOLS.md section 2.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from millstream.core import Rule, Rules, Shapes
from millstream.events import (
    Citations,
    File,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    TextDelta,
)
from millstream.protocols._base import ANSWER, Fresh, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._responses_values import citation, normal_usage, provider_tool
from millstream.protocols._values import label, number, text

__all__ = ["OpenAIResponsesDecoder"]

# They repeat what other messages say.
REPEATS = tuple(
    "response." + name
    for name in (
        "queued",
        "content_part.added",
        "content_part.done",
        "output_text.done",
        "refusal.done",
        "reasoning_text.done",
        "reasoning_summary_part.added",
        "reasoning_summary_part.done",
        "reasoning_summary_text.done",
    )
)


# What has no event of its own, of what comes often.
UNTOLD = ("code_interpreter_call_code", "mcp_call_arguments", "shell_call_command")
TEXTS = {"output_text": TextDelta, "reasoning_text": ReasoningDelta, "reasoning_summary_text": ReasoningDelta}


class OpenAIResponsesDecoder(SSEDecoder):
    """response.created (output_item.added delta* output_item.done)* response.completed|incomplete|failed."""

    name = "openai-responses"
    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, Safety, File)
    reasons = {
        "completed": FinishReason.STOP,
        "incomplete:max_output_tokens": FinishReason.LENGTH,
        "incomplete:content_filter": FinishReason.CONTENT_FILTER,
        "failed": FinishReason.ERROR,
    }
    shapes = Shapes(payload=("delta",), ignored=("sequence_number", "obfuscation"), seldom=("item_id",))

    rules = Rules(
        *(
            Rule(
                when={"type": f"response.{kind}.delta"},
                needs=("delta",),
                reads=("logprobs",),
                text={"delta": event},
                index="output_index?",
                heard=True,
            )
            for kind, event in TEXTS.items()
        ),
        *(
            Rule(when={"type": kind}, needs=("response",), names=("response.model", "response.id"), begins=True)
            for kind in ("response.created", "response.in_progress")
        ),
        *(
            Rule(when={"type": kind}, needs=("delta",), index="output_index?", call="_fragment", given=("delta",))
            for kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
        ),
        *(Rule(when={"type": kind}) for kind in REPEATS),
        *(Rule(when={"type": f"response.{kind}.delta"}, raw=Raw) for kind in UNTOLD),
    )

    _annotated = Fresh(set[int])
    _phases = Fresh(dict[int, str])  # of messages without text so far; to be sent back with their text

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        match obj.get("type"):
            case "response.output_text.delta":
                self._text(obj)
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                index = number(obj.get("output_index"))
                if obj["delta"]:
                    self._heard.add(index)
                    self._emit(ReasoningDelta(text(obj["delta"]), index))
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                self._arguments(obj, obj["delta"], message)
            case "response.function_call_arguments.done":
                self._arguments_done(obj, obj.get("arguments"), message)
            case "response.custom_tool_call_input.done":
                self._arguments_done(obj, obj.get("input"), message)
            case "response.refusal.delta":
                if obj["delta"]:
                    self._heard.add(number(obj.get("output_index")))
                    self._emit(Safety("refusal", "refuse", note=text(obj["delta"])))
            case "response.output_text.annotation.added":
                index = number(obj.get("output_index"))
                self._annotated.add(index)
                self._emit(Citations((citation(obj["annotation"]),), index))
            case "response.output_item.added":
                self._item_added(obj["item"], number(obj.get("output_index")), message)
            case "response.output_item.done":
                self._item_done(obj["item"], number(obj.get("output_index")), message)
            case "response.created" | "response.in_progress":
                self._names(obj["response"])
            case "response.completed" | "response.incomplete" | "response.failed":
                self._terminal(obj["response"])
            case "error":
                self._failed(obj)
            case None if obj.get("error"):
                self._failed(obj)
            case kind if kind not in REPEATS:
                self._raw(message)

    def _names(self, response: dict[str, Any]) -> None:
        if not self._begun:
            self._model, self._id = label(response.get("model")), label(response.get("id"))
            self._begin()

    def _terminal(self, response: dict[str, Any]) -> None:
        self._names(response)
        if response.get("usage"):
            self._usage = normal_usage(response["usage"])
        status = label(response.get("status"))
        if status == "failed" or response.get("error"):
            self._failed(response)
            return
        if status == "incomplete":
            # An item that is not done was cut off, whatever its arguments look like.
            for call in self._tools.finish(None, cut=True, confirmed=False):
                self._emit(call)
            status += ":" + label((response.get("incomplete_details") or {}).get("reason"))
        self._finish(status)
        self._end(terminated=True)

    def _failed(self, payload: dict[str, Any]) -> None:
        # A top-level `error` is followed by `response.failed`, which says the same: one Error is enough.
        self._reasons[0] = "failed"
        self._fail(provider_error(payload, provider=self.provider))

    def _normal(self, raw_reason: str) -> FinishReason:
        """Tool calls have no status of their own."""
        if raw_reason == "completed" and self._tools.any_given:
            return FinishReason.TOOL_CALLS
        return super()._normal(raw_reason)

    def _text(self, obj: dict[str, Any]) -> None:
        index = number(obj.get("output_index"))
        if obj["delta"]:
            self._heard.add(index)
            event = TextDelta(text(obj["delta"]), index)
            if obj.get("logprobs"):
                event.meta["logprobs"] = obj["logprobs"]
            if index in self._phases:
                event.meta["phase"] = self._phases.pop(index)
                self._usual = not self._phases
            self._emit(event)

    def _arguments(self, obj: dict[str, Any], fragment: Any, message: Any) -> None:
        index = number(obj.get("output_index"))
        if index not in self._tools:
            self._raw(message)
        elif fragment:
            self._fragment(index, 0, text(fragment))

    def _fragment(self, index: int, _: int, arguments: str) -> bool:
        """More of a call's arguments. Returns: whether it is one of the user's tools."""
        if index not in self._tools:
            return False
        if arguments:
            self._heard.add(index)
            self._emit(self._tools.fragment(index, "", "", arguments))
        return True

    def _arguments_done(self, obj: dict[str, Any], whole: Any, message: Any) -> None:
        if number(obj.get("output_index")) not in self._heard:
            self._arguments(obj, whole, message)

    def _item_added(self, item: dict[str, Any], index: int, message: Any) -> None:
        self._change()
        match item.get("type"):
            case "function_call" | "custom_tool_call" as kind:
                self._heard.discard(index)
                call_id, name = label(item.get("call_id")), label(item["name"])
                self._emit(self._tools.fragment(index, call_id, name, None, json=kind == "function_call"))
            case "message" | "reasoning":
                self._heard.discard(index)
                self._annotated.discard(index)
                if item.get("phase"):
                    self._phases[index] = label(item["phase"])
                    self._usual = False
            case _:
                self._raw(message)

    def _item_done(self, item: dict[str, Any], index: int, message: Any) -> None:
        fresh = index not in self._heard
        match item.get("type"):
            case "function_call" | "custom_tool_call":
                self._call_done(item, index, fresh)
            case "message":
                for part in item.get("content") or ():
                    self._part(part, index, fresh)
            case "reasoning":
                for part in (item.get("summary") or item.get("content") or ()) if fresh else ():
                    if part.get("text"):
                        self._emit(ReasoningDelta(text(part["text"]), index))
                if item.get("id") or item.get("encrypted_content"):
                    # The item goes back as a whole, with its id, in the next turn.
                    rest = {key: value for key, value in item.items() if key != "encrypted_content"}
                    hidden = label(item.get("encrypted_content")) or None
                    self._emit(
                        ReasoningDelta("", index, encrypted=hidden, _meta={"id": label(item.get("id")), "item": rest})
                    )
            case "image_generation_call" if item.get("result"):
                media_type = "image/" + (label(item.get("output_format")) or "png")
                image = File(media_type, b64decode(text(item["result"])), index=index)
                image.meta["id"] = label(item.get("id"))
                self._emit(image)
            case kind:
                self._raw(message)
                for event in provider_tool(label(kind), item, index):
                    self._emit(event)

    def _call_done(self, item: dict[str, Any], index: int, fresh: bool) -> None:
        is_json = item["type"] == "function_call"
        whole = item.get("arguments" if is_json else "input") if fresh else None
        if index not in self._tools:
            call_id, name = label(item.get("call_id")), label(item["name"])
            self._emit(self._tools.fragment(index, call_id, name, whole, json=is_json))
        elif whole:
            self._emit(self._tools.fragment(index, "", "", whole))
        if item.get("status") == "incomplete":
            return  # stays open until `response.incomplete` marks it
        call = self._tools.done(index)
        if call is not None:
            self._emit(call)

    def _part(self, part: dict[str, Any], index: int, fresh: bool) -> None:
        """What a part of a message says that no message before it has said; `fresh`: it came without deltas."""
        if fresh and part.get("text"):
            self._emit(TextDelta(text(part["text"]), index))
        if fresh and part.get("refusal"):
            self._emit(Safety("refusal", "refuse", note=text(part["refusal"])))
        if part.get("annotations") and index not in self._annotated:
            self._emit(Citations(tuple(citation(raw) for raw in part["annotations"]), index))

    def _raw(self, message: Any) -> None:
        self._emit(Raw(message.data, message.event if message.named else ""))
