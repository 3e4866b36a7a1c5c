"""The body of OpenAI's Responses: one list of items.

system, user -> `message` items. assistant -> its parts in order: words as messages (with their `phase`), reasoning
items as they came with their id and encrypted content, `function_call` and `custom_tool_call`, server tools' items
verbatim. tool -> `function_call_output`; no error flag, so an error's text begins with "Error: ". schema ->
`text.format`. Refused: `stop`, `seed`, reasoning that is no item of this provider. For conversations that OpenAI does
not store, ask for the encrypted reasoning: `extra={"store": False, "include": ["reasoning.encrypted_content"]}`; models
that do not reason refuse that, so it is no default. Source: PROTOCOLS.md section 2; openai 3.52
`response_create_params.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millstream.messages import (
    FilePart,
    ImagePart,
    Message,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from millstream.protocols.requests._body import ERROR_PREFIX, BodyWriter, data_url, encoded

__all__ = ["OpenAIResponsesBody"]


class OpenAIResponsesBody(BodyWriter):
    """`{"model","input":[...],...}`."""

    def _body(self) -> dict[str, Any]:
        request = self.request
        self.refuse_if_set("stop", "seed")
        calls = (call for message in request.messages for call in message.tool_calls)
        self._custom = {call.id for call in calls if call.custom}
        choice = request.tool_choice
        named = choice not in (None, "auto", "none", "required")
        return {
            "model": request.model or None,
            "input": [item for message in self.messages() for item in self._items(message)],
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "tool_choice": {"type": "function", "name": choice} if named else choice,
            "text": self._format(),
            "stream": self.stream or None,
        }

    def _format(self) -> dict[str, Any] | None:
        wanted = self.request.response_format
        if wanted is None:
            return None
        if wanted.schema is None:
            return {"format": {"type": "json_object"}}
        schema = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
        return {"format": schema | ({"description": wanted.description} if wanted.description else {})}

    def _items(self, message: Message) -> Iterator[dict[str, Any]]:
        if message.role in ("system", "user"):
            content = [self._said(part) for part in self.parts(message)]
            yield {"type": "message", "role": message.role, "content": content}
            return
        for part in self.parts(message):
            yield self._result(part) if isinstance(part, ToolResultPart) else self._own(part)

    def _said(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "input_text", "text": part.text}
            case ImagePart():
                source = {"file_id": part.file_id} if part.file_id else {"image_url": part.url or data_url(part)}
                return {"type": "input_image", "detail": part.detail or "auto", **source}
            case FilePart() if part.file_id or part.url:
                source = {"file_id": part.file_id} if part.file_id else {"file_url": part.url}
                return {"type": "input_file", **source}
        name = part.name or ("document.pdf" if part.media_type == "application/pdf" else "file")
        return {"type": "input_file", "filename": name, "file_data": data_url(part)}

    def _own(self, part: Any) -> dict[str, Any]:
        """A part of the assistant's."""
        opaque = part.opaque or {}
        match part:
            case TextPart() | RefusalPart():
                return {"type": "message", "role": "assistant", "content": part.text, **opaque}
            case ToolCallPart():
                call = {"call_id": self.call_id(), "name": part.name}
                if part.custom:
                    return {"type": "custom_tool_call", **call, "input": part.input}
                return {"type": "function_call", **call, "arguments": part.input or "{}"}
            case ReasoningPart() if part.encrypted or opaque.get("id"):
                hidden = {"encrypted_content": part.encrypted} if part.encrypted else {}
                return {"type": "reasoning", "summary": [], **opaque, **hidden}
            case ProviderPart():
                return part.data
            case ImagePart() if opaque.get("id") and part.data:
                made = {"type": "image_generation_call", "id": opaque["id"], "status": "completed"}
                return {**made, "result": encoded(part.data)}
        return self.unknown(part, "assistant")

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        call_id = self.call_id()
        kind = "custom_tool_call_output" if call_id in self._custom else "function_call_output"
        output: Any
        if isinstance(part.content, str):
            output = ERROR_PREFIX + part.content if part.is_error else part.content
        else:
            output = [self._said(one) for one in part.content]
            if part.is_error:
                output.insert(0, {"type": "input_text", "text": ERROR_PREFIX.strip()})
        return {"type": kind, "call_id": call_id, "output": output}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    # Left out, `strict` would mean true here, and a schema that is not written for it would be refused.
    out = {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": bool(tool.strict)}
    return out | ({"description": tool.description} if tool.description else {})
