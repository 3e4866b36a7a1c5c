"""Amazon Bedrock's `converse-stream`, and what all of Bedrock's streams share: framing, exceptions.

The end is `metadata`, which comes after `messageStop`. A text block has no `contentBlockStart`. Tool calls are given at
`messageStop`: only then is it known whether a token limit cut them off.
Source: PROTOCOLS.md section 8.
"""

from __future__ import annotations

from abc import abstractmethod
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from orjson import loads

from millstream.events import (
    Citation,
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
from millstream.protocols._base import ANSWER, Decoder
from millstream.protocols._errors import provider_error
from millstream.protocols._eventstream import EventStreamMessage, EventStreamParser
from millstream.protocols._provider_tools import ProviderTools
from millstream.protocols._values import count, label, number, text

__all__ = ["BedrockConverseDecoder", "EventStreamDecoder"]


class EventStreamDecoder(Decoder):
    """A protocol over Amazon's event stream whose payloads are JSON objects."""

    media_types = ("application/vnd.amazon.eventstream",)

    def _make_parser(self) -> EventStreamParser:
        return EventStreamParser(max_event_bytes=self.limits.max_event_bytes)

    def _message(self, message: EventStreamMessage) -> None:
        headers = message.headers
        match headers.get(":message-type"):
            case "exception":
                code = headers.get(":exception-type")
                body = loads(message.payload or b"{}")
                said = body.get("message") or body.get("Message")
                self._exception(label(code), label(said))
            case "error":
                self._exception(label(headers.get(":error-code")), label(headers.get(":error-message")))
            case _:
                self._event(label(headers.get(":event-type")), loads(message.payload), message.payload.decode())

    def _exception(self, code: str, said: str) -> None:
        error = provider_error({"code": code, "message": said}, provider=self.provider)
        # "Retry your request", says its documentation; nothing in the name tells.
        error.retryable = error.retryable or code == "modelStreamErrorException"
        self._fail(error)

    @abstractmethod
    def _event(self, kind: str, body: dict[str, Any], source: str) -> None:
        """Map one event; `source` is its text, for `Raw`."""


class BedrockConverseDecoder(EventStreamDecoder):
    """messageStart (contentBlockStart? contentBlockDelta* contentBlockStop)* messageStop metadata."""

    name = "bedrock-converse"
    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, Safety, File)
    reasons = {
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "tool_use": FinishReason.TOOL_CALLS,
        "max_tokens": FinishReason.LENGTH,
        "model_context_window_exceeded": FinishReason.LENGTH,
        "guardrail_intervened": FinishReason.CONTENT_FILTER,
        "content_filtered": FinishReason.CONTENT_FILTER,
    }

    def _restart(self) -> None:
        super()._restart()
        self._provider_tools = ProviderTools()
        self._results: dict[int, tuple[dict[str, Any], list[Any]]] = {}

    def _event(self, kind: str, body: dict[str, Any], source: str) -> None:
        match kind:
            case "contentBlockDelta":
                self._delta(body["delta"], number(body.get("contentBlockIndex")), source)
            case "contentBlockStart":
                self._block(body.get("start") or {}, number(body.get("contentBlockIndex")), source)
            case "messageStart":
                self._begin()
            case "contentBlockStop":
                self._block_stop(number(body.get("contentBlockIndex")))
            case "messageStop":
                self._finish(text(body["stopReason"]))
            case "metadata":
                self._usage = converse_usage(body.get("usage")) or self._usage
                for verdict in _verdicts((body.get("trace") or {}).get("guardrail") or {}):
                    self._emit(verdict)
                if self._reasons:
                    self._end(terminated=True)
            case _:
                self._emit(Raw(source, kind))

    def _block(self, start: dict[str, Any], index: int, source: str) -> None:
        tool = start.get("toolUse")
        if tool and tool.get("type") != "server_tool_use":
            self._emit(self._tools.fragment(index, label(tool.get("toolUseId")), label(tool.get("name")), None))
        elif start:
            self._emit(Raw(source, "contentBlockStart"))
            if tool:
                self._provider_tools.begin(index, label(tool.get("toolUseId")), label(tool.get("name")))
            elif isinstance(start.get("toolResult"), dict):
                self._results[index] = start["toolResult"], []

    def _block_stop(self, index: int) -> None:
        call = self._provider_tools.done(index)
        if call is not None:
            self._emit(call)
        if index in self._results:
            head, parts = self._results.pop(index)
            error = "the tool failed" if head.get("status") == "error" else ""
            kind = label(head.get("type")).removesuffix("_result")
            self._emit(self._provider_tools.result(index, label(head.get("toolUseId")), kind, parts, error))

    def _delta(self, delta: dict[str, Any], index: int, source: str) -> None:
        match delta:
            case {"text": said}:
                if said:
                    self._emit(TextDelta(text(said), index))
            case {"toolUse": {"input": arguments}} if index in self._tools:
                if arguments:
                    self._emit(self._tools.fragment(index, "", "", arguments))
            case {"reasoningContent": dict(thought)}:
                self._reasoning(thought, index)
            case {"citation": dict(cited)}:
                self._emit(Citations((_citation(cited),), index))
            case {"image": {"format": kind, "source": {"bytes": data}}}:
                self._emit(File(f"image/{text(kind)}", b64decode(text(data)), index=index))
            case _:
                self._emit(Raw(source, "contentBlockDelta"))
                self._provider_delta(delta, index)

    def _provider_delta(self, delta: dict[str, Any], index: int) -> None:
        match delta:
            case {"toolUse": {"input": str(fragment)}} if index in self._provider_tools:
                self._provider_tools.add(index, fragment)
            case {"toolResult": list(parts)} if index in self._results:
                self._results[index][1].extend(parts)

    def _reasoning(self, thought: dict[str, Any], index: int) -> None:
        said, signature, hidden = (label(thought.get(key)) for key in ("text", "signature", "redactedContent"))
        if said or signature or hidden:
            self._emit(ReasoningDelta(said, index, signature=signature or None, encrypted=hidden or None))


def converse_usage(raw: dict[str, Any] | None) -> Usage | None:
    """Normalise Bedrock's usage object. Nova names the cache counts `...TokenCount`."""
    if not raw:
        return None
    given, made = count(raw.get("inputTokens")), count(raw.get("outputTokens"))
    total = count(raw.get("totalTokens"))
    if total is None and given is not None and made is not None:
        total = given + made
    read, write = (
        count(raw.get(f"cache{way}InputTokens", raw.get(f"cache{way}InputTokenCount"))) for way in ("Read", "Write")
    )
    return Usage(given, made, total, read, write, None, raw)


def _citation(raw: dict[str, Any]) -> Citation:
    location: dict[str, Any] = next(iter((raw.get("location") or {}).values()), {})
    passages = raw.get("sourceContent") or ()
    return Citation(
        url=label(location.get("url")),
        title=label(raw.get("title")),
        source=label(raw.get("source")) or label(location.get("documentIndex")),
        text="".join(label(passage.get("text")) for passage in passages),
    )


def _verdicts(guardrail: dict[str, Any]) -> Iterator[Safety]:
    """What a guardrail did, one event per rule that acted. What it matched is not repeated: it may be personal data."""
    assessments = list((guardrail.get("inputAssessment") or {}).values())
    for several in (guardrail.get("outputAssessments") or {}).values():
        assessments += several
    for assessment in assessments:
        for policy, parts in assessment.items():
            for rules in parts.values() if isinstance(parts, dict) else ():
                for rule in rules if isinstance(rules, list) else ():
                    if rule.get("action") not in (None, "NONE"):
                        score = rule.get("score")
                        yield Safety(
                            label(rule.get("name") or rule.get("type")) or policy,
                            "block" if rule["action"] == "BLOCKED" else "warn",
                            float(score) if isinstance(score, (int, float)) else None,
                            policy,
                        )
