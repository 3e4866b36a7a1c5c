"""Gemini (`streamGenerateContent`): as server-sent events, and as one JSON array.

The wire has no terminator: an answer is over when its finish reason was seen. Function calls come whole, or streamed as
`partialArgs`. `thoughtSignature` may ride on any part; it becomes `ReasoningDelta(signature=...)` just before it, with
`meta["part"]` telling the part's kind ("" for a part without content), and must be sent back on it. A safety rating
becomes an event if it blocks or is not NEGLIGIBLE, and only when it changes: old models repeat all of them in every
chunk. Parts of code execution and Google's own tools are `Raw`, and typed events too. Positions of citations count
bytes: they stay in `meta["raw"]`. Source: PROTOCOLS.md section 4.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from orjson import JSONDecodeError, dumps, loads

from millstream.core import Rule, Rules, Shapes, SSEMessage
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
    Usage,
)
from millstream.protocols._base import ANSWER, Decoder, Fresh, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._gemini_values import citations, normal_usage
from millstream.protocols._json_array import JSONArrayParser
from millstream.protocols._partial_args import PartialArgs
from millstream.protocols._provider_tools import ProviderTools
from millstream.protocols._values import fields, label, number, text

__all__ = ["GeminiArrayDecoder", "GeminiDecoder"]

BLOCKED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "LANGUAGE", "IMAGE_SAFETY")
CODE = "code_execution"
# In the order in which they are told.
SOURCES = dict.fromkeys(("citationMetadata", "groundingMetadata", "urlContextMetadata")).keys()
BLOCKED_IMAGE = ("IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION")


class _Gemini(Decoder):
    """The mapping, whatever the framing."""

    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, Safety, File)

    # Some gateways send the enum's numbers.
    reasons = {
        "STOP": FinishReason.STOP,
        "MAX_TOKENS": FinishReason.LENGTH,
        "1": FinishReason.STOP,
        "2": FinishReason.LENGTH,
        "3": FinishReason.CONTENT_FILTER,
        "4": FinishReason.CONTENT_FILTER,
    } | dict.fromkeys(BLOCKED + BLOCKED_IMAGE, FinishReason.CONTENT_FILTER)

    _n_calls = 0
    _provider_tools = Fresh(ProviderTools)
    _streamed = Fresh(dict[int, tuple[int, PartialArgs | None]])  # by choice: the call under way
    _said = Fresh(dict[tuple[str, int], Any])  # what is repeated from chunk to chunk

    def _response(self, obj: dict[str, Any]) -> bool:
        """Map one response. Returns: whether it was one."""
        if isinstance(obj.get("response"), dict):
            obj = obj["response"]
        if obj.get("error"):
            self._fail(provider_error(obj, provider=self.provider))
            return True
        if not self._begun:
            self._model = self._model or label(obj.get("modelVersion"))
            self._id = self._id or label(obj.get("responseId"))
        feedback, candidates, usage = obj.get("promptFeedback"), obj.get("candidates"), self._latest(obj)
        if feedback:
            self._feedback(feedback)
        for candidate in candidates or ():
            self._candidate(candidate, number(candidate.get("index")))
        return bool(feedback or usage) or candidates is not None

    def _latest(self, obj: dict[str, Any]) -> Any:
        usage = obj.get("usageMetadata")
        if usage:
            self._usage = fields(usage)
        return usage

    def _total(self, raw: dict[str, Any]) -> Usage:
        return normal_usage(raw)

    def _feedback(self, feedback: dict[str, Any]) -> None:
        """What was thought of the prompt; a blocked prompt has no candidates."""
        self._ratings(feedback, 0)
        blocked = label(feedback.get("blockReason"))
        if blocked and blocked != "BLOCK_REASON_UNSPECIFIED":
            self._emit(Safety(blocked, "block", note=label(feedback.get("blockReasonMessage"))))
            self._reasons.setdefault(0, blocked)

    def _candidate(self, candidate: dict[str, Any], choice: int) -> None:
        if not self._begun:
            self._begin()
        first = len(self._out)
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._part(part, choice)
        if "logprobsResult" in candidate and self._changed("logprobsResult", candidate, choice):
            self._likely(candidate["logprobsResult"], first, choice)
        if "safetyRatings" in candidate:
            self._ratings(candidate, choice)
        if not SOURCES.isdisjoint(candidate):
            self._sources(candidate, choice)
        reason = label(candidate.get("finishReason"))
        if reason:
            self._finish(reason, choice)

    def _finish(self, raw_reason: str, choice: int = 0) -> None:
        """It may stand on every chunk, so it ends nothing yet."""
        if raw_reason not in ("FINISH_REASON_UNSPECIFIED", "0"):
            if self._reasons.get(choice) != raw_reason:
                self._change()
            self._reasons[choice] = raw_reason

    def _part(self, part: dict[str, Any], choice: int) -> None:
        words = part.get("text")
        signature = label(part["thoughtSignature"]) if "thoughtSignature" in part else ""
        if words and not signature:
            kind_of_text = ReasoningDelta if part.get("thought") else TextDelta
            self._emit(kind_of_text(text(words), 0, choice))
            return
        kind = next((key for key in part if key not in ("thought", "thoughtSignature")), "")
        if signature and not part.get("thought"):
            rides_on = "" if kind == "text" and not words else kind
            self._emit(ReasoningDelta("", 0, choice, signature=signature, _meta={"part": rides_on}))
        if part.get("thought") and (words or signature):
            self._emit(ReasoningDelta(text(words or ""), 0, choice, signature=signature or None))
        elif words:
            self._emit(TextDelta(text(words), 0, choice))
        elif part.get("functionCall") is not None:
            self._call(part["functionCall"], choice)
        elif part.get("inlineData"):
            blob = part["inlineData"]
            self._emit(File(label(blob.get("mimeType")), b64decode(text(blob["data"]))))
        elif part.get("fileData"):
            self._emit(File(label(part["fileData"].get("mimeType")), url=text(part["fileData"]["fileUri"])))
        elif kind not in ("text", ""):
            self._emit(Raw(dumps(part).decode()))
            self._provider_part(kind, part[kind])

    def _provider_part(self, kind: str, body: Any) -> None:
        """A tool that Google runs, or what it gave back."""
        match kind, body:
            case "executableCode", dict():
                self._emit(self._provider_tools.whole(0, label(body.get("id")), CODE, body.get("code")))
            case "codeExecutionResult", dict():
                error = label(body.get("outcome")).removeprefix("OUTCOME_")
                error = "" if error in ("OK", "UNSPECIFIED") else error
                self._emit(self._provider_tools.result(0, label(body.get("id")), CODE, body.get("output"), error))
            case "toolCall", dict():
                name = label(body.get("toolType")).lower()
                self._emit(self._provider_tools.whole(0, label(body.get("id")), name, body.get("args")))
            case "toolResponse", dict():
                name = label(body.get("toolType")).lower()
                self._emit(self._provider_tools.result(0, label(body.get("id")), name, body.get("response")))

    def _likely(self, result: Any, first: int, choice: int) -> None:
        """Log probabilities belong to the last text of their chunk."""
        for at in range(len(self._out) - 1, first - 1, -1):
            event = self._out[at]
            if isinstance(event, TextDelta) and event.choice == choice:
                event.meta["logprobs"] = result
                return
        self._emit(Raw(dumps({"logprobsResult": result}).decode()))

    def _call(self, call: dict[str, Any], choice: int) -> None:
        name = label(call.get("name"))
        goes_on, pieces = call.get("willContinue"), call.get("partialArgs") or ()
        if name:
            # The empty functionCall that ends a streamed one can be missing.
            self._call_over(choice)
            key = self._n_calls
            self._n_calls += 1
            arguments = call.get("args")
            self._emit(self._tools.fragment(key, label(call.get("id")), name, arguments, choice=choice))
            self._streamed[choice] = key, PartialArgs() if arguments is None else None
        if choice not in self._streamed:
            return
        key, args = self._streamed[choice]
        if args:
            for piece in pieces:
                self._grow(key, args.add(piece), choice)
        if not goes_on:
            self._call_over(choice)

    def _grow(self, key: int, fragment: str, choice: int) -> None:
        if fragment:
            self._emit(self._tools.fragment(key, "", "", fragment, choice=choice))

    def _call_over(self, choice: int) -> None:
        if choice in self._streamed:
            key, args = self._streamed.pop(choice)
            self._grow(key, args.close() if args else "", choice)
            call = self._tools.done(key, choice=choice)
            if call is not None:
                self._emit(call)

    def _end(self, *, terminated: bool = False) -> None:
        for choice, reason in self._reasons.items():
            if super()._normal(reason) is FinishReason.STOP:
                self._call_over(choice)
        # What is still open was cut off, whatever ended the answer.
        for call in self._tools.finish(None, cut=True, confirmed=False):
            self._emit(call)
        super()._end(terminated=terminated)

    def _normal(self, raw_reason: str) -> FinishReason:
        """A stop with tool calls is still called STOP."""
        reason = super()._normal(raw_reason)
        return FinishReason.TOOL_CALLS if reason is FinishReason.STOP and self._tools.any_given else reason

    def _changed(self, key: str, holder: dict[str, Any], choice: int) -> bool:
        value = holder.get(key)
        if not value or self._said.get((key, choice)) == value:
            return False
        self._said[key, choice] = value
        self._change()
        return True

    def _ratings(self, holder: dict[str, Any], choice: int) -> None:
        if not self._changed("safetyRatings", holder, choice):
            return
        for rating in holder["safetyRatings"]:
            level = label(rating.get("probability"))
            if rating.get("blocked") or level not in ("", "NEGLIGIBLE", "1"):
                score = rating.get("probabilityScore")
                score = float(score) if isinstance(score, (int, float)) else None
                action = "block" if rating.get("blocked") else "warn"
                self._emit(Safety(label(rating.get("category")), action, score, level, choice))

    def _sources(self, candidate: dict[str, Any], choice: int) -> None:
        for key in SOURCES:
            if self._changed(key, candidate, choice):
                found = citations(candidate[key])
                if found:
                    self._emit(Citations(tuple(found), _meta={"raw": {key: candidate[key]}}))
                else:
                    self._emit(Raw(dumps({key: candidate[key]}).decode()))


def _rule(thought: bool | None) -> Rule:
    candidate = "candidates.0."
    part = candidate + "content.parts.0."
    return Rule(
        when={part + "thought": thought},
        needs=("candidates.0",),
        reads=(
            *("error", "promptFeedback", "response", part + "thoughtSignature", part + "*"),
            *(candidate + name for name in ("logprobsResult", "safetyRatings", *SOURCES)),
        ),
        text={part + "text": ReasoningDelta if thought else TextDelta},
        choice=candidate + "index?",
        names=("modelVersion", "responseId"),
        begins=True,
        finish=candidate + "finishReason",
        latest=("usageMetadata",),
    )


class GeminiDecoder(_Gemini, SSEDecoder):
    """`data: {"candidates":[{"content":{"parts":[...]},"finishReason"?}],"usageMetadata"}`, until the body ends."""

    name = "gemini"
    shapes = Shapes(payload=("candidates.0.content.parts.0.text",), latest=("usageMetadata.**",))
    rules = Rules(*(_rule(thought) for thought in (None, True)))

    def _object(self, obj: dict[str, Any], message: SSEMessage) -> None:
        if not self._response(obj):
            self._emit(Raw(message.data, message.event if message.named else ""))

    def _unframed(self, message: SSEMessage) -> None:
        """An error in mid-stream is bare JSON, also inside an array."""
        try:
            body = loads(message.unknown)
        except JSONDecodeError:
            body = None
        if isinstance(body, list) and body and isinstance(body[0], dict) and body[0].get("error"):
            self._fail(provider_error(body, provider=self.provider))
        else:
            super()._unframed(message)


class GeminiArrayDecoder(_Gemini):
    """The same objects as elements of one JSON array; its closing bracket ends the answer."""

    name = "gemini-json-array"
    media_types = ("application/json",)

    def _make_parser(self) -> JSONArrayParser:
        return JSONArrayParser(max_event_bytes=self.limits.max_event_bytes)

    def _messages(self, messages: Any) -> None:
        super()._messages(messages)
        if self._parser.complete and not self.ended:
            self._end(terminated=True)

    def _message(self, message: Any) -> None:
        if not isinstance(message, dict) or not self._response(message):
            self._emit(Raw(dumps(message).decode()))
