"""Ollama's own wire: one JSON object per line, `/api/chat` and `/api/generate`.

Tool calls come whole, their arguments as objects. Source: PROTOCOLS.md section 5.
"""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.core import Rule, Rules, Shapes
from millstream.events import Event, FinishReason, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta, Usage
from millstream.protocols._base import NDJSONDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._values import count, label, text

__all__ = ["OllamaChatDecoder", "OllamaGenerateDecoder"]


class OllamaChatDecoder(NDJSONDecoder):
    """`{"model","message":{"content","thinking"?,"tool_calls"?},"done":false}` ... `{"done":true,"done_reason"}`."""

    name = "ollama-chat"
    gives: ClassVar[tuple[type[Event], ...]] = (TextDelta, ReasoningDelta, ToolCallDelta, ToolCall, Usage)
    reasons = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
    shapes = Shapes(payload=("message.content", "message.thinking"), ignored=("created_at",))
    rules = Rules(
        Rule(
            reads=("done", "error", "message.tool_calls"),
            text={"message.thinking": ReasoningDelta, "message.content": TextDelta},
            names=("model", None),
            begins=True,
        )
    )

    _n_calls = 0

    def _object(self, obj: dict[str, Any]) -> None:
        if obj.get("error"):
            self._fail(provider_error(obj, provider=self.provider))
            return
        if not self._begun:
            self._model = label(obj.get("model"))
        self._begin()
        self._content(obj)
        if obj.get("done"):
            self._usage = _usage(obj)
            self._finish(text(obj.get("done_reason") or "stop"))
            self._end(terminated=True)

    def _content(self, obj: dict[str, Any]) -> None:
        said = obj.get("message") or {}
        self._pieces(said.get("thinking"), said.get("content"))
        for number, call in enumerate(said.get("tool_calls") or (), self._n_calls):
            function = call["function"]
            self._n_calls = number + 1
            self._emit(
                self._tools.fragment(number, label(call.get("id")), label(function["name"]), function.get("arguments"))
            )

    def _pieces(self, thinking: Any, said: Any) -> None:
        if thinking:
            self._emit(ReasoningDelta(text(thinking)))
        if said:
            self._emit(TextDelta(text(said)))


class OllamaGenerateDecoder(OllamaChatDecoder):
    """The same with `response` and `thinking` at the top, and no tools."""

    name = "ollama-generate"
    gives = (TextDelta, ReasoningDelta, Usage)
    shapes = Shapes(payload=("response", "thinking"), ignored=("created_at",))
    rules = Rules(
        Rule(
            reads=("done", "error"),
            text={"thinking": ReasoningDelta, "response": TextDelta},
            names=("model", None),
            begins=True,
        )
    )

    def _content(self, obj: dict[str, Any]) -> None:
        self._pieces(obj.get("thinking"), obj.get("response"))


def _usage(obj: dict[str, Any]) -> Usage | None:
    """`prompt_eval_count` is missing where the prompt was cached."""
    given, made = count(obj.get("prompt_eval_count")), count(obj.get("eval_count"))
    if given is None and made is None:
        return None
    raw = {key: obj[key] for key in obj if key.endswith(("_count", "_duration"))}
    return Usage(given, made, (given or 0) + (made or 0), raw=raw)
