"""The body of an OpenAI chat completion, read: what `protocols/requests/openai_chat.py` writes, the other way round.

system, developer, user, assistant, tool -> messages; images, WAV and MP3, files and refusals -> parts. Reasoning of the
assistant (`reasoning_content`) goes back to providers that speak this wire. Refused by its path: a participant's
`name`, a spoken answer, addresses that are not http(s), and whatever is not known. Nothing is ever fetched from here.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from millstream.errors import InvalidMessage
from millstream.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from millstream.server.gateway._settings import Options, Strict

__all__ = ["ChatBody", "blob", "read_messages"]

AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class _Text(Strict, tag_field="type", tag="text"):
    text: str


class _Refusal(Strict, tag_field="type", tag="refusal"):
    refusal: str


class _Url(Strict):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class _Image(Strict, tag_field="type", tag="image_url"):
    image_url: _Url


class _Sound(Strict):
    data: str
    format: Literal["wav", "mp3"]


class _Audio(Strict, tag_field="type", tag="input_audio"):
    input_audio: _Sound


class _Document(Strict):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _File(Strict, tag_field="type", tag="file"):
    file: _Document


class _Called(Strict):
    name: str
    arguments: str = ""


class _Custom(Strict):
    name: str
    input: str = ""


class _Call(Struct):
    id: str = ""
    type: Literal["function", "custom"] = "function"
    function: _Called | None = None
    custom: _Custom | None = None


class _Message(Strict):
    """A message. Members that hold null are what clients copy from an answer."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Text | _Refusal | _Image | _Audio | _File] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None


class ChatBody(Options, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    messages: list[_Message]


def read_messages(given: list[_Message]) -> list[Message]:
    """Return the messages. Raises: InvalidMessage: `field` is the path of what cannot be read."""
    if not given:
        raise InvalidMessage("messages is empty", field="messages")
    names: dict[str, str] = {}  # of the tools that were called, which some wires want with the result
    messages = []
    for at, one in enumerate(given):
        field = f"messages[{at}]"
        role = "system" if one.role == "developer" else one.role
        if one.name is not None and role != "tool":
            raise InvalidMessage(f"{field}.name is not read; say it in the content", field=f"{field}.name")
        if role == "tool":
            parts: list[Part] = [_result(one, names, field)]
        else:
            parts = [*_parts(one, field)]
        names |= {part.id: part.name for part in parts if isinstance(part, ToolCallPart)}
        if not parts and role != "assistant":
            raise InvalidMessage(f"{field}.content is missing", field=f"{field}.content")
        try:
            messages.append(Message(role, parts))
        except InvalidMessage as error:
            raise InvalidMessage(f"{field}: {error}", field=f"{field}.content") from None
    return messages


def _result(one: _Message, names: dict[str, str], field: str) -> ToolResultPart:
    if not one.tool_call_id:
        raise InvalidMessage(f"{field}.tool_call_id is missing", field=f"{field}.tool_call_id")
    if isinstance(one.content, list):
        content: Any = [_part(part, f"{field}.content[{at}]") for at, part in enumerate(one.content)]
        if all(isinstance(part, TextPart) for part in content):
            content = "".join(part.text for part in content)
    else:
        content = one.content or ""
    return ToolResultPart(one.tool_call_id, one.name or names.get(one.tool_call_id, ""), content)


def _parts(one: _Message, field: str) -> Iterator[Part]:
    thoughts = one.reasoning_content or one.reasoning
    if thoughts and one.role == "assistant":
        yield ReasoningPart(text=thoughts)
    if isinstance(one.content, str):
        if one.content or one.role != "assistant":
            yield TextPart(text=one.content)
    else:
        for at, part in enumerate(one.content or ()):
            yield _part(part, f"{field}.content[{at}]")
    if one.refusal:
        yield RefusalPart(text=one.refusal)
    if one.tool_calls and one.role != "assistant":
        raise InvalidMessage(f"{field}.tool_calls: only the assistant calls tools", field=f"{field}.tool_calls")
    for at, call in enumerate(one.tool_calls or ()):
        if call.type == "custom" and call.custom is not None:
            yield ToolCallPart(call.id, call.custom.name, call.custom.input, custom=True)
        elif call.type == "function" and call.function is not None:
            yield ToolCallPart(call.id, call.function.name, call.function.arguments)
        else:
            where = f"{field}.tool_calls[{at}].{call.type}"
            raise InvalidMessage(f"{where} is missing", field=where)


def _part(part: Any, field: str) -> Part:
    match part:
        case _Text():
            return TextPart(text=part.text)
        case _Refusal():
            return RefusalPart(text=part.refusal)
        case _Image():
            where = f"{field}.image_url.url"
            detail = part.image_url.detail or ""
            return ImagePart(detail=detail, **blob(part.image_url.url, where))
        case _Audio():
            sound = part.input_audio
            data = _decoded(sound.data, f"{field}.input_audio.data")
            return FilePart(data=data, media_type=AUDIO[sound.format])
        case _File(file=_Document(file_id=str(file_id))):
            return FilePart(file_id=file_id, name=part.file.filename or "")
        case _File(file=_Document(file_data=str(data))):
            where = f"{field}.file.file_data"
            found: dict[str, Any] = blob(data, where) if ":" in data[:16] else {"data": _decoded(data, where)}
            return FilePart(name=part.file.filename or "", **found)
    raise InvalidMessage(f"{field}.file has neither file_data nor file_id", field=field)


def blob(url: str, field: str, media_type: str = "") -> dict[str, Any]:
    """Return the bytes of a `data:` URL, or an http(s) address for the provider to fetch.

    Raises: InvalidMessage: another address, or no base64.
    """
    if url.startswith(("https://", "http://")):
        return {"url": url, "media_type": media_type}
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        raise InvalidMessage(f"{field} must be an http(s) address or a data: URL with ;base64,", field=field)
    said = head[5:].partition(";")[0]
    return {"data": _decoded(data, field), "media_type": said or media_type}


def _decoded(text: str, field: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidMessage(f"{field} is no base64", field=field) from None
    if not data:
        raise InvalidMessage(f"{field} is empty", field=field)
    return data
