"""What messages are made of. One class per kind, told apart by `type` in their JSON.

What a provider wants back as it came stands in `signature`, `encrypted`, `opaque` and `ProviderPart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

import msgspec
from msgspec.structs import force_setattr

from millstream.errors import InvalidMessage
from millstream.messages._base import Value

__all__ = [
    "FilePart",
    "ImagePart",
    "Part",
    "ProviderPart",
    "ReasoningPart",
    "RefusalPart",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
]

# The first bytes of the image formats that providers take.
IMAGE_MAGIC = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


class PartBase(Value, frozen=True, kw_only=True, tag_field="type"):
    """What every part may carry.

    Attributes: opaque: facts of its provider that go back with the part as they came, else None.
    """

    opaque: dict[str, Any] | None = None


class TextPart(PartBase, frozen=True, tag="text"):
    """Words, in `text`."""

    text: str


class RefusalPart(PartBase, frozen=True, tag="refusal"):
    """The words with which the model refused, in `text`."""

    text: str


class Blob(PartBase, frozen=True):
    """Bytes, or where they are: exactly one of `data`, `url` and `file_id`.

    Attributes:
        data: the bytes.
        url: their address.
        file_id: the provider's id of a file that was uploaded to it.
        media_type: such as "image/png"; found by itself for the bytes of PNG, JPEG, GIF, WebP and PDF.
    """

    data: bytes = b""
    url: str = ""
    file_id: str = ""
    media_type: str = ""

    def __post_init__(self) -> None:
        given = [name for name in ("data", "url", "file_id") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise InvalidMessage(f"{type(self).__name__} needs one of data, url and file_id, got {found}", field="data")
        if self.data and not self.media_type:
            force_setattr(self, "media_type", _media_type(self.data))


class ImagePart(Blob, frozen=True, tag="image"):
    """An image. `detail` is OpenAI's wish for its resolution: "low", "high", "auto" or ""."""

    detail: str = ""


class FilePart(Blob, frozen=True, tag="file"):
    """A document, a piece of audio or another file. `name` is its file name."""

    name: str = ""


class ToolCallPart(PartBase, frozen=True, tag="tool_call"):
    """A call that the model made.

    Attributes:
        id: the provider's id of the call, "" where it gives none; the result is then matched by order.
        name: the tool.
        input: the arguments as they came: JSON text, "" for none. A mapping is accepted and becomes JSON text.
        validity: "valid"; "invalid" for complete text that is no JSON; "incomplete" for a call that was cut off.
        custom: the input is free text (OpenAI's custom tools).
    """

    id: str
    name: str
    input: str = ""
    validity: Literal["valid", "incomplete", "invalid"] = "valid"
    custom: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            id: str,
            name: str,
            input: str | Mapping[str, Any] = "",
            validity: Literal["valid", "incomplete", "invalid"] = "valid",
            custom: bool = False,
            *,
            opaque: dict[str, Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.input, str):
            force_setattr(self, "input", msgspec.json.encode(self.input).decode())

    @property
    def arguments(self) -> Any:
        """The input parsed: {} if empty, the text itself for a custom tool. Raises ValueError if it is no JSON."""
        if self.custom:
            return self.input
        return msgspec.json.decode(self.input) if self.input else {}


class ToolResultPart(PartBase, frozen=True, tag="tool_result"):
    """What a tool gave back.

    Attributes:
        id: the id of the call.
        name: the tool.
        content: text, or several of strings and parts where a tool gives images or files. Any other value becomes
            JSON text.
        is_error: the tool failed, and the content says why.
    """

    id: str
    name: str
    content: str | tuple[TextPart | ImagePart | FilePart, ...] = ""
    is_error: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            id: str,
            name: str,
            content: Any = "",
            is_error: bool = False,
            *,
            opaque: dict[str, Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        given: Any = self.content
        if isinstance(given, _Result):
            given = (given,)
        if isinstance(given, list | tuple) and any(isinstance(one, _Result) for one in given):
            parts = tuple(TextPart(one) if isinstance(one, str) else one for one in given)
            if not all(isinstance(one, _Result) for one in parts):
                raise InvalidMessage("a result is text, images and files, or one JSON value", field="content")
            force_setattr(self, "content", parts)
        elif not isinstance(given, str):
            force_setattr(self, "content", msgspec.json.encode(given).decode())


_Result = TextPart | ImagePart | FilePart


class ReasoningPart(PartBase, frozen=True, tag="reasoning"):
    """What the model thought.

    Attributes:
        text: its words, "" if the provider hides them.
        signature: the provider's signature of them.
        encrypted: the reasoning itself where the provider only shows it encrypted or redacted.
    """

    text: str = ""
    signature: str | None = None
    encrypted: str | None = None


class ProviderPart(PartBase, frozen=True, tag="provider"):
    """A block that only its provider understands (a search it ran, code it executed), sent back as it came.

    Attributes: data: the block, as its wire writes it.
    """

    data: dict[str, Any]


Part: TypeAlias = Union[  # noqa: UP007
    TextPart, RefusalPart, ImagePart, FilePart, ToolCallPart, ToolResultPart, ReasoningPart, ProviderPart
]


def _media_type(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith(b"%PDF-"):
        return "application/pdf"
    return next((name for magic, name in IMAGE_MAGIC if data.startswith(magic)), "")
