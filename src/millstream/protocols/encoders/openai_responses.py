"""Any provider's events as OpenAI Responses: what the official SDKs accumulate is the whole answer.

Items are written in order of appearance; tool calls may interleave. Reasoning is written as summaries.

Not expressible, gives b"": answers but the first (`n` > 1), ToolResult and the calls that it answers (see
`_calls.py`), tools that another provider ran but for its web searches (their results too), StepStart, StepFinish,
files that are no images in bytes, ObjectDelta, Handoff, Data, Raw but for items of this wire that no event names,
warnings (`Error` that is not fatal), Safety that is no refusal with words.
Not expressible, left out: signatures; the numbers of blocks, which become positions in `output`; of a citation with an
address `source` and `text`, of one without all but `source` and `title`; `meta` but for `logprobs`, `phase`, the
`id` of images and encrypted reasoning and the `item` of a tool of this wire; the reasons PAUSE and OTHER; of Usage what
is not known from 0. What announces an image is decoded as Raw.
An answer that was cut off (`FinishReason.INCOMPLETE`, or no `Finish`) ends without `response.completed` or its like,
one with a call that was cut off with `response.incomplete`. Source: PROTOCOLS.md section 2; openai-python 3.52
`types/responses`, openai-node 7.55 `lib/responses`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from millstream.errors import EncodeError, ProviderError, RateLimited
from millstream.events import (
    Citations,
    Error,
    File,
    Finish,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    StepFinish,
    StepStart,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Validity,
)
from millstream.protocols.encoders._answer import AnswerEncoder
from millstream.protocols.encoders._calls import ClientCall
from millstream.protocols.encoders._faults import TOOL_FAILED
from millstream.protocols.encoders._logprobs import logprobs
from millstream.protocols.encoders._responses_output import Output, delta_form
from millstream.protocols.encoders._responses_values import annotation, call_item, counts, result_item, untyped_item
from millstream.protocols.encoders._sse import json_text

__all__ = ["OpenAIResponsesEncoder"]

# Kind of call -> its field for the arguments, the messages of its arguments.
CALLS = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
}
NO_LOGPROBS = b',"logprobs":[]'
CUT = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
# What a response object says of its request, which is not known here.
REQUEST: dict[str, Any] = {
    "created_at": 0,
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


class OpenAIResponsesEncoder(AnswerEncoder):
    """response.created (output_item.added delta* output_item.done)* response.completed|incomplete|failed.

    Args:
        response: members of the `response` object that only the server knows, such as `created_at` (Unix seconds),
            `instructions`, `tools` or `metadata`; `id` and `model` are used where `Start` does not tell them.
        expose_errors: send the messages and codes of errors, instead of a sentence for their kind.
    """

    name = "openai-responses"

    def __init__(
        self,
        *,
        response: Mapping[str, Any] | None = None,
        expose_errors: bool = True,
    ) -> None:
        super().__init__(expose_errors=expose_errors)
        self._response: dict[str, Any] = {**REQUEST, **(response or {})}
        self._output = Output("")
        self._open: dict[ClientCall, tuple[dict[str, Any], int, tuple[bytes, bytes]]] = {}
        """Calls under way -> their item, its position, the form of its deltas."""
        self._error: dict[str, Any] | None = None
        self._cut = False

    # --- the response as a whole -------------------------------------------------------------------------------------

    def _begin(self, start: Start) -> bytes:
        told = {"id": start.id, "model": start.model}
        response = {"id": "", "model": "", **self._response, **{key: value for key, value in told.items() if value}}
        response |= {"object": "response", "status": "in_progress", "error": None, "incomplete_details": None}
        response |= {"output": [], "usage": None}
        output = Output(str(response["id"]))
        out = output.say("response.created", response=response) + output.say("response.in_progress", response=response)
        self._response, self._output = response, output
        if response["id"]:
            self._call_prefix = f"call_{response['id'].removeprefix('resp_')}_"
        return out

    def _finish(self, event: Finish) -> bytes:
        reason = event.reason
        if reason is FinishReason.INCOMPLETE:
            self._live = False
            return self._output.end_item("incomplete")
        out = b"".join([self._call(call) for call in self._calls.release()])
        cut = CUT.get(reason)
        if reason is FinishReason.OTHER and event.raw_reason.startswith("incomplete:"):
            cut = event.raw_reason.removeprefix("incomplete:")
        if reason is FinishReason.ERROR and self._error is None:
            self._error = {"code": "server_error", "message": "the answer ended with an error"}
        if self._error is not None:
            status = "failed"
        else:
            out += self._close_items("completed")
            status = "incomplete" if cut or self._cut or reason is FinishReason.PAUSE else "completed"
        usage = event.usage or self._usage
        response = {
            **self._response,
            "status": status,
            "error": self._error,
            "incomplete_details": {"reason": cut} if cut and self._error is None else None,
            "output": self._output.items,
            "usage": counts(usage) if usage is not None else None,
        }
        self._live = False
        return out + self._output.say(f"response.{status}", response=response)

    def _end(self) -> bytes:
        return self._finish(Finish(FinishReason.INCOMPLETE)) if self._live else b""

    def _failed(self, event: Error) -> bytes:
        if not event.fatal or self._error is not None:
            return b""
        error = event.error
        code = error.code if self._expose and isinstance(error, ProviderError) else ""
        code = code or ("rate_limit_exceeded" if isinstance(error, RateLimited) else "server_error")
        facts = {"code": code, "message": self._words(error)}
        json_text(facts)
        self._error = facts
        # The service puts the facts into `error`, its documents put them at the top, and clients look for either.
        nested = {"type": code, **facts, "param": None}
        return self._close_items("incomplete") + self._output.say("error", **facts, param=None, error=nested)

    def _step_start(self, event: StepStart) -> bytes:
        self._calls.holding = True
        return self._output.end_item()

    def _step_finish(self, event: StepFinish) -> bytes:
        return self._output.end_item()

    def _close_items(self, status: str) -> bytes:
        """End what is open; a call that was not confirmed is incomplete in any case."""
        out = [self._output.end_item(status)]
        for call in list(self._open):
            self._cut = True
            self._calls.forget(call)
            out.append(self._call_done(call, "".join(call.sent), "incomplete"))
        return b"".join(out)

    # --- what is said ------------------------------------------------------------------------------------------------

    def _text(self, event: TextDelta) -> bytes:
        if event.choice:
            return b""
        meta = event._meta
        if not meta:
            return self._output.words("output_text", event.text, event.index, NO_LOGPROBS)
        phase, likely = meta.get("phase"), logprobs(event) if "logprobs" in meta else []
        more = b',"logprobs":' + json_text(likely)
        json_text([event.text, phase])
        out = self._output.open_item("message", event.index, phase=phase) if isinstance(phase, str) else b""
        out += self._output.words("output_text", event.text, event.index, more)
        part: Any = self._output.part  # of these words
        part["logprobs"] += likely
        return out

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if event.choice:
            return b""
        id = (event._meta or {}).get("id")
        json_text([event.text, event.encrypted, id])
        output = self._output
        out = output.words("summary_text", event.text, event.index) if event.text else b""
        if event.encrypted is None:
            return out
        own = id if isinstance(id, str) else ""
        if own and output.item is not None and output.item["id"] != own:
            out += output.end_item()  # the provider takes encrypted content back only under its own id
        out += output.open_item("reasoning", event.index, own)
        item: Any = output.item  # this one
        item["encrypted_content"] = event.encrypted
        return out + output.end_item()

    def _safety(self, event: Safety) -> bytes:
        if event.choice or event.category != "refusal" or not event.note:
            return b""
        return self._output.words("refusal", event.note, None)

    def _citations(self, event: Citations) -> bytes:
        annotations = [*map(annotation, event.citations)]
        json_text(annotations)
        output = self._output
        in_message = output.item is not None and output.item["type"] == "message"
        return output.open_part("output_text", None if in_message else event.index) + output.annotate(annotations)

    def _file(self, event: File) -> bytes:
        if not event.data or not event.media_type.startswith("image/"):
            return b""
        id = (event._meta or {}).get("id")
        json_text([event.media_type, id])
        own = id if isinstance(id, str) else ""
        made = {"id": own, "type": "image_generation_call", "status": "in_progress", "result": None}
        item, position, out = self._output.add("ig", made)
        data = b64encode(event.data).decode()
        item |= {"status": "completed", "output_format": event.media_type.removeprefix("image/"), "result": data}
        return out + self._output.done(item, position)

    # --- tool calls --------------------------------------------------------------------------------------------------

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        if event.choice or self._calls.holding:
            return b""
        json_text([event.id, event.name, event.arguments])
        call = self._calls.find(event, self._call_prefix)
        arguments = call.take(event)
        if arguments is None:
            return b""
        out = b"" if call.begun else self._announce(call)
        return out + self._arguments(call, arguments)

    def _call(self, event: ToolCall) -> bytes:
        if event.choice:
            return b""
        if self._calls.holding:
            self._calls.hold(event)
            return b""
        json_text([event.id, event.name, _decoded(event.input)])
        call = self._calls.find(event, self._call_prefix)
        rest = call.rest(event)
        out = b""
        if not call.begun:
            call.name = call.name or "unnamed"
            out = self._announce(call)
        out += self._arguments(call, rest)
        cut = event.validity is Validity.INCOMPLETE
        self._cut = self._cut or cut
        self._calls.done(event)
        return out + self._call_done(call, "".join(call.sent), "incomplete" if cut else "completed")

    def _announce(self, call: ClientCall) -> bytes:
        kind = "custom_tool_call" if call.custom else "function_call"
        call.begun = True
        members = {"call_id": self._output.unused(call.id), "name": call.name, CALLS[kind][0]: ""}
        item, position, out = self._output.add("fc", {"type": kind, "status": "in_progress", **members})
        form = delta_form(f"response.{CALLS[kind][1]}.delta", {"item_id": item["id"], "output_index": position})
        self._open[call] = item, position, form
        return out

    def _arguments(self, call: ClientCall, fragment: str) -> bytes:
        if not fragment:
            return b""
        call.sent.append(fragment)
        return self._output.delta(self._open[call][2], json_text(fragment))

    def _call_done(self, call: ClientCall, whole: str, status: str) -> bytes:
        item, position, _ = self._open.pop(call)
        field, messages = CALLS[item["type"]]
        item |= {"status": status, field: whole}
        at = {"item_id": item["id"], "output_index": position}
        return self._output.say(f"response.{messages}.done", **at, **{field: whole}) + self._output.done(item, position)

    def _provider_call(self, event: ProviderToolCall) -> bytes:
        found = call_item(event)
        if found is None:
            return b""
        item, given = found
        json_text([event.id, item])
        return self._output.add_tool(str(item["type"]).removesuffix("_call"), item, event.id, given)

    def _provider_result(self, event: ProviderToolResult) -> bytes:
        json_text([event.id, event.result, event.error])
        item = result_item(event)
        if item is not None:
            return self._output.add_whole("out", item)
        error = event.error if self._expose or event.error is None else TOOL_FAILED
        return self._output.end_tool(event.id, event.result, error)

    def _raw(self, event: Raw) -> bytes:
        item = untyped_item(event)
        return b"" if item is None else self._output.add_whole("item", item)

    _writers = {
        **AnswerEncoder.SHARED,
        Citations: _citations,
        Error: _failed,
        File: _file,
        Finish: _finish,
        ProviderToolCall: _provider_call,
        ProviderToolResult: _provider_result,
        Raw: _raw,
        ReasoningDelta: _reasoning,
        Safety: _safety,
        StepFinish: _step_finish,
        StepStart: _step_start,
        TextDelta: _text,
        ToolCall: _call,
        ToolCallDelta: _call_delta,
    }


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EncodeError(f"the input of a tool call is not UTF-8: {error}") from None
