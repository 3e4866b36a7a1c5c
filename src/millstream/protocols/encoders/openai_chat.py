"""Any provider's events as OpenAI chat completion chunks.

What other servers have added to the wire is used where OpenAI itself has no word, as clients and our own decoder know
it: `reasoning_content` (DeepSeek), `reasoning_details` for signatures and encrypted parts (OpenRouter),
`content_filter_results` for verdicts of filters (Azure), `images` (OpenRouter). Log probabilities get OpenAI's form.

Not expressible, gives b"": ToolResult and the calls that it answers (see `_calls.py`), ProviderToolCall,
ProviderToolResult, StepStart, StepFinish, files that are neither images nor the spoken answer of this wire,
ObjectDelta, Handoff, Data, Raw, warnings (`Error` that is not fatal), verdicts that let the answer pass.
Not expressible, left out: the index of text and reasoning; of Citation `source` and `text`; of Safety `score`; of an
image with an address its media type; `meta` but for `logprobs`, `audio` and `reasoning_details`; why the answer ended,
if it is none of OpenAI's four words; usage after an error, which ends the wire; of a call whether its broken arguments
were cut off or never JSON, unless that word tells.
An answer that was cut off (`FinishReason.INCOMPLETE`, or a call cut off by anything but the length limit) ends with
neither a finish reason nor `[DONE]`. Source: PROTOCOLS.md section 1; openai-python 3.52 `types/chat`.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from millstream.errors import ProviderError, StreamError
from millstream.events import (
    Citations,
    Error,
    File,
    Finish,
    FinishReason,
    ReasoningDelta,
    Safety,
    Start,
    StepStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from millstream.protocols.encoders._answer import AnswerEncoder
from millstream.protocols.encoders._calls import ClientCall
from millstream.protocols.encoders._faults import error_type
from millstream.protocols.encoders._logprobs import logprobs
from millstream.protocols.encoders._sse import json_data, json_text
from millstream.protocols.encoders._usage import inclusive
from millstream.protocols.gemini import GeminiDecoder
from millstream.protocols.openai_chat import OpenAIChatDecoder

__all__ = ["OpenAIChatEncoder"]

WORDS = {
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
}
"""The words of this wire; "stop" for whatever has none. Some clients fail on a word that they do not know."""

REASONS = GeminiDecoder.reasons | OpenAIChatDecoder.reasons
"""The raw reasons of the wires that give several answers."""


class OpenAIChatEncoder(AnswerEncoder):
    """One chunk per event, a usage chunk, `data: [DONE]`.

    Args:
        include_usage: whether to end with a chunk of `choices: []` and the usage, where it is known.
        created: when the answer was made, in Unix seconds; there is no clock here.
        model, id: what to say instead of what `Start` says.
        expose_errors: send the messages and codes of errors, instead of a sentence for their kind.
    """

    name = "openai-chat"

    def __init__(
        self,
        *,
        include_usage: bool = True,
        created: int = 0,
        model: str | None = None,
        id: str | None = None,
        expose_errors: bool = True,
    ) -> None:
        super().__init__(expose_errors=expose_errors)
        self._include_usage = include_usage
        self._created = created
        self._model = model
        self._id = id
        self._head = b""
        self._text_heads: dict[int, bytes] = {}
        """What comes before the text in a chunk, of each choice seen."""
        self._done = False

    def _begin(self, start: Start) -> bytes:
        id = start.id if self._id is None else self._id
        model = start.model if self._model is None else self._model
        common = {"id": id, "object": "chat.completion.chunk", "created": self._created, "model": model}
        self._head = b"data: " + json_text(common)[:-1] + b',"choices":['
        self._call_prefix = f"call_{id}_" if id else "call_"
        return self._role(0)

    def _role(self, choice: int) -> bytes:
        """Write the first chunk of a choice, b"" if it is out."""
        if choice in self._text_heads:
            return b""
        self._text_heads[choice] = self._head + b'{"index":%d,"delta":{"content":' % choice
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _chunk(self, choice: int, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        entry = json_text({"index": choice, "delta": delta, **more, "finish_reason": reason})
        return b"%b%b]}\n\n" % (self._head, entry)

    def _delta(self, choice: int, delta: dict[str, Any], **more: Any) -> bytes:
        chunk = self._chunk(choice, delta, **more)
        return self._role(choice) + chunk

    def _text(self, event: TextDelta) -> bytes:
        if event._meta and "audio" in event._meta:
            return self._delta(event.choice, {"audio": {"id": event._meta["audio"], "transcript": event.text}})
        if event._meta and "logprobs" in event._meta:
            return self._delta(event.choice, {"content": event.text}, logprobs={"content": logprobs(event)})
        text = json_text(event.text)
        head = self._text_heads.get(event.choice)
        if head is None:
            return self._delta(event.choice, {"content": event.text})
        return b'%b%b},"finish_reason":null}]}\n\n' % (head, text)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        known = (event._meta or {}).get("reasoning_details")
        known = known if isinstance(known, dict) else {}
        is_opaque = "signature" in known or "data" in known
        delta: dict[str, Any] = {}
        details = []
        if event.text:
            delta["reasoning_content"] = event.text
            if known and not is_opaque:
                details.append({**known, "text": event.text})
        if event.signature or event.encrypted:
            made = {"signature": event.signature, "data": event.encrypted}
            kind = "reasoning.encrypted" if event.encrypted else "reasoning.text"
            details.append(known if is_opaque else {"type": kind} | {key: it for key, it in made.items() if it})
        if details:
            delta["reasoning_details"] = details
        return self._delta(event.choice, delta) if delta else b""

    def _safety(self, event: Safety) -> bytes:
        if event.action == "refuse":
            if not event.note:
                return b""
            more = {"logprobs": {"refusal": logprobs(event)}} if event._meta and "logprobs" in event._meta else {}
            return self._delta(event.choice, {"refusal": event.note}, **more)
        if event.action not in ("block", "warn"):
            return b""
        verdict = {"filtered": True} if event.action == "block" else {"filtered": False, "detected": True}
        results = {event.category: {**verdict, "severity": event.note}}
        return self._delta(event.choice, {}, content_filter_results=results)

    def _file(self, event: File) -> bytes:
        if event._meta and "audio" in event._meta and event.data:
            spoken = {"id": event._meta["audio"], "data": b64encode(event.data).decode()}
            return self._delta(0, {"audio": spoken})
        if event.media_type.startswith("image/") and event.data:
            url = f"data:{event.media_type};base64,{b64encode(event.data).decode()}"
        elif event.url and (event.media_type.startswith("image/") or not event.media_type):
            url = event.url
        else:
            return b""
        return self._delta(0, {"images": [{"index": event.index, "type": "image_url", "image_url": {"url": url}}]})

    def _citations(self, event: Citations) -> bytes:
        annotations = []
        for source in event.citations:
            if source.url or source.title:
                cited: dict[str, Any] = {"url": source.url, "title": source.title}
                if source.start is not None and source.end is not None:
                    cited |= {"start_index": source.start, "end_index": source.end}
                annotations.append({"type": "url_citation", "url_citation": cited})
        return self._delta(0, {"annotations": annotations}) if annotations else b""

    def _step_start(self, event: StepStart) -> bytes:
        self._calls.holding = True
        return b""

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        if self._calls.holding:
            return b""
        call = self._calls.find(event, self._call_prefix)
        arguments = call.take(event)
        return b"" if arguments is None else self._fragment(call, arguments)

    def _call(self, event: ToolCall) -> bytes:
        if self._calls.holding:
            self._calls.hold(event)
            return b""
        call = self._calls.find(event, self._call_prefix)
        rest = call.rest(event)
        out = self._fragment(call, rest) if rest or not call.begun else b""
        self._calls.done(event)
        return out

    def _fragment(self, call: ClientCall, arguments: str) -> bytes:
        if call.custom:
            named = {} if call.begun else {"name": call.name}
            entry: dict[str, Any] = {"index": call.number} | ({} if call.begun else {"id": call.id, "type": "custom"})
            chunk = self._delta(call.choice, {"tool_calls": [entry | {"custom": {**named, "input": arguments}}]})
        elif call.begun:
            where = (self._head, call.choice, call.number, json_text(arguments))
            chunk = (
                b'%b{"index":%d,"delta":{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]},'
                b'"finish_reason":null}]}\n\n' % where
            )
        else:
            function = {"name": call.name, "arguments": arguments}
            entry = {"index": call.number, "id": call.id, "type": "function", "function": function}
            chunk = self._delta(call.choice, {"tool_calls": [entry]})
        call.begun = True
        call.sent.append(arguments)
        return chunk

    def _error(self, event: Error) -> bytes:
        if not event.fatal:
            return b""
        error = event.error
        code = (error.code if self._expose and isinstance(error, ProviderError) else "") or None
        facts = {"message": self._words(error), "type": error_type(error, "server_error"), "param": None, "code": code}
        out = json_data({"error": facts})
        self._live = False
        return out

    def _finish(self, event: Finish) -> bytes:
        if event.reason is FinishReason.ERROR:
            return self._error(Error(StreamError("the answer ended with an error")))
        out = [self._call(call) for call in self._calls.release()]
        if not self._calls.cut_off(event.reason):
            out += [self._ending(choice, event) for choice in sorted({*self._text_heads, *(event.choices or ())})]
            self._done = True
        usage = event.usage or self._usage
        if self._include_usage and usage is not None:
            out.append(self._head + b'],"usage":' + json_text(_usage(usage)) + b"}\n\n")
        self._live = False
        return b"".join(out)

    def _ending(self, choice: int, event: Finish) -> bytes:
        """Write why a choice ended; a reason that is told once, without `choices`, is that of all."""
        reason = event.reason
        if choice != 0:
            if event.choices is not None:
                if choice not in event.choices:
                    return b""  # this one had not ended
                reason = REASONS.get(event.choices[choice], FinishReason.OTHER)
            if reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
                reason = FinishReason.TOOL_CALLS if self._calls.any(choice) else FinishReason.STOP
        return self._role(choice) + self._chunk(choice, {}, WORDS.get(reason, "stop"))

    def _end(self) -> bytes:
        return b"data: [DONE]\n\n" if self._done else b""

    _writers = {
        **AnswerEncoder.SHARED,
        Citations: _citations,
        Error: _error,
        File: _file,
        Finish: _finish,
        ReasoningDelta: _reasoning,
        Safety: _safety,
        StepStart: _step_start,
        TextDelta: _text,
        ToolCall: _call,
        ToolCallDelta: _call_delta,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the provider's own object if it is of this wire and still says the same."""
    raw = usage.raw or {}
    if "prompt_tokens" in raw and (raw["prompt_tokens"], raw.get("completion_tokens")) == (
        usage.input_tokens,
        usage.output_tokens,
    ):
        return raw
    counts = inclusive(usage)
    out: dict[str, Any] = {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.total,
    }
    if counts.cache_read is not None or counts.cache_write is not None:
        details = {"cached_tokens": counts.cache_read, "cache_write_tokens": counts.cache_write}
        out["prompt_tokens_details"] = {key: value for key, value in details.items() if value is not None}
    if counts.reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return out
