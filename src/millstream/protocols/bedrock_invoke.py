"""Amazon Bedrock's `invoke-model-with-response-stream`: each message carries the model's own JSON in base64.

The first object tells the family. Anthropic, OpenAI-like and Nova (= converse) streams are read by the decoder of that
wire, which then owns the rest of the response; the older families need a line each, here.
Source: PROTOCOLS.md section 8.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, NamedTuple

from orjson import loads

from millstream.errors import StreamError
from millstream.events import FinishReason, Raw, TextDelta, Usage
from millstream.protocols._base import SSEDecoder
from millstream.protocols._values import count, label, text
from millstream.protocols.anthropic_messages import AnthropicMessagesDecoder
from millstream.protocols.bedrock_converse import BedrockConverseDecoder, EventStreamDecoder
from millstream.protocols.openai_completions import OpenAICompletionsDecoder

__all__ = ["BedrockInvokeDecoder"]

METRICS = "amazon-bedrock-invocationMetrics"
CONVERSE = {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
# Titan, Llama, Cohere and the first Anthropic models, Mistral: where the text is, and where the finish reason.
TEXT_KEYS = ("outputText", "generation", "text", "completion")
REASON_KEYS = ("completionReason", "stop_reason", "finish_reason")


class _Inner(NamedTuple):
    """What a decoder of SSE wants of a message."""

    data: str
    event: str = ""
    named: bool = False


class _Choices(OpenAICompletionsDecoder):
    """OpenAI's chunks, and those of Mistral and DeepSeek: `message` or `text` for the delta, `stop_reason`."""

    def _choice(self, choice: dict[str, Any], message: Any) -> None:
        given = {"delta": choice.get("message"), "finish_reason": choice.get("stop_reason")}
        super()._choice(given | choice, message)


class BedrockInvokeDecoder(EventStreamDecoder):
    """event `chunk`: {"bytes": base64(JSON)}."""

    name = "bedrock-invoke"
    gives = OpenAICompletionsDecoder.gives  # the widest of its families
    reasons = {
        "stop": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "end_turn": FinishReason.STOP,
        "FINISH": FinishReason.STOP,
        "COMPLETE": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "max_tokens": FinishReason.LENGTH,
        "LENGTH": FinishReason.LENGTH,
        "MAX_TOKENS": FinishReason.LENGTH,
        "CONTENT_FILTERED": FinishReason.CONTENT_FILTER,
        "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
    }

    def _restart(self) -> None:
        super()._restart()
        self._inner: BedrockConverseDecoder | SSEDecoder | None = None

    def _event(self, kind: str, body: dict[str, Any], source: str) -> None:
        if kind != "chunk":
            self._emit(Raw(source, kind))
            return
        data = b64decode(body["bytes"], validate=True)
        obj = loads(data)
        if self._inner is None and not self._begun:
            self._inner = self._family(obj)
        usage = _metrics(obj.get(METRICS))
        inner = self._inner
        if inner is None:
            self._usage = usage or self._usage
            self._plain(obj, data.decode())
            return
        inner._out = self._out
        if inner._usage is None:
            inner._usage = usage
        if isinstance(inner, BedrockConverseDecoder):
            kind = next((key for key in obj if key in CONVERSE), "")
            inner._event(kind, obj.get(kind) or {}, data.decode())
        else:
            inner._object(obj, _Inner(data.decode()))  # type: ignore[arg-type]
        self.ended = inner.ended

    def _end(self, *, terminated: bool = False) -> None:
        if self._inner is None:
            super()._end(terminated=terminated)
            return
        self._inner._out = self._out
        self._inner._end(terminated=terminated)
        self.ended = True

    def _fail(self, error: StreamError) -> None:
        if self._inner is None:
            super()._fail(error)
            return
        self._inner._out = self._out
        self._inner._fail(error)
        self.ended = True

    def _family(self, obj: dict[str, Any]) -> BedrockConverseDecoder | SSEDecoder | None:
        """The decoder of this wire, None for the older families."""
        cls: type[BedrockConverseDecoder | SSEDecoder]
        if isinstance(obj.get("type"), str):
            cls = AnthropicMessagesDecoder
        elif "choices" in obj:
            cls = _Choices
        elif CONVERSE & obj.keys():
            cls = BedrockConverseDecoder
        else:
            return None
        return cls(limits=self.limits, provider=self.provider)

    def _plain(self, obj: dict[str, Any], source: str) -> None:
        parts = [obj, *(obj.get("outputs") or ()), *(obj.get("generations") or ())]
        known = METRICS in obj
        for part in parts:
            for key in TEXT_KEYS:
                if part.get(key):
                    self._emit(TextDelta(text(part[key])))
            for key in REASON_KEYS:
                if part.get(key):
                    self._finish(label(part[key]))
            known = known or any(key in part for key in (*TEXT_KEYS, *REASON_KEYS))
        if not known:
            self._emit(Raw(source, "chunk"))
        elif METRICS in obj and self._reasons:
            self._end(terminated=True)


def _metrics(raw: dict[str, Any] | None) -> Usage | None:
    if not raw:
        return None
    given, made = count(raw.get("inputTokenCount")), count(raw.get("outputTokenCount"))
    total = given + made if given is not None and made is not None else None
    read, write = count(raw.get("cacheReadInputTokenCount")), count(raw.get("cacheWriteInputTokenCount"))
    return Usage(given, made, total, read, write, None, raw)
