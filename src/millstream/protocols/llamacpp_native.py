"""llama.cpp's own `/completion`: one object per SSE message, no `[DONE]`; the message with `stop` is the last.

Several prompts in one request come interleaved, told apart by `index`: the end is when all seen ones have stopped.
Errors come as `error: {...}` lines (see `SSEDecoder`) or as `data: {"error": ...}`. Source: PROTOCOLS.md sections 0, 7.
"""

from __future__ import annotations

from typing import Any

from millstream.events import FinishReason, Raw, TextDelta, Usage
from millstream.protocols._base import SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._values import count, label, number, text

__all__ = ["LlamaCppNativeDecoder"]


class LlamaCppNativeDecoder(SSEDecoder):
    """`data: {"index","content","stop":false}` ... `data: {"stop":true,"stop_type","timings"}`."""

    name = "llamacpp-native"
    gives = (TextDelta, Usage, Raw)
    reasons = {
        "eos": FinishReason.STOP,
        "word": FinishReason.STOP,
        "limit": FinishReason.LENGTH,
    }

    def _restart(self) -> None:
        super()._restart()
        self._seen: set[int] = set()

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        if obj.get("error"):
            self._fail(provider_error(obj, provider=self.provider))
            return
        if "content" not in obj:
            self._emit(Raw(message.data, message.event if message.named else ""))
            return
        self._model = self._model or label(obj.get("model"))
        index = number(obj.get("index"))
        self._seen.add(index)
        self._begin()
        if obj["content"]:
            tokens = obj.get("completion_probabilities")
            self._emit(TextDelta(text(obj["content"]), 0, index, _meta={"logprobs": tokens} if tokens else None))
        if obj.get("stop"):
            self._add_usage(obj)
            self._finish(_reason(obj), index)
            if self._seen == self._reasons.keys():
                self._end(terminated=True)

    def _add_usage(self, obj: dict[str, Any]) -> None:
        given, made = count(obj.get("tokens_evaluated")) or 0, count(obj.get("tokens_predicted")) or 0
        cached = count((obj.get("timings") or {}).get("cache_n"))
        if self._usage is not None:
            given += self._usage.input_tokens or 0
            made += self._usage.output_tokens or 0
        raw = {key: obj[key] for key in obj if key.startswith("tokens_") or key == "timings"}
        self._usage = Usage(given, made, given + made, cached, raw=raw)


def _reason(obj: dict[str, Any]) -> str:
    """`stop_type`, or one of the three booleans of older servers."""
    older = (reason for reason in ("eos", "word", "limit") if obj.get(f"stopped_{reason}"))
    return label(obj.get("stop_type")) or next(older, "none")
