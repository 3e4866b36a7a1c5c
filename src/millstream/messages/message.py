"""A message of a conversation, and strings where one is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr, replace

from millstream.errors import InvalidMessage
from millstream.messages._base import Value
from millstream.messages._mappings import content_parts, refuse_unread
from millstream.messages.parts import (
    FilePart,
    ImagePart,
    Part,
    PartBase,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Message", "MessagesLike", "Role", "as_messages"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ALLOWED: dict[str, tuple[type, ...]] = {
    "system": (TextPart,),
    "user": (TextPart, ImagePart, FilePart),
    "assistant": (TextPart, RefusalPart, ReasoningPart, ToolCallPart, ImagePart, FilePart, ProviderPart),
    "tool": (ToolResultPart,),
}


class Message(Value, frozen=True):
    """One message of a conversation.

    Args:
        role: "system", "user", "assistant" or "tool".
        parts: a string, a part, or several of them.
        origin: the protocol that gave it, for messages whose opaque parts go back to that provider, else "".
    Raises: InvalidMessage: an unknown role, or a part that this role cannot have; `field` names it.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    origin: str = ""

    if TYPE_CHECKING:

        def __init__(self, role: Role, parts: str | Part | Iterable[str | Part] = (), origin: str = "") -> None: ...

    def __post_init__(self) -> None:
        if self.role not in ALLOWED:
            raise InvalidMessage(f"role must be one of {', '.join(ALLOWED)}, got {self.role!r}", field="role")
        given: Any = self.parts
        several = (given,) if isinstance(given, str | PartBase) else tuple(given)
        parts = tuple(TextPart(part) if isinstance(part, str) else part for part in several)
        for at, part in enumerate(parts):
            if not isinstance(part, ALLOWED[self.role]):
                takes = ", ".join(cls.__name__ for cls in ALLOWED[self.role])
                raise InvalidMessage(
                    f"parts[{at}] of a {self.role} message is a {type(part).__name__}; it takes {takes}",
                    field=f"parts[{at}]",
                )
        force_setattr(self, "parts", parts)

    @property
    def text(self) -> str:
        """The words of its text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """Its tool calls, in order, also the invalid and incomplete ones."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    def portable(self) -> Message:
        """Return the message without what only its provider understands, to be sent to another one.

        Reasoning, provider's blocks and opaque facts are left out; words, calls, results, images and files stay.
        """
        kept = (part for part in self.parts if not isinstance(part, ReasoningPart | ProviderPart))
        parts = [replace(part, opaque=None) if part.opaque else part for part in kept]
        return Message(self.role, [part for part in parts if part != TextPart("")])


MessagesLike: TypeAlias = str | Message | Mapping[str, Any] | Iterable[str | Message | Mapping[str, Any]]
"""Whatever means messages."""


def as_messages(given: MessagesLike) -> list[Message]:
    """Return messages of whatever means some: a string is what the user says.

    Args: given: one string, `Message` or mapping, or several of them. A mapping has "role", and "parts" or "content": a
        string, or OpenAI's list of texts and images.
    Raises: InvalidMessage: something else, or none at all; whatever of a mapping would be lost. `field` names it.
    """
    if not isinstance(given, Message | Iterable) or isinstance(given, bytes | bytearray | memoryview):
        said = f"messages is a {type(given).__name__}; give a string, a Message, or several of them"
        raise InvalidMessage(said, field="messages")
    several = [given] if isinstance(given, str | Message | Mapping) else list(given)
    if not several:
        raise InvalidMessage("there is no message; give a string or a Message", field="messages")
    return [_as_message(one, f"messages[{at}]") for at, one in enumerate(several)]


def _as_message(given: Any, field: str) -> Message:
    if isinstance(given, Message):
        return given
    if isinstance(given, str):
        return Message("user", given)
    if not isinstance(given, Mapping):
        raise InvalidMessage(f"{field} is a {type(given).__name__}; give a string, a Message or a mapping", field=field)
    refuse_unread(given, field)
    parts = content_parts(given["content"], f"{field}.content") if "content" in given else None
    try:
        if parts is None or not isinstance(given.get("role"), str):
            return msgspec.convert(given, Message)
        return Message(given["role"], parts, given.get("origin", ""))
    except (InvalidMessage, msgspec.ValidationError) as error:
        raise InvalidMessage(f"{field}: {error}", field=field) from error
