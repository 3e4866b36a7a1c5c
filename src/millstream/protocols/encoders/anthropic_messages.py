"""Any provider's events as an Anthropic message stream.

One content block is open at a time, numbered in order. A tool call keeps its block open until it is known to be
complete (`ToolCall`): to end a block is to confirm the call, and a broken connection must confirm nothing. What comes
for other blocks in between waits, which only concerns interleaved parallel calls and text after an unfinished call.
Tools that another provider ran become `server_tool_use` and `<name>_tool_result`.

Not expressible, gives b"": all choices but the first, ToolResult and the calls that it answers (see `_calls.py`),
StepFinish, File, ObjectDelta, Handoff, Data, Raw but for blocks of this wire that no event names, warnings (`Error`
that is not fatal), verdicts that did not stop the answer.
Not expressible, left out: the numbers of blocks as they came; `meta` but for `raw` of a citation and `block` of a
provider's tool, of this wire; Safety `score`; all verdicts but the first; the pieces in which a refusal came; what
another provider's tool failed with, where it has a result too; usage after an error, which ends the wire.
Refusals and blocks become `stop_details`, and a stop becomes a "refusal". A wire without usage says that it was 0. An
answer that was cut off (`FinishReason.INCOMPLETE`, or a call cut off by anything but the length limit) ends without
`message_stop`.
Source: PROTOCOLS.md section 3; anthropic-sdk-python 2.11 `types` and `lib/streaming/_messages.py`.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import StreamError
from millstream.events import (
    Citations,
    Error,
    Event,
    Finish,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    StepStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from millstream.protocols.anthropic_messages import AnthropicMessagesDecoder
from millstream.protocols.encoders._answer import AnswerEncoder
from millstream.protocols.encoders._anthropic_values import (
    call_block,
    citations,
    counts,
    error_name,
    result_block,
    untyped_block,
)
from millstream.protocols.encoders._calls import ClientCall
from millstream.protocols.encoders._faults import TOOL_FAILED
from millstream.protocols.encoders._sse import json_data, json_text
from millstream.protocols.encoders._waiting import Entry, Waiting

__all__ = ["AnthropicMessagesEncoder"]

WORDS = {
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.PAUSE: "pause_turn",
}
"""The words of this wire; "end_turn" for whatever has none."""


class AnthropicMessagesEncoder(AnswerEncoder):
    """message_start, blocks of text, thinking and tool_use, message_delta with reason and usage, message_stop.

    Args:
        model, id: what to say instead of what `Start` says.
        expose_errors: send the messages of errors, instead of a sentence for their kind.
    """

    name = "anthropic-messages"

    def __init__(self, *, model: str | None = None, id: str | None = None, expose_errors: bool = True) -> None:
        super().__init__(expose_errors=expose_errors)
        self._model = model
        self._id = id
        self._n = 0
        """Blocks begun so far."""
        self._open: Any = None
        """What the open block holds: ("text", index), ("thinking", index), ("raw", index), a ClientCall, or None."""
        self._delta_head = b""
        """What comes before the text in a delta of the open block."""
        self._signed = False
        self._waiting = Waiting()
        self._again: Event | None = None
        """The one of them that is being written; None if it has to wait on."""
        self._ran = ""
        """The provider's last call, which a result without an id belongs to."""
        self._cited: list[bytes] = []
        """Sources that came while no text block was open."""
        self._refusal: dict[str, str] | None = None
        self._refused: list[str] = []
        """The words of it."""

    def _begin(self, start: Start) -> bytes:
        id = start.id if self._id is None else self._id
        model = start.model if self._model is None else self._model
        self._call_prefix = f"toolu_{id}_" if id else "toolu_"
        self._ran = f"srv{self._call_prefix}"
        message: dict[str, Any] = {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return _event("message_start", message=message)

    # --- blocks --------------------------------------------------------------------------------------------------

    def _block(self, holds: Any, block: dict[str, Any]) -> bytes:
        """End the open block and begin one. Raises: EncodeError: nothing has changed."""
        start = _event("content_block_start", index=self._n, content_block=block)
        out = self._stop() + start
        self._open, self._signed = holds, False
        self._delta_head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":' % self._n
        )
        self._n += 1
        return out

    def _whole_block(self, block: dict[str, Any], input: bytes | None = None) -> bytes:
        """Write a block and its end; `input`: of a tool, as JSON text in a JSON object."""
        out = self._block(("whole",), block)
        return out + (b"" if input is None else self._delta(b"input_json", input)) + self._stop()

    def _stop(self) -> bytes:
        """End the open block, if there is one; not that of a call that was cut off, if this would confirm the call."""
        holds, self._open = self._open, None
        if holds is None or (isinstance(holds, ClientCall) and not holds.may_end):
            return b""
        return _event("content_block_stop", index=self._n - 1)

    def _delta(self, kind: bytes, value: bytes) -> bytes:
        return b'%b"%b_delta",%b}}\n\n' % (self._delta_head, kind, value[1:-1])

    def _in_call(self) -> bool:
        """Whether the open block is that of a call that goes on."""
        return isinstance(self._open, ClientCall) and not self._open.over

    def _must_wait(self, event: Event) -> bool:
        if not self._in_call():
            return False
        if event is self._again:
            self._again = None
        else:
            self._waiting.add(event)
        return True

    def _catch_up(self) -> bytes:
        """Write what waited: of the open call what there is, then what has waited longest, until a call goes on."""
        if self._again is not None:
            return b""  # this is called from the loop below, which goes on by itself
        out = []
        while (entry := self._next()) is not None:
            self._again = event = entry.event
            try:
                out.append(self._writers[type(event)](self, event))
            finally:
                may_go, self._again = self._again is not None, None
                if may_go:
                    self._waiting.take(entry)
            if not may_go:
                break
        return b"".join(out)

    def _next(self) -> Entry | None:
        """Return what may be written next of all that waits."""
        holds = self._open
        if isinstance(holds, ClientCall) and not holds.over:
            return self._waiting.first_of(holds.index)
        return self._waiting.first()

    def _catch_up_all(self) -> bytes:
        """Write all that waited, though nobody said that the calls before it were over."""
        out = []
        while self._waiting.first() is not None:
            holds: Any = self._open  # a call that goes on: else nothing would wait
            holds.over = True
            out.append(self._catch_up())
        return b"".join(out)

    # --- events --------------------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        if event.choice != 0:
            return b""
        text = json_text(event.text)
        if self._open == ("text", event.index):
            return b'%b"text_delta","text":%b}}\n\n' % (self._delta_head, text)
        if self._must_wait(event):
            return b""
        return self._text_block(event.index) + self._text(event)

    def _text_block(self, index: int) -> bytes:
        out = [self._block(("text", index), {"type": "text", "text": ""})]
        out += [self._delta(b"citations", cited) for cited in self._cited]
        self._cited = []
        return b"".join(out)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.choice != 0 or self._must_wait(event):
            return b""
        text, signature = json_text({"thinking": event.text}), json_text({"signature": event.signature})
        json_text(event.encrypted)  # raises, if at all, before anything has changed
        out = b""
        if event.text or event.signature:
            if self._open != ("thinking", event.index) or (event.text and self._signed):
                out += self._block(("thinking", event.index), {"type": "thinking", "thinking": "", "signature": ""})
            if event.text:
                out += self._delta(b"thinking", text)
            if event.signature:
                out += self._delta(b"signature", signature)
                self._signed = True
        if event.encrypted:
            out += self._whole_block({"type": "redacted_thinking", "data": event.encrypted})
        return out

    def _citations(self, event: Citations) -> bytes:
        cited = [json_text({"citation": one}) for one in citations(event)]
        if self._open == ("text", event.index):
            return b"".join([self._delta(b"citations", one) for one in cited])
        self._cited += cited
        return b""

    def _step_start(self, event: StepStart) -> bytes:
        self._calls.holding = True
        return b"" if self._in_call() else self._stop()

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        if event.choice != 0 or self._calls.holding:
            return b""
        call = self._calls.find(event, self._call_prefix)
        if call is not self._open and self._must_wait(event):
            return b""
        arguments = call.take(event)
        return b"" if arguments is None else self._fragment(call, arguments)

    def _call(self, event: ToolCall) -> bytes:
        if event.choice != 0:
            return b""
        if self._calls.holding:
            self._calls.hold(event)
            return b""
        call = self._calls.find(event, self._call_prefix)
        if call is not self._open and self._must_wait(event):
            return b""
        out = self._fragment(call, call.rest(event))
        self._calls.done(event)
        if call.may_end:
            out += self._stop()
        return out + self._catch_up()

    def _fragment(self, call: ClientCall, arguments: str) -> bytes:
        value = json_text({"partial_json": arguments})
        out = b""
        if not call.begun:
            out = self._block(call, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
            call.begun = True
        if arguments:
            out += self._delta(b"input_json", value)
            call.sent.append(arguments)
        return out

    def _provider_call(self, event: ProviderToolCall) -> bytes:
        if self._must_wait(event):
            return b""
        input = event.input if isinstance(event.input, dict) or event.input is None else {"input": event.input}
        whole = None if input is None else json_text({"partial_json": json_text(input).decode()})
        id = event.id or f"srv{self._call_prefix}{self._n}"
        out = self._whole_block(call_block(event, id), whole)
        self._ran = id
        return out

    def _provider_result(self, event: ProviderToolResult) -> bytes:
        if self._must_wait(event):
            return b""
        error = event.error if self._expose or event.error is None else TOOL_FAILED
        return self._whole_block(result_block(event, event.id or self._ran, error))

    def _raw(self, event: Raw) -> bytes:
        """A block of a kind that no event names: told with its own deltas, under our number."""
        found = untyped_block(event)
        if found is None or self._must_wait(event):
            return b""
        index, block, delta = found
        if block is not None:
            return self._block(("raw", index), block)
        if self._open == ("raw", index):
            return _event("content_block_delta", index=self._n - 1, delta=delta)
        return b""

    def _safety(self, event: Safety) -> bytes:
        if event.choice == 0 and event.action in ("refuse", "block"):
            if self._refusal is None:
                self._refusal = {"type": "refusal", "category": event.category}
                self._refused.append(event.note)
            elif event.action == "refuse":
                self._refused.append(event.note)
        return b""

    def _error(self, event: Error) -> bytes:
        if not event.fatal:
            return b""
        out = _event("error", error={"type": error_name(event.error), "message": self._words(event.error)})
        out = self._catch_up_all() + out
        self._live = False
        return out

    def _finish(self, event: Finish) -> bytes:
        if event.reason is FinishReason.ERROR:
            return self._error(Error(StreamError("the answer ended with an error")))
        out = [self._catch_up_all(), *map(self._call, self._calls.release())]
        if self._cited:
            out.append(self._text_block(0))
        cut_off = self._calls.cut_off(event.reason)
        delta: dict[str, Any] = {"stop_reason": None if cut_off else self._reason(event), "stop_sequence": None}
        if self._refusal is not None:
            delta["stop_details"] = {**self._refusal, "explanation": "".join(self._refused)}
        usage = event.usage or self._usage
        if not cut_off:
            out.append(self._stop())
        if not cut_off or usage is not None or self._refusal is not None:
            told = {"output_tokens": 0} if usage is None else counts(usage)
            out.append(_event("message_delta", delta=delta, usage=told))
        if not cut_off:
            out.append(_event("message_stop"))
        self._live = False
        return b"".join(out)

    def _reason(self, event: Finish) -> str:
        if self._refusal is not None and event.reason in (FinishReason.STOP, FinishReason.OTHER):
            return "refusal"
        if AnthropicMessagesDecoder.reasons.get(event.raw_reason) is event.reason:
            return event.raw_reason
        return WORDS.get(event.reason, "end_turn")

    _writers = {
        **AnswerEncoder.SHARED,
        Citations: _citations,
        Error: _error,
        Finish: _finish,
        ProviderToolCall: _provider_call,
        ProviderToolResult: _provider_result,
        Raw: _raw,
        ReasoningDelta: _reasoning,
        Safety: _safety,
        StepStart: _step_start,
        TextDelta: _text,
        ToolCall: _call,
        ToolCallDelta: _call_delta,
    }


def _event(kind: str, **fields: Any) -> bytes:
    return json_data({"type": kind, **fields}, kind)
