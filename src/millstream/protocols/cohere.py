"""Cohere chat: v2 (server-sent events) and v1 (one JSON object per line).

The tool plan is reasoning. Of the two token counts, `tokens` is taken, and `billed_units` where it is missing; both
stay in `Usage.raw`. Source: PROTOCOLS.md section 6.
"""

from __future__ import annotations

from typing import Any, ClassVar

from orjson import dumps

from millstream.core import Rule, Rules, Shapes
from millstream.events import (
    Citation,
    Citations,
    Event,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from millstream.protocols._base import ANSWER, Decoder, Fresh, NDJSONDecoder, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._values import count, label, number, text

__all__ = ["CohereV1Decoder", "CohereV2Decoder"]


SEARCH = "search"  # v1's connectors are run by Cohere; they have no name here


class _Cohere(Decoder):
    """What both versions share."""

    gives: ClassVar[tuple[type[Event], ...]] = (*ANSWER, Citations)

    reasons = {
        "COMPLETE": FinishReason.STOP,
        "STOP_SEQUENCE": FinishReason.STOP,
        "MAX_TOKENS": FinishReason.LENGTH,
        "ERROR_LIMIT": FinishReason.LENGTH,
        "TOOL_CALL": FinishReason.TOOL_CALLS,
        "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
        "ERROR": FinishReason.ERROR,
        "TIMEOUT": FinishReason.ERROR,
    }

    def _over(self, reason: str, usage: Any, error: Any, error_type: Any) -> None:
        """The last message: `message-end` or `stream-end`."""
        if isinstance(usage, dict):
            self._usage = _usage(usage)
        if error or self._normal(reason) is FinishReason.ERROR:
            self._reasons[0] = reason
            self._fail(provider_error({"error": {"message": error, "type": label(error_type)}}, provider=self.provider))
            return
        if reason:
            self._finish(reason)
        self._end(terminated=True)

    def _normal(self, raw_reason: str) -> FinishReason:
        """v1 has no reason of its own for tool calls."""
        if raw_reason == "COMPLETE" and self._tools.any_given:
            return FinishReason.TOOL_CALLS
        return super()._normal(raw_reason)

    def _call_over(self, key: int, *_: object) -> None:
        call = self._tools.done(key)
        if call is not None:
            self._emit(call)

    def _refused(self, obj: dict[str, Any], kind: Any) -> bool:
        """Whether this is an error body, `{"message": ...}` or `{"error": ...}`, and no message of the stream."""
        if kind == "error" or (kind is None and (obj.get("error") or isinstance(obj.get("message"), str))):
            self._fail(provider_error(obj, provider=self.provider))
            return True
        return False


class CohereV2Decoder(_Cohere, SSEDecoder):
    """message-start (tool-plan-delta | tool-call-* | content-* | citation-*)* message-end [DONE]."""

    name = "cohere-v2"
    shapes = Shapes(
        payload=(
            "delta.message.content.text",
            "delta.message.content.thinking",
            "delta.message.tool_plan",
            "delta.message.tool_calls.function.arguments",
        ),
        meta=("part",),
    )
    rules = Rules(
        *(
            Rule(
                when={"type": kind},
                needs=("delta.message.content",),
                reads=("logprobs",),
                text={
                    "delta.message.content.thinking": ReasoningDelta,
                    "delta.message.content.text": TextDelta,
                },
                index="index?",
            )
            for kind in ("content-delta", "content-start")
        ),
        Rule(
            when={"type": "tool-plan-delta"},
            needs=("delta.message.tool_plan",),
            index="index?",
            call="_plan",
            given=("delta.message.tool_plan",),
        ),
        Rule(
            when={"type": "tool-call-delta"},
            needs=("delta.message.tool_calls.function.arguments",),
            index="index?",
            call="_fragment",
            given=("delta.message.tool_calls.function.arguments",),
        ),
        Rule(when={"type": "tool-call-end"}, index="index?", call="_call_over"),
        *(Rule(when={"type": kind}, index="index?") for kind in ("content-end", "citation-end")),
    )

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        index = number(obj.get("index"))
        delta = obj.get("delta") or {}
        said = delta.get("message") or {}
        match obj.get("type"):
            case "content-delta" | "content-start":
                self._content(said["content"], index, obj.get("logprobs"))
            case "tool-plan-delta":
                if said["tool_plan"]:
                    self._plan(index, 0, text(said["tool_plan"]))
            case "tool-call-start":
                call = said["tool_calls"]
                function = call["function"]
                call_id, name = label(call.get("id")), label(function["name"])
                self._emit(self._tools.fragment(index, call_id, name, function.get("arguments")))
            case "tool-call-delta" if index in self._tools:
                self._fragment(index, 0, text(said["tool_calls"]["function"]["arguments"]))
            case "tool-call-end":
                self._call_over(index)
            case "citation-start":
                cited = said["citations"]
                cited = cited if isinstance(cited, list) else [cited]
                sources = tuple(one for raw in cited for one in _cited(raw, raw.get("sources")))
                self._emit(Citations(sources, number(cited[0].get("content_index"))))
            case "message-start":
                self._id = label(obj.get("id"))
                self._begin()
            case "message-end":
                reason = label(delta.get("finish_reason"))
                self._over(reason, delta.get("usage"), delta.get("error"), delta.get("error_type"))
            case "content-end" | "citation-end":
                pass
            case kind if not self._refused(obj, kind):
                self._emit(Raw(message.data, message.event if message.named else ""))

    def _plan(self, index: int, _: int, words: str) -> None:
        if words:
            self._emit(ReasoningDelta(words, index, _meta={"part": "tool_plan"}))

    def _fragment(self, index: int, _: int, arguments: str) -> bool:
        if index not in self._tools:
            return False
        self._emit(self._tools.fragment(index, "", "", arguments))
        return True

    def _content(self, part: dict[str, Any], index: int, logprobs: Any) -> None:
        if part.get("thinking"):
            self._emit(ReasoningDelta(text(part["thinking"]), index))
        if part.get("text"):
            event = TextDelta(text(part["text"]), index)
            if logprobs:
                event.meta["logprobs"] = logprobs
            self._emit(event)


class CohereV1Decoder(_Cohere, NDJSONDecoder):
    """stream-start (text-generation | citation-generation | tool-calls-*)* stream-end."""

    name = "cohere-v1-ndjson"
    media_types = ("application/stream+json", "application/x-ndjson", "application/jsonl", "application/ndjson")
    gives: ClassVar[tuple[type[Event], ...]] = (*_Cohere.gives, ProviderToolCall, ProviderToolResult)
    shapes = Shapes(payload=("text", "tool_call_delta.parameters"))
    rules = Rules(Rule(when={"event_type": "text-generation"}, needs=("text",), text={"text": TextDelta}))

    _planned = False
    _documents = Fresh(dict[str, Any])  # what searches found, by id

    def _object(self, obj: dict[str, Any]) -> None:
        match obj.get("event_type"):
            case "text-generation":
                if obj["text"]:
                    self._emit(TextDelta(text(obj["text"])))
            case "citation-generation":
                cited = obj["citations"]
                sources = tuple(one for raw in cited for one in _cited(raw, self._known(raw.get("document_ids"))))
                if sources:
                    self._emit(Citations(sources))
            case "search-queries-generation":
                self._emit(Raw(dumps(obj).decode()))
                self._emit(ProviderToolCall("", SEARCH, obj.get("search_queries")))
            case "search-results":
                self._emit(Raw(dumps(obj).decode()))
                found = obj.get("documents")
                self._documents |= {label(one.get("id")): one for one in found or ()}
                self._emit(ProviderToolResult("", SEARCH, found))
            case "tool-calls-chunk":
                self._plan(obj.get("text"))
                call = obj.get("tool_call_delta")
                if call:
                    name = label(call.get("name"))
                    self._emit(self._tools.fragment(number(call.get("index")), "", name, call.get("parameters")))
            case "tool-calls-generation":
                if not self._planned:
                    self._plan(obj.get("text"))
                for index, call in enumerate(obj["tool_calls"]):
                    if index not in self._tools:
                        self._emit(self._tools.fragment(index, "", label(call["name"]), call.get("parameters")))
                    self._call_over(index)
            case "stream-start":
                self._id = label(obj.get("generation_id"))
                self._begin()
            case "stream-end":
                meta = (obj.get("response") or {}).get("meta")
                self._over(label(obj.get("finish_reason")), meta, obj.get("error"), None)
            case kind if not self._refused(obj, kind):
                self._emit(Raw(dumps(obj).decode()))

    def _known(self, ids: Any) -> list[Any]:
        """The documents of these ids; the id itself where no search told of it (a document of the request)."""
        return [{"id": id, "document": self._documents[id]} if id in self._documents else id for id in ids or ()]

    def _plan(self, words: Any) -> None:
        if words:
            self._planned = True
            self._emit(ReasoningDelta(text(words)))


def _cited(raw: dict[str, Any], sources: Any) -> list[Citation]:
    """One citation for each source of a passage: of v2 an object, of v1 an id."""
    passage, start, end = label(raw.get("text")), count(raw.get("start")), count(raw.get("end"))
    found = []
    for given in sources or (None,):
        source: dict[str, Any] = given if isinstance(given, dict) else {"id": given}
        document = source.get("document") or source.get("tool_output") or {}
        url, title = label(document.get("url")), label(document.get("title"))
        found.append(Citation(url, title, label(source.get("id")), passage, start, end))
    return found


def _usage(raw: dict[str, Any]) -> Usage:
    counted = raw.get("tokens") or raw.get("billed_units") or {}
    given, made = count(counted.get("input_tokens")), count(counted.get("output_tokens"))
    total = given + made if given is not None and made is not None else None
    return Usage(given, made, total, count(raw.get("cached_tokens")), raw=raw)
