"""The body of Anthropic's messages.

system -> `system` in front, else messages of that role (newer models). user and tool -> one user message per run of
them, results first come first; images and files as `image` and `document`. assistant -> its parts in order: `text`
(with the citations it came with), `thinking` with its signature, `redacted_thinking`, `tool_use`, blocks of server
tools verbatim; empty texts are left out, the wire refuses them. A result's error flag is `is_error`. schema ->
`output_config.format`. `max_tokens` is required here: without it, DEFAULT_MAX_TOKENS. `temperature` and `top_p`, which
newer models refuse, are sent where asked for. Refused: `seed`, JSON without a schema, reasoning without a signature.
Source: PROTOCOLS.md section 3; anthropic 2.11 `message_create_params.py`.
"""

from __future__ import annotations

from typing import Any

from millstream.messages import (
    FilePart,
    ImagePart,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolSpec,
)
from millstream.protocols.requests._body import BodyWriter, encoded

__all__ = ["DEFAULT_MAX_TOKENS", "AnthropicMessagesBody"]

DEFAULT_MAX_TOKENS = 8192
"""Every model that is offered today can do it; an answer that needs more ends with reason "length"."""


class AnthropicMessagesBody(BodyWriter):
    """`{"model","max_tokens","messages":[...],...}`."""

    origins = frozenset({"bedrock-invoke"})  # the same wire inside
    system_apart = True

    def _body(self) -> dict[str, Any]:
        request = self.request
        self.refuse_if_set("seed")
        return {
            "model": request.model or None,
            "max_tokens": request.max_tokens,
            "system": "\n\n".join(self.system()) or None,
            "messages": self.turns(self._own, self._said),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop_sequences": list(request.stop) or None,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "tool_choice": self._tool_choice(),
            "output_config": self._output(),
            "stream": self.stream or None,
        }

    def _defaults(self) -> dict[str, Any]:
        return {"max_tokens": DEFAULT_MAX_TOKENS}

    def _tool_choice(self) -> dict[str, Any] | None:
        match self.request.tool_choice:
            case None:
                return None
            case "auto" | "none" as choice:
                return {"type": choice}
            case "required":
                return {"type": "any"}
            case name:
                return {"type": "tool", "name": name}

    def _output(self) -> dict[str, Any] | None:
        wanted = self.request.response_format
        if wanted is None:
            return None
        if wanted.schema is None:
            self.refuse("this wire has no JSON without a schema", "give ResponseFormat a schema", "response_format")
        return {"format": {"type": "json_schema", "schema": wanted.schema}}

    def _own(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart() | RefusalPart():
                return {"type": "text", "text": part.text, **(part.opaque or {})}
            case ReasoningPart() if part.encrypted:
                return {"type": "redacted_thinking", "data": part.encrypted}
            case ReasoningPart() if part.signature:
                return {"type": "thinking", "thinking": part.text, "signature": part.signature}
            case ToolCallPart() if not part.custom:
                return {
                    "type": "tool_use",
                    "id": self.call_id(),
                    "name": part.name,
                    "input": self.arguments(part),
                    **(part.opaque or {}),
                }
            case ProviderPart():
                return part.data
        return self.unknown(part, "assistant")

    def _said(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text}
            case ImagePart():
                return {"type": "image", "source": _source(part)}
            case FilePart():
                return self._document(part)
        whole = isinstance(part.content, str)  # a ToolResultPart: messages take nothing else
        content = part.content if whole else [self._said(one) for one in part.content]
        result = {"type": "tool_result", "tool_use_id": self.call_id(), "content": content}
        return result | ({"is_error": True} if part.is_error else {})

    def _document(self, part: FilePart) -> dict[str, Any]:
        if part.media_type.startswith("image/"):
            return {"type": "image", "source": _source(part)}
        if part.data and part.media_type.startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": self._decoded(part.data)}
        elif part.data and part.media_type != "application/pdf":
            self.refuse(
                f"documents are PDF or text here, not {part.media_type or 'bytes without media_type'}",
                "convert it, or upload it and give its file_id",
            )
        else:
            source = _source(part)
        return {"type": "document", "source": source, **({"title": part.name} if part.name else {})}

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.refuse("text documents are UTF-8 here", "convert it")


def _source(part: ImagePart | FilePart) -> dict[str, str]:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.url:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": encoded(part.data)}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description:
        out["description"] = tool.description
    if tool.strict is not None:
        out["strict"] = tool.strict
    return out
