"""Mappings that mean a message: this library's own form, and the text and images of OpenAI's.

What is not read is refused by its place: a prompt that was lost on the way would be answered all the same.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from millstream.errors import InvalidMessage
from millstream.messages.parts import (
    FilePart,
    ImagePart,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["content_parts", "refuse_unread"]

KINDS = (TextPart, RefusalPart, ImagePart, FilePart, ToolCallPart, ToolResultPart, ReasoningPart, ProviderPart)
FIELDS = {cls.__struct_config__.tag: {"type", *cls.__struct_fields__} for cls in KINDS}
REMEDIES = {
    "tool_calls": 'give Message("assistant", [ToolCallPart(id, name, input)])',
    "tool_call_id": 'give Message("tool", [ToolResultPart(id, name, content)])',
}


def refuse_unread(given: Mapping[str, Any], field: str) -> None:
    """Raise InvalidMessage for what a mapping has beside `role`, `parts` or `content`, and `origin`; for no words."""
    _refuse_others(given, {"role", "parts", "content", "origin"}, field)
    if "content" in given and "parts" in given:
        raise InvalidMessage(f"{field} has content and parts; give one of them", field=f"{field}.content")
    if "content" not in given:
        # An answer may be empty, and such messages come back from JSON; who asks says something.
        if "role" in given and given["role"] != "assistant" and not given.get("parts"):
            raise InvalidMessage(f"{field}.parts: the message is empty; give content or parts", field=f"{field}.parts")
        _refuse_unread_parts(given.get("parts"), f"{field}.parts")


def content_parts(content: Any, field: str) -> list[TextPart | ImagePart]:
    """Read OpenAI's `content`: a string, or a list of its text and image parts. Raises: InvalidMessage."""
    if isinstance(content, str):
        return [TextPart(content)]
    if not isinstance(content, list | tuple) or not content:
        raise InvalidMessage(f"{field} must be a string or a list of parts, not {content!r:.60}", field=field)
    return [_content_part(one, f"{field}[{at}]") for at, one in enumerate(content)]


def _content_part(given: Any, field: str) -> TextPart | ImagePart:
    match given:
        case str():
            return TextPart(given)
        case {"type": "text", "text": str(text)}:
            _refuse_others(given, {"type", "text"}, field)
            return TextPart(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            _refuse_others(given, {"type", "image_url"}, field)
            _refuse_others(given["image_url"], {"url", "detail"}, f"{field}.image_url")
            return _image(url, given["image_url"].get("detail") or "", f"{field}.image_url.url")
    kind = repr(given.get("type")) if isinstance(given, Mapping) else type(given).__name__
    remedy = 'give {"type": "text", "text": ...}, an image_url with a url, or a Message with parts'
    raise InvalidMessage(f"{field} of type {kind} is not read; {remedy}", field=field)


def _image(url: str, detail: str, field: str) -> ImagePart:
    if not url.startswith("data:"):
        return ImagePart(url=url, detail=detail)
    head, _, data = url.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError("it must say ;base64,")
        return ImagePart(b64decode(data, validate=True), detail=detail, media_type=head[5:].partition(";")[0])
    except (binascii.Error, ValueError) as error:
        raise InvalidMessage(f"{field} is no data: URL of an image: {error}", field=field) from error


def _refuse_unread_parts(parts: Any, field: str) -> None:
    for at, part in enumerate(parts if isinstance(parts, list | tuple) else ()):
        if isinstance(part, Mapping) and part.get("type") in FIELDS:
            _refuse_others(part, FIELDS[part["type"]], f"{field}[{at}]")
            if part["type"] == "tool_result":
                _refuse_unread_parts(part.get("content"), f"{field}[{at}].content")


def _refuse_others(given: Mapping[str, Any], known: Iterable[str], field: str) -> None:
    for name in given:
        if name not in known:
            remedy = REMEDIES.get(name, f"known are {', '.join(sorted(known))}")
            raise InvalidMessage(f"{field}.{name} is not read; {remedy}", field=f"{field}.{name}")
