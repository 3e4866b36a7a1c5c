"""The body of Amazon Bedrock's `converse` and `converse-stream`.

The model stands in the URL, and so does the wish for a stream. Bytes are base64 text, as the JSON of this wire has
them. system -> `system` in front, else messages of that role. user and tool -> one user message per run of them. images
and files -> `image`, `document`, `audio`, `video`, told apart by their media type, as bytes or as an `s3://` address.
assistant -> `text`, `reasoningContent` with its signature or as it came redacted, `toolUse`. A result's error flag is
`status`. schema -> `outputConfig.textFormat`. Refused: `seed`, tool_choice "none", JSON without a schema, other URLs,
file ids. Source: PROTOCOLS.md section 8; botocore's model of bedrock-runtime.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

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

__all__ = ["BedrockConverseBody"]

DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
OTHER_NAMES = {"mpeg": "mp3", "x-wav": "wav", "x-matroska": "mkv", "quicktime": "mov", "3gpp": "three_gp"}
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")


class BedrockConverseBody(BodyWriter):
    """`{"messages":[...],"system","inferenceConfig","toolConfig","outputConfig"}`."""

    origins = frozenset({"bedrock-invoke"})
    system_apart = True

    def _body(self) -> dict[str, Any]:
        request = self.request
        self.refuse_if_set("seed")
        config = {
            "maxTokens": request.max_tokens,
            "temperature": request.temperature,
            "topP": request.top_p,
            "stopSequences": list(request.stop) or None,
        }
        return {
            "system": [{"text": words} for words in self.system()] or None,
            "messages": self.turns(self._own, self._said),
            "inferenceConfig": {key: value for key, value in config.items() if value is not None} or None,
            "toolConfig": self._tools(),
            "outputConfig": self._output(),
        }

    def _tools(self) -> dict[str, Any] | None:
        request = self.request
        if not request.tools:
            return None
        config: dict[str, Any] = {"tools": [{"toolSpec": _tool(tool)} for tool in request.tools]}
        match request.tool_choice:
            case None:
                pass
            case "none":
                self.refuse("this wire cannot forbid its tools", "leave the tools out", "tool_choice")
            case "auto":
                config["toolChoice"] = {"auto": {}}
            case "required":
                config["toolChoice"] = {"any": {}}
            case name:
                config["toolChoice"] = {"tool": {"name": name}}
        return config

    def _output(self) -> dict[str, Any] | None:
        wanted = self.request.response_format
        if wanted is None:
            return None
        if wanted.schema is None:
            self.refuse("this wire has no JSON without a schema", "give ResponseFormat a schema", "response_format")
        schema = {"name": wanted.name, "schema": msgspec.json.encode(wanted.schema).decode()}
        if wanted.description:
            schema["description"] = wanted.description
        return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}

    def _own(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart() | RefusalPart():
                return {"text": part.text}
            case ReasoningPart() if part.encrypted:
                return {"reasoningContent": {"redactedContent": part.encrypted}}
            case ReasoningPart():
                signed = {"signature": part.signature} if part.signature else {}
                return {"reasoningContent": {"reasoningText": {"text": part.text, **signed}}}
            case ToolCallPart() if not part.custom:
                call = {"toolUseId": self.call_id(), "name": part.name, "input": self.arguments(part)}
                return {"toolUse": call}
            case ImagePart() | FilePart():
                return self._blob(part)
            case ProviderPart():
                return part.data
        return self.unknown(part, "assistant")

    def _said(self, part: Any) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"text": part.text}
            case ImagePart() | FilePart():
                return self._blob(part)
        whole = isinstance(part.content, str)  # a ToolResultPart: messages take nothing else
        content = [{"text": part.content}] if whole else [self._said(one) for one in part.content]
        result = {"toolUseId": self.call_id(), "content": content}
        return {"toolResult": result | ({"status": "error"} if part.is_error else {})}

    def _blob(self, part: ImagePart | FilePart) -> dict[str, Any]:
        if part.file_id or (part.url and not part.url.startswith("s3://")):
            self.refuse("files are bytes or an s3:// address on this wire", "fetch it and give data")
        source: dict[str, Any] = {"s3Location": {"uri": part.url}} if part.url else {"bytes": encoded(part.data)}
        family, _, subtype = part.media_type.partition("/")
        if family in ("image", "audio", "video"):
            return {family: {"format": OTHER_NAMES.get(subtype, subtype), "source": source}}
        kind = DOCUMENTS.get(part.media_type)
        if kind is None or isinstance(part, ImagePart):
            known = ", ".join(sorted(DOCUMENTS.values()))
            self.refuse(f"media_type {part.media_type!r} is not known here", f"give that of an image or of {known}")
        name = NOT_IN_A_NAME.sub("-", part.name) or "document"
        return {"document": {"format": kind, "name": name, "source": source}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        out["description"] = tool.description
    if tool.strict is not None:
        out["strict"] = tool.strict
    return out
