"""The body of OpenAI's chat completions, and what its dialects do otherwise.

system, user -> messages of that role; images as `image_url`, files as `file`, WAV and MP3 as `input_audio`.
assistant -> `content` (its texts joined), `tool_calls`, `refusal`; its reasoning where the dialect says.
tool -> one message per result; there is no error flag, so an error's text begins with "Error: ".
schema -> `response_format`. A stream asks for its usage. Refused: files by URL, images by file id, images in results.
Source: PROTOCOLS.md sections 1 and 7; openai 3.52 `completion_create_params.py`; the providers' references.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Any, Literal, NamedTuple

from millstream.messages import (
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from millstream.protocols.requests._body import BodyWriter, data_url, encoded

__all__ = ["DIALECTS", "OpenAIChatBody", "function_tool"]

AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class Dialect(NamedTuple):
    """What a server does otherwise than OpenAI.

    Attributes:
        max_tokens: its name for that setting.
        seed: its name for that setting, "" if it has none.
        usage_option: whether it must be asked for the usage of a stream (and takes `stream_options`).
        schema: whether it holds answers to a schema.
        reasoning: where the assistant's reasoning goes back: the name of a field of the message, "details" for
            OpenRouter's list, "chunks" for Mistral's content list.
        in_tool_turns: send it back only for turns in which a tool was called.
        file_url: whether a file may be an address.
        custom_tools: whether there are calls whose input is text.
    """

    max_tokens: str = "max_tokens"
    seed: str = "seed"
    usage_option: bool = True
    schema: bool = True
    reasoning: Literal["reasoning_content", "reasoning", "details", "chunks"] = "reasoning_content"
    in_tool_turns: bool = False
    file_url: bool = False
    custom_tools: bool = True


DIALECTS = {
    # OpenAI itself never shows reasoning here; llama.cpp and others that go by its name do, and want it back.
    "openai-chat": Dialect(max_tokens="max_completion_tokens"),
    "azure-openai-chat": Dialect(max_tokens="max_completion_tokens"),
    "openai-compatible": Dialect(),
    # "reasoning_content must be passed back" where a tool was called, is ignored (once: refused) elsewhere.
    "deepseek": Dialect(seed="", schema=False, in_tool_turns=True),
    "groq": Dialect(max_tokens="max_completion_tokens", reasoning="reasoning"),
    "mistral": Dialect(seed="random_seed", usage_option=False, reasoning="chunks", custom_tools=False),
    "openrouter": Dialect(reasoning="details", file_url=True),
}


class OpenAIChatBody(BodyWriter):
    """`{"model","messages":[...],...}`."""

    def __init__(self, request: Request, protocol: str, *, stream: bool) -> None:
        super().__init__(request, protocol, stream=stream)
        self.dialect = DIALECTS[protocol]

    def _body(self) -> dict[str, Any]:
        request, dialect = self.request, self.dialect
        if not dialect.seed:
            self.refuse_if_set("seed")
        return {
            "model": request.model or None,
            "messages": [one for message in self.messages() for one in self._message(message)],
            dialect.max_tokens: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            dialect.seed: request.seed,
            "tools": [function_tool(tool) for tool in request.tools] or None,
            "tool_choice": self._tool_choice(),
            "response_format": self._response_format(),
            "stream": self.stream or None,
        }

    def _defaults(self) -> dict[str, Any]:
        return {"stream_options": {"include_usage": True}} if self.stream and self.dialect.usage_option else {}

    def _tool_choice(self) -> Any:
        choice = self.request.tool_choice
        if choice in (None, "auto", "none", "required"):
            return choice
        return {"type": "function", "function": {"name": choice}}

    def _response_format(self) -> dict[str, Any] | None:
        wanted = self.request.response_format
        if wanted is None:
            return None
        if wanted.schema is None:
            return {"type": "json_object"}
        if not self.dialect.schema:
            remedy = "ask for JSON without a schema and describe it in words, or use a tool with that schema"
            self.refuse("this provider knows no schemas", remedy, "response_format.schema")
        schema: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
        if wanted.description:
            schema["description"] = wanted.description
        return {"type": "json_schema", "json_schema": schema}

    # --- messages ------------------------------------------------------------------------------------------------

    def _message(self, message: Message) -> Iterator[dict[str, Any]]:
        if message.role == "assistant":
            yield self._assistant(message)
        elif message.role == "tool":
            for part in self.parts(message):
                assert isinstance(part, ToolResultPart)  # noqa: S101  (Message has checked it)
                yield {"role": "tool", "tool_call_id": self.call_id(), "content": self.text_only(part)}
        else:
            said = [self._said(part) for part in self.parts(message)]
            texts = [one["text"] for one in said if one["type"] == "text"]
            # Many servers take nothing but a string where there is only text.
            plain = "".join(texts) if len(said) <= 1 or message.role == "system" else None
            yield {"role": message.role, "content": said if plain is None or len(texts) < len(said) else plain}

    def _said(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text}
            case ImagePart() if not part.file_id:
                image = {"url": part.url or data_url(part)} | ({"detail": part.detail} if part.detail else {})
                return {"type": "image_url", "image_url": image}
            case ImagePart():
                self.refuse("images are bytes or a URL on this wire, no file id", "give data or url")
            case FilePart(media_type=kind) if kind in AUDIO and part.data:
                return {"type": "input_audio", "input_audio": {"data": encoded(part.data), "format": AUDIO[kind]}}
            case FilePart() if part.file_id:
                return {"type": "file", "file": {"file_id": part.file_id}}
            case FilePart() if part.data or self.dialect.file_url:
                name = part.name or ("document.pdf" if part.media_type == "application/pdf" else "file")
                return {"type": "file", "file": {"filename": name, "file_data": part.url or data_url(part)}}
        return self.refuse("files are bytes or a file id on this wire, no URL", "give data or file_id")

    def _assistant(self, message: Message) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        refusal, calls, thoughts = "", [], []
        for part in self.parts(message):
            match part:
                case TextPart():
                    content.append({"type": "text", "text": part.text})
                case RefusalPart():
                    refusal += part.text
                case ToolCallPart():
                    calls.append(self._call(part))
                case ReasoningPart():
                    thoughts.append(part)
                    if self.dialect.reasoning == "chunks":
                        thinking = [{"type": "text", "text": part.text}]
                        content.append({"type": "thinking", "thinking": thinking})
                case _:
                    self.unknown(part, "assistant")
        said = "".join(one.get("text", "") for one in content)
        chunked = self.dialect.reasoning == "chunks" and bool(thoughts)
        out: dict[str, Any] = {"role": "assistant", "content": content if chunked else said or None}
        if not calls and not said and not chunked and not refusal:
            out["content"] = ""
        if refusal:
            out["refusal"] = refusal
        if thoughts and not chunked:
            out |= self._thoughts(thoughts)
        if calls:
            out["tool_calls"] = calls
        return out

    def _call(self, part: ToolCallPart) -> dict[str, Any]:
        if part.custom and not self.dialect.custom_tools:
            self.unknown(part, "assistant")
        if part.custom:
            return {"id": self.call_id(), "type": "custom", "custom": {"name": part.name, "input": part.input}}
        function = {"name": part.name, "arguments": part.input or "{}"}
        return {"id": self.call_id(), "type": "function", "function": function}

    def _thoughts(self, thoughts: list[ReasoningPart]) -> dict[str, Any]:
        said = "".join(part.text for part in thoughts)
        if self.dialect.reasoning == "details":
            details = [_detail(part) for part in thoughts if part.opaque or part.signature or part.encrypted]
            return {"reasoning_details": details} if details else {"reasoning": said}
        if any(part.signature or part.encrypted for part in thoughts):
            self.refuse("signed or encrypted reasoning has no place here", "send message.portable()")
        if self.dialect.in_tool_turns and not self._in_tool_turn():
            return {}
        return {self.dialect.reasoning: said} if said else {}

    def _in_tool_turn(self) -> bool:
        """Whether a tool was called between the user's words before the message at hand and those after it."""
        messages = self.request.messages
        at, _ = self._at
        turn = [takewhile(_is_no_user, reversed(messages[:at])), takewhile(_is_no_user, messages[at:])]
        return any(one.tool_calls for one in chain(*turn))


def _is_no_user(message: Message) -> bool:
    return message.role != "user"


def function_tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool in OpenAI's words, which most others use too."""
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _detail(part: ReasoningPart) -> dict[str, Any]:
    """An entry of `reasoning_details`, as it came, in one piece."""
    detail = dict(part.opaque or {"type": "reasoning.encrypted" if part.encrypted else "reasoning.text"})
    if part.text:
        detail["summary" if detail.get("type") == "reasoning.summary" else "text"] = part.text
    if part.signature:
        detail["signature"] = part.signature
    if part.encrypted:
        detail["data"] = part.encrypted
    return detail
