"""The body of Ollama's `/api/chat`.

All roles -> messages of that role with `content`; images as bytes in `images`; reasoning in `thinking`; calls in
`tool_calls`, their arguments as objects; one message per result, told apart by `tool_name`; no error flag, so an
error's text begins with "Error: ". Settings -> `options`. schema -> `format`. A stream is this wire's default, so
`stream` is always written. Refused: `tool_choice` other than "auto", `strict` tools, images by URL, files. Source:
PROTOCOLS.md section 5; ollama 0.6 `_types.py`.
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
from millstream.protocols.requests._body import BodyWriter, encoded
from millstream.protocols.requests.openai_chat import function_tool

__all__ = ["OllamaChatBody"]


class OllamaChatBody(BodyWriter):
    """`{"model","messages":[...],"options","format","tools"}`."""

    def _body(self) -> dict[str, Any]:
        request = self.request
        if request.tool_choice not in (None, "auto"):
            self.refuse("this wire cannot choose tools", "leave tool_choice out, or give only that tool", "tool_choice")
        options = {
            "num_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            "seed": request.seed,
        }
        wanted = request.response_format
        return {
            "model": request.model or None,
            "messages": [one for message in self.messages() for one in self._message(message)],
            "options": {key: value for key, value in options.items() if value is not None} or None,
            "format": (wanted.schema or "json") if wanted else None,
            "tools": [self._tool(tool) for tool in request.tools] or None,
            "stream": self.stream,
        }

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        if tool.strict:
            self.refuse("this wire cannot be told to be strict", "leave strict out", f"tools[{tool.name!r}].strict")
        return function_tool(tool)

    def _message(self, message: Message) -> Iterator[dict[str, Any]]:
        if message.role == "tool":
            for part in self.parts(message):
                assert isinstance(part, ToolResultPart)  # noqa: S101  (Message has checked it)
                yield {"role": "tool", "tool_name": part.name, "content": self.text_only(part)}
            return
        out: dict[str, Any] = {"role": message.role, "content": ""}
        for part in self.parts(message):
            match part:
                case TextPart() | RefusalPart():
                    out["content"] += part.text
                case ReasoningPart() if not part.signature and not part.encrypted:
                    out["thinking"] = out.get("thinking", "") + part.text
                case ToolCallPart() if not part.custom:
                    function = {"name": part.name, "arguments": self.arguments(part)}
                    out.setdefault("tool_calls", []).append({"function": function})
                case ImagePart() if part.data:
                    out.setdefault("images", []).append(encoded(part.data))
                case ImagePart():
                    self.refuse("images are bytes on this wire", "fetch it and give data")
                case _:
                    self.unknown(part, message.role)
        yield out
