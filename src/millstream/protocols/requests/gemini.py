"""The body of Gemini's `streamGenerateContent`. The model stands in the URL, and so does the wish for a stream.

system -> `systemInstruction` (only in front). user and tool -> contents of role "user", assistant -> "model"; runs of
one role become one. bytes -> `inlineData`, URLs and file ids -> `fileData`. call -> `functionCall`, result ->
`functionResponse` with `{"result": ...}`, or `{"error": ...}` for a failure; a result that is a JSON object is sent as
it is. thoughts -> `thought` parts. `thoughtSignature` goes back on the very part that it came with, also on one without
content; parts are not merged. schema -> `generationConfig.responseJsonSchema`. Refused: `strict` tools. Gemini 3
refuses calls of the current turn without a signature, as they are after `portable()`: give those
`opaque={"thoughtSignature": "skip_thought_signature_validator"}`. Source: PROTOCOLS.md section 4; google-genai 3.4
`types.py`; ai.google.dev "Thought signatures".
"""

from __future__ import annotations

from typing import Any

import msgspec

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
from millstream.protocols.requests._body import BodyWriter, encoded

__all__ = ["GeminiBody"]


class GeminiBody(BodyWriter):
    """`{"contents":[...],"generationConfig","tools",...}`."""

    origins = frozenset({"gemini", "gemini-json-array"})
    system_apart = True
    late_system = False

    def _body(self) -> dict[str, Any]:
        request = self.request
        system = [{"text": words} for words in self.system()]
        return {
            "systemInstruction": {"parts": system} if system else None,
            "contents": self._contents(),
            "generationConfig": self._config() or None,
            "tools": [{"functionDeclarations": [self._tool(tool) for tool in request.tools]}]
            if request.tools
            else None,
            "toolConfig": self._tool_config(),
        }

    def _config(self) -> dict[str, Any]:
        request, wanted = self.request, self.request.response_format
        config = {
            "maxOutputTokens": request.max_tokens,
            "temperature": request.temperature,
            "topP": request.top_p,
            "stopSequences": list(request.stop) or None,
            "seed": request.seed,
            "responseMimeType": "application/json" if wanted else None,
            "responseJsonSchema": wanted.schema if wanted else None,
        }
        return {key: value for key, value in config.items() if value is not None}

    def _tool(self, tool: ToolSpec) -> dict[str, Any]:
        if tool.strict:
            self.refuse("this wire cannot be told to be strict", "leave strict out", f"tools[{tool.name!r}].strict")
        out = {"name": tool.name, "parametersJsonSchema": tool.parameters}
        return out | ({"description": tool.description} if tool.description else {})

    def _tool_config(self) -> dict[str, Any] | None:
        match self.request.tool_choice:
            case None:
                return None
            case "auto" | "none" as choice:
                config: dict[str, Any] = {"mode": choice.upper()}
            case "required":
                config = {"mode": "ANY"}
            case name:
                config = {"mode": "ANY", "allowedFunctionNames": [name]}
        return {"functionCallingConfig": config}

    def _contents(self) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for message in self.messages():
            role = "model" if message.role == "assistant" else "user"
            parts = [self._part(part, message) for part in self.parts(message)]
            if out and out[-1]["role"] == role:
                out[-1]["parts"] += parts
            elif parts:
                out.append({"role": role, "parts": parts})
        return out

    def _part(self, part: Any, message: Message) -> dict[str, Any]:
        opaque = part.opaque or {}
        match part:
            case TextPart() | RefusalPart():
                return {"text": part.text, **opaque}
            case ReasoningPart() if not part.encrypted:
                signed = {"thoughtSignature": part.signature} if part.signature else {}
                return {"text": part.text, "thought": True, **signed}
            case ToolCallPart() if not part.custom:
                named = {"id": part.id} if part.id else {}
                return {"functionCall": {**named, "name": part.name, "args": self.arguments(part)}, **opaque}
            case ToolResultPart():
                return {"functionResponse": self._response(part)}
            case ImagePart() | FilePart():
                return _blob(part) | opaque
            case ProviderPart():
                return part.data
        return self.unknown(part, message.role)

    def _response(self, part: ToolResultPart) -> dict[str, Any]:
        blobs, said = [], part.content
        if not isinstance(said, str):
            blobs = [_blob(one) for one in said if not isinstance(one, TextPart)]
            said = "".join(one.text for one in said if isinstance(one, TextPart))
        out: dict[str, Any] = {"name": part.name, "response": {"error": said} if part.is_error else _object(said)}
        if part.id:
            out["id"] = part.id
        return out | ({"parts": blobs} if blobs else {})


def _blob(part: ImagePart | FilePart) -> dict[str, Any]:
    kind = {"mimeType": part.media_type} if part.media_type else {}
    if part.data:
        return {"inlineData": {**kind, "data": encoded(part.data)}}
    return {"fileData": {**kind, "fileUri": part.url or part.file_id}}


def _object(said: str) -> dict[str, Any]:
    """A result as the object that this wire wants."""
    try:
        found = msgspec.json.decode(said)
    except msgspec.DecodeError:
        found = said
    return found if isinstance(found, dict) else {"result": found}
