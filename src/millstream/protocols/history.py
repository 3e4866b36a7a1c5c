"""From an answer's events to the message that goes back with the next request, and from tool results to theirs.

Blocks keep their order. Opaque parts are kept verbatim, each on the part that it belongs to; of events that no decoder
knows, the blocks of provider-executed tools become `ProviderPart`s. Left out: `Usage`, `Safety` other than refusals,
log probabilities, pieces of a spoken answer (its transcript goes back), `Raw` of anything else.

A call that was cut off stays in the message with validity "incomplete", because the model did begin it. Request bodies
refuse it until a tool result answers it (an error result tells the model what happened).
Cost: one join per block. Source: PROTOCOLS.md sections 1 to 8; where parts go: `protocols/requests/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orjson import JSONDecodeError, loads

from millstream.events import (
    Citations,
    Event,
    File,
    Raw,
    ReasoningDelta,
    Safety,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)
from millstream.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from millstream.protocols import ALIASES

__all__ = ["MessageBuilder", "assistant_message", "tool_message"]

# Gemini's parts that a signature can ride on and that have an event of their own. Others carry it in their `Raw`.
CARRIERS = {"text": "text", "functionCall": "call", "inlineData": "file", "fileData": "file"}
GEMINI_BLOCKS = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")


class _Block:
    """A part that is still growing."""

    __slots__ = ("call", "data", "encrypted", "index", "json", "kind", "opaque", "sealed", "signature", "words")

    def __init__(self, kind: str, index: int, opaque: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.index = index
        self.opaque = opaque
        self.words: list[str] = []
        self.sealed = False
        self.signature: str | None = None
        self.encrypted: str | None = None
        self.call: ToolCall | None = None
        self.data: Any = None
        self.json: list[str] = []

    def part(self) -> Part | None:
        """The part that it amounts to, None if that is nothing."""
        words, opaque = "".join(self.words), self.opaque or None
        match self.kind:
            case "text":
                return TextPart(words, opaque=opaque) if words or opaque else None
            case "refusal":
                return RefusalPart(words, opaque=opaque)
            case "reasoning":
                return ReasoningPart(words, self.signature, self.encrypted, opaque=opaque)
            case "call" if self.call is not None:
                call = self.call
                # `input` is what came; the text of a custom tool is its own arguments.
                source = call.input.decode("utf-8", "surrogatepass")
                custom = isinstance(call.arguments, str) and call.arguments == source
                return ToolCallPart(call.id, call.name, source, call.validity.value, custom, opaque=opaque)
            case "file":
                return self.data  # type: ignore[no-any-return]
            case "provider":
                return _provider_part(self.data, "".join(self.json))
        return None


def _provider_part(data: dict[str, Any], fragments: str) -> ProviderPart | None:
    """The block with the input that came in fragments; None if that was cut off: no provider takes such a block."""
    if not fragments:
        return ProviderPart(data)
    try:
        whole = {"input": loads(fragments)}
    except JSONDecodeError:
        return None
    bedrock = data.get("toolUse")
    return ProviderPart({"toolUse": bedrock | whole} if isinstance(bedrock, dict) else data | whole)


class MessageBuilder:
    """Collects the events of one answer.

    Args:
        protocol: the decoder's name or an alias, to mark whose opaque parts these are; "" sends them to whoever is
            asked next.
        choice: which of several answers.
    """

    def __init__(self, protocol: str = "", *, choice: int = 0) -> None:
        self.protocol = ALIASES.get(protocol, protocol)
        self.choice = choice
        self._blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._riding: tuple[str, dict[str, Any]] | None = None

    def add(self, event: Event) -> None:
        """Take the next event of the answer; those that are no part of a message are ignored."""
        if getattr(event, "choice", self.choice) != self.choice:
            return
        match event:
            case TextDelta():
                self._text(event)
            case ReasoningDelta():
                self._reasoning(event)
            case ToolCallDelta() | ToolCall():
                self._call(event)
            case File() if not (event._meta and "audio" in event._meta):  # its transcript is the text
                self._file(event)
            case Safety(category="refusal", action="refuse"):
                self._open("refusal", 0).words.append(event.note)
            case Citations() if event._meta and isinstance(event._meta.get("raw"), dict):
                self._cited(event, event._meta["raw"])
            case Raw():
                self._raw(event)

    def message(self) -> Message:
        """Return the message as far as it has come."""
        parts = (block.part() for block in self._blocks)
        return Message("assistant", [part for part in parts if part is not None], self.protocol)

    def _open(self, kind: str, index: int, *, new: bool = False) -> _Block:
        """The block that grows, if it is of this kind and index, else a new one."""
        last = self._blocks[-1] if self._blocks else None
        if last is None or new or last.sealed or (last.kind, last.index) != (kind, index):
            last = _Block(kind, index, self._carried(kind))
            self._blocks.append(last)
        return last

    def _carried(self, kind: str) -> dict[str, Any] | None:
        """A signature that came just before the part that it rides on (Gemini)."""
        if self._riding is None or self._riding[0] != kind:
            return None
        opaque, self._riding = self._riding[1], None
        return opaque

    def _text(self, event: TextDelta) -> None:
        rides = self._riding is not None and self._riding[0] == "text"
        block = self._open("text", event.index, new=rides)
        block.words.append(event.text)
        # A signed part stays by itself: merged with its neighbours it would no longer be what was signed.
        block.sealed = rides
        phase = event._meta and event._meta.get("phase")
        if phase:
            block.opaque = (block.opaque or {}) | {"phase": phase}

    def _reasoning(self, event: ReasoningDelta) -> None:
        meta: dict[str, Any] = event._meta or {}
        rides_on = meta.get("part")
        if event.signature and rides_on is not None:
            self._ride(rides_on, event.signature)
            return
        head = meta.get("reasoning_details")
        opaque = event.signature or event.encrypted or "item" in meta
        block = self._open("reasoning", event.index, new=bool(event.text and opaque) or self._is_other(head, rides_on))
        if event.text:
            block.words.append(event.text)
        if rides_on:
            block.opaque = {"part": rides_on}
        if head:
            kept = {key: value for key, value in head.items() if key not in ("signature", "data", "text", "summary")}
            block.opaque = (block.opaque or {}) | kept
        if "item" in meta:
            block.opaque = meta["item"]
        block.signature = event.signature or block.signature
        block.encrypted = event.encrypted or block.encrypted
        block.sealed = bool(opaque)

    def _is_other(self, head: dict[str, Any] | None, kind: Any) -> bool:
        """Whether this is another entry of OpenRouter's `reasoning_details`, or no more Cohere's plan, or only now."""
        last = self._blocks[-1] if self._blocks else None
        if last is None or last.kind != "reasoning":
            return False
        known = last.opaque or {}
        return known.get("part") != kind or any(
            known.get(key) != head.get(key) for key in ("type", "index") if head and known
        )

    def _ride(self, kind: str, signature: str) -> None:
        opaque = {"thoughtSignature": signature}
        if kind == "":
            block = self._open("text", 0, new=True)
            block.opaque, block.sealed = opaque, True
        elif kind in CARRIERS:
            self._riding = CARRIERS[kind], opaque

    def _call(self, event: ToolCallDelta | ToolCall) -> None:
        block = self._calls.get(event.index)
        if block is None:
            block = self._calls[event.index] = self._open("call", event.index)
        if isinstance(event, ToolCall):
            block.call = event

    def _file(self, event: File) -> None:
        opaque = self._carried("file") or ({"id": event.meta["id"]} if event._meta and "id" in event._meta else None)
        cls = ImagePart if event.media_type.startswith("image/") else FilePart
        source: dict[str, Any] = {"data": event.data} if event.data else {"url": event.url}
        if event.data or event.url:
            self._open("file", event.index, new=True).data = cls(**source, media_type=event.media_type, opaque=opaque)

    def _cited(self, event: Citations, raw: dict[str, Any]) -> None:
        """Anthropic's citations carry an encrypted index that goes back with the text."""
        if isinstance(raw.get("type"), str):
            block = self._open("text", event.index)
            opaque = block.opaque = block.opaque or {}
            opaque.setdefault("citations", []).append(raw)

    def _raw(self, event: Raw) -> None:
        try:
            raw = loads(event.data)
        except JSONDecodeError:
            return
        match raw:
            case {"type": "content_block_start", "content_block": dict(data), "index": int(index)}:  # Anthropic
                self._open("provider", index, new=True).data = data
            case {"type": "content_block_delta", "index": int(index), "delta": {"partial_json": str(fragment)}}:
                self._provider(index).json.append(fragment)
            case {"type": "content_block_delta", "index": int(index), "delta": {"type": "compaction_delta", **delta}}:
                self._provider(index).data |= delta
            case {"type": "response.output_item.done", "item": dict(data), "output_index": int(index)}:  # Responses
                self._open("provider", index, new=True).data = data
            case {"contentBlockIndex": int(index), "start": {"toolUse": dict()} as start}:  # Bedrock
                self._open("provider", index, new=True).data = {"toolUse": {"input": {}} | start["toolUse"]}
            case {"contentBlockIndex": int(index), "delta": {"toolUse": {"input": str(fragment)}}}:
                self._provider(index).json.append(fragment)
            case {"contentBlockIndex": int(index), "start": {"toolResult": dict()} as start}:
                self._open("provider", index, new=True).data = {"toolResult": start["toolResult"] | {"content": []}}
            case {"contentBlockIndex": int(index), "delta": {"toolResult": list(parts)}}:
                self._provider(index).data.get("toolResult", {"content": []})["content"].extend(parts)
            case dict() if any(key in raw for key in GEMINI_BLOCKS):
                self._open("provider", 0, new=True).data = raw

    def _provider(self, index: int) -> _Block:
        """The block of this index, which its start has opened; a stray fragment goes nowhere."""
        found = (block for block in reversed(self._blocks) if (block.kind, block.index) == ("provider", index))
        stray = _Block("stray", index)
        stray.data = {}
        return next(found, stray)


def assistant_message(events: Iterable[Event], protocol: str = "", *, choice: int = 0) -> Message:
    """Return the assistant's message of the events of one answer, to be sent back with the next request.

    Args:
        events: of one model call, in order.
        protocol: the decoder's name; see `MessageBuilder`.
        choice: which of several answers.
    """
    builder = MessageBuilder(protocol, choice=choice)
    for event in events:
        builder.add(event)
    return builder.message()


def tool_message(results: Iterable[ToolResult]) -> Message:
    """Return the message that tells the model the results of its tools, those that failed included."""
    return Message("tool", [_result(event) for event in results])


def _result(event: ToolResult) -> ToolResultPart:
    if event.error is not None:
        return ToolResultPart(event.id, event.name, event.error, is_error=True)
    return ToolResultPart(event.id, event.name, event.result)
