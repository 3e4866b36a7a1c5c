"""The body of Cohere's chat v2.

All roles -> messages of that role; images as `image_url`. assistant -> `content` list with `thinking` and `text` in
order, `tool_plan`, `tool_calls`. tool -> one message per result; no error flag, so an error's text begins with "Error:
". schema -> `response_format.json_schema`. `top_p` is `p`. `strict` counts for all tools: `strict_tools`. Refused: one
tool by name, strict and other tools together, files. Source: PROTOCOLS.md section 6; cohere 7.3 `v2/raw_client.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millstream.messages import (
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from millstream.protocols.requests._body import BodyWriter, data_url
from millstream.protocols.requests.openai_chat import function_tool

__all__ = ["CohereV2Body"]


class CohereV2Body(BodyWriter):
    """`{"model","messages":[...],...}`."""

    def _body(self) -> dict[str, Any]:
        request = self.request
        if request.tool_choice not in (None, "auto", "none", "required"):
            remedy = 'give only that tool and tool_choice="required"'
            self.refuse("this wire cannot choose one tool", remedy, "tool_choice")
        chosen = request.tool_choice in ("none", "required")
        wanted = request.response_format
        schema = {"json_schema": wanted.schema} if wanted and wanted.schema is not None else {}
        return {
            "model": request.model or None,
            "messages": [one for message in self.messages() for one in self._message(message)],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "p": request.top_p,
            "stop_sequences": list(request.stop) or None,
            "seed": request.seed,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "strict_tools": self._strict(),
            "tool_choice": request.tool_choice.upper() if request.tool_choice and chosen else None,
            "response_format": {"type": "json_object", **schema} if wanted else None,
            "stream": self.stream,
        }

    def _strict(self) -> bool | None:
        wishes = {bool(tool.strict) for tool in self.request.tools}
        if len(wishes) == 2:
            self.refuse("strict counts for all tools here", "make all tools strict, or none", "tools")
        return True if wishes == {True} else None

    def _message(self, message: Message) -> Iterator[dict[str, Any]]:
        if message.role == "assistant":
            yield self._assistant(message)
        elif message.role == "tool":
            for part in self.parts(message):
                assert isinstance(part, ToolResultPart)  # noqa: S101  (Message has checked it)
                yield {"role": "tool", "tool_call_id": self.call_id(), "content": self.text_only(part)}
        else:
            yield {"role": message.role, "content": [self._said(part) for part in self.parts(message)]}

    def _said(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text}
            case ImagePart() if not part.file_id:
                image = {"url": part.url or data_url(part)} | ({"detail": part.detail} if part.detail else {})
                return {"type": "image_url", "image_url": image}
        return self.unknown(part, "user")

    def _assistant(self, message: Message) -> dict[str, Any]:
        out: dict[str, Any] = {"role": "assistant"}
        content, calls = [], []
        for part in self.parts(message):
            match part:
                case TextPart() | RefusalPart():
                    content.append({"type": "text", "text": part.text})
                case ReasoningPart(opaque={"part": "tool_plan"}):
                    out["tool_plan"] = out.get("tool_plan", "") + part.text
                case ReasoningPart() if not part.signature and not part.encrypted:
                    content.append({"type": "thinking", "thinking": part.text})
                case ToolCallPart() if not part.custom:
                    function = {"name": part.name, "arguments": part.input or "{}"}
                    calls.append({"id": self.call_id(), "type": "function", "function": function})
                case _:
                    self.unknown(part, "assistant")
        return out | ({"content": content} if content else {}) | ({"tool_calls": calls} if calls else {})


def _tool(tool: ToolSpec) -> dict[str, Any]:
    spec = function_tool(tool)
    spec["function"].pop("strict", None)  # it is said once for all, in `strict_tools`
    return spec
