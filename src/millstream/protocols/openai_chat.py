"""OpenAI chat completions, and the dialects of the many servers that imitate it.

Not known here: which dialect. What differs between servers without contradiction is all understood: reasoning under
three names, content as a list of parts, tool calls whole or in fragments, with or without an index, usage in any chunk,
a missing `[DONE]`. Source: PROTOCOLS.md sections 1 and 7.
"""

from __future__ import annotations

from typing import Any

from millstream.events import Citation, Citations, FinishReason, Raw, ReasoningDelta, Safety, TextDelta, Usage
from millstream.protocols._base import SSEDecoder
from millstream.protocols._errors import provider_error

__all__ = ["OpenAIChatDecoder"]


class OpenAIChatDecoder(SSEDecoder):
    """`data: {"choices":[{"index","delta","finish_reason"}],"usage"?}` ... `data: [DONE]`."""

    name = "openai-chat"
    reasons = {
        "stop": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
        "error": FinishReason.ERROR,
    }

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        self._model = self._model or obj.get("model") or ""
        self._id = self._id or obj.get("id") or ""
        usage = obj.get("usage")
        if usage:
            self._usage = normal_usage(usage)
        choices = obj.get("choices")
        for choice in choices or ():
            self._choice(choice)
        if obj.get("error"):
            self._fail(provider_error(obj, provider=self.provider))
        elif choices is None and not usage:
            self._emit(Raw(message.data, message.event if message.named else ""))

    def _choice(self, choice: dict[str, Any]) -> None:
        self._begin()
        index = choice.get("index") or 0
        delta = choice.get("delta")
        if delta:
            self._delta(delta, index)
        reason = choice.get("finish_reason")
        if reason:
            self._finish(str(reason), index)

    def _delta(self, delta: dict[str, Any], choice: int) -> None:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning:
            self._emit(ReasoningDelta(_text(reasoning), 0, choice))
        content = delta.get("content")
        if isinstance(content, list):
            for part in content:
                self._part(part, choice)
        elif content:
            self._emit(TextDelta(_text(content), 0, choice))
        if delta.get("refusal"):
            self._emit(Safety("refusal", "refuse", note=_text(delta["refusal"]), choice=choice))
        if delta.get("tool_calls"):
            for call in delta["tool_calls"]:
                self._tool_call(call, choice)
        elif delta.get("function_call"):
            # The form of 2023. llama-cpp-python sends it beside `tool_calls`, as the same call.
            call = delta["function_call"]
            self._emit(
                self._tools.fragment("function_call", "", call.get("name") or "", call.get("arguments"), choice=choice)
            )
        for annotation in delta.get("annotations") or ():
            self._annotation(annotation)

    def _part(self, part: dict[str, Any], choice: int) -> None:
        """One part of a content list (Mistral)."""
        if part.get("text"):
            self._emit(TextDelta(_text(part["text"]), 0, choice))
        for thought in part.get("thinking") or ():
            if thought.get("text"):
                self._emit(ReasoningDelta(_text(thought["text"]), 0, choice))

    def _tool_call(self, call: dict[str, Any], choice: int) -> None:
        function = call.get("function") or call.get("custom") or {}
        key = call.get("index")
        name = function.get("name") or ""
        call_id = call.get("id") or ""
        if key is None:
            # Mistral numbers nothing: whoever has a name is a new call.
            key = f"unnumbered {call_id}" if name or call_id else self._last_key
        self._last_key = key
        arguments = function.get("arguments", function.get("input"))
        self._emit(self._tools.fragment(key, call_id, name, arguments, choice=choice))

    _last_key: Any = 0

    def _annotation(self, annotation: dict[str, Any]) -> None:
        cited = annotation.get("url_citation")
        if cited:
            source = Citation(
                url=cited.get("url") or "",
                title=cited.get("title") or "",
                start=cited.get("start_index"),
                end=cited.get("end_index"),
            )
            self._emit(Citations((source,)))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def normal_usage(raw: dict[str, Any]) -> Usage:
    """Normalise OpenAI's usage object."""
    cached = (raw.get("prompt_tokens_details") or {}).get("cached_tokens")
    reasoning = (raw.get("completion_tokens_details") or {}).get("reasoning_tokens")
    given, made = raw.get("prompt_tokens"), raw.get("completion_tokens")
    total = raw.get("total_tokens")
    if total is None and given is not None and made is not None:
        total = given + made
    return Usage(given, made, total, cached, None, reasoning, raw)
