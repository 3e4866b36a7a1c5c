"""Google's Interactions API: steps, each with deltas, told apart by their index.

Every message says its type in `event_type`; the `event:` line repeats it and is not read. Messages of tools that Google
runs are `Raw`, and give a typed event when their step ends. Source: PROTOCOLS.md section 4, last paragraph.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from millstream.events import (
    Citation,
    Citations,
    File,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from millstream.protocols._base import ANSWER, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._provider_tools import ProviderTools
from millstream.protocols._values import count, label, number, text

__all__ = ["GoogleInteractionsDecoder"]


class GoogleInteractionsDecoder(SSEDecoder):
    """interaction.created (step.start step.delta* step.stop)* interaction.completed [DONE]."""

    name = "google-interactions"
    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, File)
    reasons = {
        "completed": FinishReason.STOP,
        "requires_action": FinishReason.TOOL_CALLS,
        "incomplete": FinishReason.LENGTH,
        "failed": FinishReason.ERROR,
    }

    def _restart(self) -> None:
        super()._restart()
        self._whole_input: dict[int, Any] = {}
        self._provider_tools = ProviderTools()
        self._provider_steps: dict[int, dict[str, Any]] = {}

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        match obj.get("event_type"):
            case "step.delta":
                self._delta(obj["delta"], number(obj["index"]), message)
            case "step.start":
                self._step(obj["step"], number(obj["index"]), message)
            case "step.stop":
                self._step_stop(number(obj["index"]))
            case "interaction.created":
                self._names(obj["interaction"])
            case "interaction.completed":
                self._completed(obj["interaction"])
            case "interaction.status_update":
                self._begin()
            case "error":
                self._fail(provider_error(obj, provider=self.provider))
            case None if obj.get("error"):
                self._fail(provider_error(obj, provider=self.provider))
            case _:
                self._raw(message)

    def _names(self, interaction: dict[str, Any]) -> None:
        self._model = self._model or label(interaction.get("model"))
        self._id = self._id or label(interaction.get("id"))
        self._begin()

    def _completed(self, interaction: dict[str, Any]) -> None:
        self._names(interaction)
        if interaction.get("usage"):
            self._usage = _usage(interaction["usage"])
        status = label(interaction.get("status")) or "completed"
        if status == "failed":
            self._reasons[0] = status
            self._fail(provider_error(interaction, provider=self.provider))
            return
        self._finish(status)
        self._end(terminated=True)

    def _step(self, step: dict[str, Any], index: int, message: Any) -> None:
        match step.get("type"):
            case "function_call":
                if step.get("signature"):
                    self._emit(ReasoningDelta("", index, signature=text(step["signature"])))
                self._emit(self._tools.fragment(index, label(step.get("id")), label(step["name"]), None))
                if step.get("arguments"):
                    self._whole_input[index] = step["arguments"]
            case "thought":
                if step.get("signature"):
                    self._emit(ReasoningDelta("", index, signature=text(step["signature"])))
                for part in step.get("summary") or ():
                    self._delta({"type": "thought_summary", "content": part}, index, message)
            case "model_output":
                for part in step.get("content") or ():
                    self._delta(part, index, message)
            case kind:
                self._raw(message)
                if label(kind).endswith(("_call", "_result")):
                    self._provider_steps[index] = dict(step)

    def _delta(self, delta: dict[str, Any], index: int, message: Any) -> None:
        match delta.get("type"):
            case "text":
                if delta.get("text"):
                    self._emit(TextDelta(text(delta["text"]), index))
                if delta.get("annotations"):
                    self._citations(delta["annotations"], index)
            case "thought_summary":
                part = delta.get("content") or delta
                if part.get("text"):
                    self._emit(ReasoningDelta(text(part["text"]), index))
            case "thought_signature":
                if delta.get("signature"):
                    self._emit(ReasoningDelta("", index, signature=text(delta["signature"])))
            case "arguments_delta" if index in self._tools:
                if delta.get("arguments"):
                    self._whole_input.pop(index, None)
                    self._emit(self._tools.fragment(index, "", "", text(delta["arguments"])))
            case "text_annotation_delta":
                self._citations(delta.get("annotations") or (), index)
            case "image" | "audio" | "video" | "document" if delta.get("data") or delta.get("uri"):
                data = b64decode(text(delta.get("data") or ""))
                self._emit(File(label(delta.get("mime_type")), data, label(delta.get("uri")), index))
            case _:
                self._raw(message)
                if index in self._provider_steps:
                    step = self._provider_steps[index]
                    self._provider_steps[index] = step | delta | {"type": step["type"]}

    def _step_stop(self, index: int) -> None:
        if index in self._provider_steps:
            self._provider_step(self._provider_steps.pop(index), index)
        if index in self._whole_input:
            self._emit(self._tools.fragment(index, "", "", self._whole_input.pop(index)))
        call = self._tools.done(index)
        if call is not None:
            self._emit(call)

    def _provider_step(self, step: dict[str, Any], index: int) -> None:
        """`google_search_call`, `code_execution_result` and their like, with all that their deltas said."""
        tool, _, kind = label(step.get("type")).rpartition("_")
        if kind == "call":
            name = label(step.get("name")) or tool
            self._emit(self._provider_tools.whole(index, label(step.get("id")), name, step.get("arguments")))
        else:
            error = "the tool failed" if step.get("is_error") else ""
            call_id = label(step.get("call_id"))
            self._emit(self._provider_tools.result(index, call_id, tool, step.get("result"), error))

    def _citations(self, annotations: Any, index: int) -> None:
        cited = tuple(
            Citation(
                url=label(raw.get("url") or raw.get("document_uri")),
                title=label(raw.get("title") or raw.get("file_name") or raw.get("name")),
                source=label(raw.get("source") or raw.get("place_id")),
                start=count(raw.get("start_index")),
                end=count(raw.get("end_index")),
            )
            for raw in annotations
        )
        if cited:
            self._emit(Citations(cited, index))

    def _raw(self, message: Any) -> None:
        self._emit(Raw(message.data, message.event if message.named else ""))


def _usage(raw: dict[str, Any]) -> Usage:
    given, made, total = (count(raw.get(key)) for key in ("total_input_tokens", "total_output_tokens", "total_tokens"))
    if total is None and given is not None and made is not None:
        total = given + made
    cached, thoughts = count(raw.get("total_cached_tokens")), count(raw.get("total_thought_tokens"))
    return Usage(given, made, total, cached, None, thoughts, raw)
