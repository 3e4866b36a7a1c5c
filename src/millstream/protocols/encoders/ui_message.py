"""Any provider's events as the UI message stream of the Vercel AI SDK (`useChat`), version 1.

A browser reads this: of an error it gets the kind only, unless `expose_errors` is set; `Raw` and the payload of
`Handoff` stay here; an address that is not http(s) is never put where a page would open it.

How events become parts: text and reasoning by block, one block at a time; a signature or encrypted reasoning ends its
part and stands in its `providerMetadata.millstream`, or in that of the part that it belongs to (Gemini). Refusals are
text marked so; verdicts are `data-safety`, `ObjectDelta` a transient `data-object-delta`, `Handoff` a `data-handoff`,
`Data` a `data-<name>` (`data-payload` without a name) with `meta["id"]` and `meta["transient"]`, a file with another
address a `data-file`. Calls whose arguments cannot be used are `tool-input-error`. A stream without steps is one step.
A stream closed without `Finish` is an `abort`; an answer that the provider cut off (`FinishReason.INCOMPLETE`) is an
`error`.

Not expressible, gives b"": answers but the first (`n` > 1), Raw, warnings (`Error` that is not fatal), verdicts that
let the answer pass; Usage, unless `metadata` tells it. Left out: logprobs, the raw reason why it ended, all of
`StepFinish` but its place. Source: `uiMessageChunkSchema` of npm `ai` 5.0.100, 6.0.0 and 7.0.173.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from millstream.events import (
    Citations,
    Data,
    Error,
    Event,
    File,
    Finish,
    FinishReason,
    Handoff,
    ObjectDelta,
    ProviderToolCall,
    ProviderToolResult,
    ReasoningDelta,
    Safety,
    Start,
    StepFinish,
    StepStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Validity,
)
from millstream.protocols.encoders._browser_calls import ShownCalls
from millstream.protocols.encoders._browser_parts import file_part, source_part
from millstream.protocols.encoders._calls import ClientCall, ClientCalls
from millstream.protocols.encoders._faults import TOOL_FAILED, error_text
from millstream.protocols.encoders._sse import SSEEncoder, json_data, json_text

__all__ = ["UIMessageEncoder"]

REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool-calls",
    FinishReason.CONTENT_FILTER: "content-filter",
    FinishReason.ERROR: "error",
    FinishReason.INCOMPLETE: "error",
}
UNUSABLE = {Validity.INCOMPLETE: "The input was cut off.", Validity.INVALID: "The input is not JSON."}
OPAQUE_META = ("id", "part", "reasoning_details")
"""What decoders put into `meta` of an opaque part, to be sent back with it."""


def _chunk(kind: str, **members: Any) -> bytes:
    return json_data({"type": kind, **members})


class UIMessageEncoder(SSEEncoder):
    """start (start-step part* finish-step)* finish, `data: [DONE]`.

    Args:
        message_id: what the client shall call the message; None: it chooses itself, which a message that goes on after
            a tool call needs.
        metadata: called with each event; what it returns is merged into the message's metadata. None: nothing is.
        expose_errors: send the messages of errors and of failed tools, instead of a sentence for their kind.
    """

    name = "ui-message"
    headers: ClassVar[dict[str, str]] = {**SSEEncoder.headers, "x-vercel-ai-ui-message-stream": "v1"}

    def __init__(
        self,
        *,
        message_id: str | None = None,
        metadata: Callable[[Event], Mapping[str, Any] | None] | None = None,
        expose_errors: bool = False,
    ) -> None:
        super().__init__(expose_errors=expose_errors)
        self._message_id = message_id
        self._metadata = metadata
        self._stepping = False
        self._failed = False
        self._n = 0  # parts and sources so far
        self._part: tuple[str, int | None, str] | None = None  # kind, block and id of what is being said
        self._head = b""  # of its deltas
        self._marks: dict[str, Any] = {}  # its metadata, sent when it ends
        self._pending: dict[str, Any] = {}  # metadata of the part that comes next
        self._calls = ClientCalls()
        self._call_prefix = "call_"
        self._streaming: dict[ClientCall, str] = {}  # calls whose arguments are arriving -> their id here
        self._shown = ShownCalls()

    def encode(self, event: Event) -> bytes:
        """Encode one event, and what `metadata` says of it. Raises and Cost as for every encoder."""
        if self._metadata is None or type(event) in (Start, Finish):
            return super().encode(event)
        more = self._more(event)
        out = super().encode(event)
        return out + _chunk("message-metadata", **more) if more and self._live else out

    def _more(self, event: Event) -> dict[str, Any]:
        told = self._metadata(event) if self._metadata is not None else None
        json_text(told)  # what cannot be sent is refused before anything is
        return {"messageMetadata": told} if told else {}

    # --- the message as a whole --------------------------------------------------------------------------------------

    def _begin(self, start: Start) -> bytes:
        named = {"messageId": self._message_id} if self._message_id is not None else {}
        out = _chunk("start", **named, **self._more(start))
        if start.id:
            json_text(start.id)
            self._call_prefix = f"call_{start.id}_"
        return out

    def _finish(self, event: Finish) -> bytes:
        more = self._more(event)
        out = b""
        if event.reason in (FinishReason.INCOMPLETE, FinishReason.ERROR) and not self._failed:
            out = self._close_all() + _chunk("error", errorText=error_text(event.reason))
        out += self._end_step()
        self._live = False
        return out + _chunk("finish", finishReason=REASONS.get(event.reason, "other"), **more)

    def _end(self) -> bytes:
        out = b""
        if self._live:
            out = self._end_step() if self._failed else self._close_all() + _chunk("abort")
        return out + b"data: [DONE]\n\n" if self._begun else b""

    def _error(self, event: Error) -> bytes:
        if not event.fatal or self._failed:
            return b""
        chunk = _chunk("error", errorText=self._words(event.error))
        self._failed = True
        return self._close_all() + chunk

    def _step_start(self, event: StepStart) -> bytes:
        return self._end_step() + self._in_step()

    def _step_finish(self, event: StepFinish) -> bytes:
        return self._end_step()

    def _in_step(self) -> bytes:
        if self._stepping:
            return b""
        self._stepping = True
        return _chunk("start-step")

    def _end_step(self) -> bytes:
        out = self._close_all()
        if self._stepping:
            self._stepping = False
            out += _chunk("finish-step")
        return out

    def _close_all(self) -> bytes:
        """End what is being said, and the calls that will not be completed."""
        out = [self._flush(), self._close()]
        for call, id in self._streaming.items():
            had = {"toolCallId": id, "toolName": call.name, "input": "".join(call.sent)}
            out.append(_chunk("tool-input-error", **had, errorText=UNUSABLE[Validity.INCOMPLETE]))
            self._calls.forget(call)
        self._streaming.clear()
        return b"".join(out)

    # --- what is said ------------------------------------------------------------------------------------------------

    def _say(self, kind: str, block: int | None, words: str) -> bytes:
        """Write a fragment of a part of this kind ("text" or "reasoning"); "" only opens it."""
        data, out = json_text(words), b""
        if self._part is None or self._part[:2] != (kind, block) or (self._pending and self._marks):
            out = self._in_step() + self._close()
            self._part = (kind, block, self._next_id(kind))
            out += _chunk(f"{kind}-start", id=self._part[2])
            self._head = f'data: {{"type":"{kind}-delta","id":"{self._part[2]}","delta":'.encode()
        if self._pending:
            self._marks, self._pending = self._pending, {}
        return b"%b%b%b}\n\n" % (out, self._head, data) if words else out

    def _next_id(self, kind: str) -> str:
        self._n += 1
        return f"{kind}-{self._n}"

    def _close(self) -> bytes:
        """End the part of which something is being said."""
        if self._part is None:
            return b""
        kind, _, id = self._part
        marks, self._part, self._marks = self._marks, None, {}
        return _chunk(f"{kind}-end", id=id, **_provider_metadata(marks))

    def _flush(self) -> bytes:
        """Write the metadata that waits for a part as a part without words."""
        return self._close() + self._say("reasoning", None, "") + self._close() if self._pending else b""

    def _text(self, event: TextDelta) -> bytes:
        if event.choice:
            return b""
        return self._say("text", event.index, event.text)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.choice:
            return b""
        meta = event._meta or {}
        marks = {"signature": event.signature, "encrypted": event.encrypted}
        opaque = event.signature is not None or event.encrypted is not None
        marks |= {key: meta.get(key) for key in OPAQUE_META}
        marks = {key: value for key, value in marks.items() if value is not None}
        json_text([event.text, marks])
        out = self._say("reasoning", event.index, event.text) if event.text else b""
        if opaque:
            out += self._flush()
            self._pending = marks
            if "part" not in marks:
                out += self._say("reasoning", event.index, "") + self._close()
        return out

    def _safety(self, event: Safety) -> bytes:
        if event.choice or event.action == "pass":
            return b""
        json_text([event.category, event.action, event.note])
        if event.category != "refusal":
            score = {} if event.score is None else {"score": event.score}
            verdict = {"category": event.category, "action": event.action, **score, "note": event.note}
            return _chunk("data-safety", data=verdict)
        if not event.note:
            return b""
        out = b""
        if self._part is None or self._part[:2] != ("text", None):
            out = self._flush()
            self._pending = {"refusal": True}
        return out + self._say("text", None, event.note)

    # --- other parts -------------------------------------------------------------------------------------------------

    def _citations(self, event: Citations) -> bytes:
        ids = [f"source-{self._n + number}" for number, _ in enumerate(event.citations, 1)]
        parts = [source_part(source, id, event.index) for source, id in zip(event.citations, ids, strict=True)]
        out = b"".join(map(json_data, parts))
        self._n += len(parts)
        return self._in_step() + out

    def _file(self, event: File) -> bytes:
        part = file_part(event)
        if part is None:
            return b""
        out = json_data(part)
        return self._in_step() + self._close() + out

    def _data(self, event: Data[Any]) -> bytes:
        meta = event._meta or {}
        known = {key: meta[key] for key, kind in (("id", str), ("transient", bool)) if isinstance(meta.get(key), kind)}
        return _chunk(f"data-{event.name or 'payload'}", **known, data=event.payload)

    def _object(self, event: ObjectDelta) -> bytes:
        change = {"path": event.path, "op": event.op, "value": event.value}
        return _chunk("data-object-delta", data=change, transient=True)

    def _handoff(self, event: Handoff) -> bytes:
        return _chunk("data-handoff", data={"target": event.target})

    # --- tools -------------------------------------------------------------------------------------------------------

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        if event.choice:
            return b""
        json_text([event.id, event.name, event.arguments])
        call = self._calls.find(event, self._call_prefix)
        arguments = call.take(event)
        if arguments is None:
            return b""
        out = b""
        if not call.begun:
            call.begun = True
            id = self._streaming[call] = self._shown.add(call.id, call.name)
            out = self._before_call() + _chunk(
                "tool-input-start", toolCallId=id, toolName=call.name, **self._marks_now()
            )
        if arguments:
            call.sent.append(arguments)
            out += _chunk("tool-input-delta", toolCallId=self._streaming[call], inputTextDelta=arguments)
        return out

    def _call(self, event: ToolCall) -> bytes:
        if event.choice:
            return b""
        text = event.input.decode("utf-8", "replace")
        json_text([event.id, event.name, event.arguments])
        call = self._calls.find(event, self._call_prefix)
        call.name = call.name or "unnamed"
        out = b"" if call.begun else self._before_call()
        id = self._streaming.pop(call) if call.begun else self._shown.add(call.id, call.name)
        self._calls.done(event)
        known = {"toolCallId": id, "toolName": call.name}
        if event.validity is Validity.VALID:
            return out + _chunk("tool-input-available", **known, input=event.arguments, **self._marks_now())
        why = UNUSABLE[event.validity]
        return out + _chunk("tool-input-error", **known, input=text, errorText=why, **self._marks_now())

    def _before_call(self) -> bytes:
        return self._in_step() + self._close()

    def _marks_now(self) -> dict[str, Any]:
        marks, self._pending = self._pending, {}
        return _provider_metadata(marks)

    def _provider_call(self, event: ProviderToolCall) -> bytes:
        json_text([event.id, event.name, event.input])
        known = {
            "toolCallId": self._shown.add(event.id or self._next_id("provider-call"), event.name),
            "toolName": event.name,
        }
        return self._before_call() + _chunk("tool-input-available", **known, input=event.input, providerExecuted=True)

    def _result(self, event: ToolResult | ProviderToolResult, **more: Any) -> bytes:
        told: dict[str, Any] = {"output": event.result}
        if event.error is not None:
            told = {"errorText": event.error if self._expose else TOOL_FAILED}
        kind = "tool-output-available" if event.error is None else "tool-output-error"
        json_text([event.id, event.name, told])
        out = b""
        here = self._shown.answer(event.id, event.name)
        if here is None:
            id = event.id or self._next_id("call")
            self._shown.add(id, event.name)
            here = self._shown.answer(id, event.name)
            known = {"toolCallId": here, "toolName": event.name}
            out = self._before_call() + _chunk("tool-input-available", **known, input=None, **more)
        return out + _chunk(kind, toolCallId=here, **told, **more)

    def _provider_result(self, event: ProviderToolResult) -> bytes:
        return self._result(event, providerExecuted=True)

    _writers = {
        Citations: _citations,
        Data: _data,
        Error: _error,
        File: _file,
        Finish: _finish,
        Handoff: _handoff,
        ObjectDelta: _object,
        ProviderToolCall: _provider_call,
        ProviderToolResult: _provider_result,
        ReasoningDelta: _reasoning,
        Safety: _safety,
        StepFinish: _step_finish,
        StepStart: _step_start,
        TextDelta: _text,
        ToolCall: _call,
        ToolCallDelta: _call_delta,
        ToolResult: _result,
    }


def _provider_metadata(marks: dict[str, Any]) -> dict[str, Any]:
    return {"providerMetadata": {"millstream": marks}} if marks else {}
