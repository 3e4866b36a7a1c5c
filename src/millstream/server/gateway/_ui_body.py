"""What `useChat` of the Vercel AI SDK sends: its messages, read. The encoder `ui-message` writes what it gets.

An assistant's message holds whole steps: text, calls with their results, then the next step; each step becomes a
message of the assistant and one with the results, as models want them. As the SDK's own `convertToModelMessages`
does, sources, `data-*` parts and metadata are left out, and so is reasoning. Other members of the body are those of a
chat completion. Source: `convert-to-model-messages.ts` of npm `ai` 5.0.100 to 7.0.173.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct

from millstream.errors import InvalidMessage
from millstream.messages import FilePart, ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from millstream.server.gateway._chat_body import blob
from millstream.server.gateway._settings import Options

__all__ = ["UIBody", "chat_stream_id", "read_ui_messages"]

SILENT = ("step-start", "reasoning", "source-url", "source-document")
CALLED = ("input-available", "approval-requested", "approval-responded")


class _UIMessage(Struct):
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]]
    id: str = ""


class UIBody(Options, kw_only=True):
    """The body of `POST /v1/chat`."""

    messages: list[_UIMessage]
    id: str = ""
    system: str | None = None
    trigger: str | None = None
    messageId: str | None = None  # noqa: N815 - its name on the wire


def chat_stream_id(chat: str) -> str:
    """Return the id of the stream of a chat: its latest answer. Any text will do for the chat's own id."""
    return f"chat.{sha256(chat.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def read_ui_messages(given: list[_UIMessage], system: str | None = None) -> list[Message]:
    """Return the messages. Raises: InvalidMessage: `field` is the path of what cannot be read."""
    if not given:
        raise InvalidMessage("messages is empty", field="messages")
    messages = [Message("system", system)] if system else []
    for at, one in enumerate(given):
        field = f"messages[{at}]"
        if one.role == "assistant":
            messages += _steps(one, field)
            continue
        parts = [part for n, given in enumerate(one.parts) for part in _said(given, f"{field}.parts[{n}]")]
        if not parts:
            raise InvalidMessage(f"{field}.parts says nothing", field=f"{field}.parts")
        try:
            messages.append(Message(one.role, parts))
        except InvalidMessage as error:
            raise InvalidMessage(f"{field}: {error}", field=f"{field}.parts") from None
    return messages


def _steps(one: _UIMessage, field: str) -> list[Message]:
    messages: list[Message] = []
    said: list[Part] = []
    results: list[ToolResultPart] = []

    def flush() -> None:
        if said:
            messages.append(Message("assistant", said))
        if results:
            messages.append(Message("tool", results))
        said.clear()
        results.clear()

    for at, part in enumerate(one.parts):
        where = f"{field}.parts[{at}]"
        kind = part.get("type")
        if kind == "step-start":
            flush()
        elif isinstance(kind, str) and (kind.startswith("tool-") or kind == "dynamic-tool"):
            call, result = _called(part, kind, where)
            said += call
            results += result
        else:
            if results:  # words after a result belong to the next step
                flush()
            said += _said(part, where)
    flush()
    return messages


def _called(part: dict[str, Any], kind: str, field: str) -> tuple[list[ToolCallPart], list[ToolResultPart]]:
    match part:
        case {"providerExecuted": True} | {"state": "input-streaming"}:
            return [], []
        case {"toolCallId": str(id), "state": str(state)}:
            name = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
        case _:
            raise InvalidMessage(f"{field} has no toolCallId or no state", field=field)
    if not isinstance(name, str) or not name:
        raise InvalidMessage(f"{field}.toolName is missing", field=f"{field}.toolName")
    given = part.get("input", part.get("rawInput"))
    call = ToolCallPart(id, name, given if isinstance(given, dict | str) else {})
    match state:
        case "output-available":
            return [call], [ToolResultPart(id, name, part.get("output"))]
        case "output-error":
            return [call], [ToolResultPart(id, name, str(part.get("errorText") or "it failed"), is_error=True)]
        case "output-denied":
            return [call], [ToolResultPart(id, name, "The user did not allow this call.", is_error=True)]
        case _ if state in CALLED:
            return [call], []
    raise InvalidMessage(f"{field}.state {state!r} is not known", field=f"{field}.state")


def _said(part: dict[str, Any], field: str) -> list[Part]:
    match part:
        case {"type": "text", "text": str(text)}:
            return [TextPart(text=text)] if text else []
        case {"type": "file", "url": str(url), "mediaType": str(media_type)}:
            found = blob(url, f"{field}.url", media_type)
            if media_type.startswith("image/"):
                return [ImagePart(**found)]
            name = part.get("filename")
            return [FilePart(name=name if isinstance(name, str) else "", **found)]
        case {"type": str(kind)} if kind in SILENT or kind.startswith("data-"):
            return []
    raise InvalidMessage(f"{field} of type {part.get('type')!r:.40} is not read", field=field)
