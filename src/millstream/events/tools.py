"""Tool calls and their results: of the application's tools, and of those that the provider runs itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from millstream.events._base import EventBase, EventType

__all__ = ["ProviderToolCall", "ProviderToolResult", "ToolCall", "ToolCallDelta", "ToolResult", "Validity"]


class Validity(StrEnum):
    """Whether the arguments of a tool call may be used."""

    VALID = "valid"
    """Complete, well-formed JSON (or complete free text, for a custom tool)."""
    INCOMPLETE = "incomplete"
    """Cut off by a length limit, an error or a broken connection. Never run such a call."""
    INVALID = "invalid"
    """Complete, but not JSON."""


class ToolCallDelta(EventBase, frozen=True, gc=False, tag="tool_call_delta"):
    """A fragment of a tool call that is still arriving.

    Attributes:
        id: the provider's id of the call.
        name: the tool.
        arguments: this fragment of the arguments' JSON text; may be "" in the first one.
        index: which call of the answer, from 0 in order of appearance.
        choice: which of several answers, from 0.
    """

    type: ClassVar[EventType] = EventType.TOOL_CALL_DELTA

    id: str
    name: str
    arguments: str = ""
    index: int = 0
    choice: int = 0


class ToolCall(EventBase, frozen=True, tag="tool_call"):
    """A tool call that the application shall run, sent once, when nothing more of it will come.

    Attributes:
        id: the provider's id of the call, to be quoted with the result.
        name: the tool.
        input: the arguments as they came: JSON text in bytes, possibly empty.
        arguments: the arguments parsed ({} if `input` is empty; the text itself for a custom tool), None unless
            `validity` is "valid".
        validity: look at this before running anything.
        index: which call of the answer, from 0 in order of appearance.
        choice: which of several answers, from 0.
    """

    type: ClassVar[EventType] = EventType.TOOL_CALL

    id: str
    name: str
    input: bytes = b""
    arguments: Any = None
    validity: Validity = Validity.VALID
    index: int = 0
    choice: int = 0


class ToolResult(EventBase, frozen=True, gc=True, tag="tool_result"):
    """What a tool gave back: one for each call, also when it failed.

    Attributes:
        id: the id of the call.
        name: the tool.
        result: JSON value; None if it failed.
        error: what went wrong, else None.
    """

    type: ClassVar[EventType] = EventType.TOOL_RESULT

    id: str
    name: str
    result: Any = None
    error: str | None = None


class ProviderToolCall(EventBase, frozen=True, tag="provider_tool_call"):
    """A tool that the provider runs itself (a search, code, an MCP server): told, not asked. Never run it.

    Sent once, when the call is complete; a call that was cut off is not sent. The provider's own messages come beside
    it as `Raw`, and are what goes back in the next turn.

    Attributes:
        id: the provider's id of the call, "" if it has none.
        name: the tool, as the provider calls it.
        input: what the tool was asked, any JSON value; None if not told.
        index: the content block, from 0.
    """

    type: ClassVar[EventType] = EventType.PROVIDER_TOOL_CALL

    id: str
    name: str
    input: Any = None
    index: int = 0


class ProviderToolResult(EventBase, frozen=True, tag="provider_tool_result"):
    """What a tool gave back that the provider ran itself.

    Attributes:
        id: the id of the call.
        name: the tool, as the provider calls it.
        result: any JSON value, as the provider sent it; also where the tool failed, if there is more than an error.
        error: what went wrong, else None.
        index: the content block, from 0.
    """

    type: ClassVar[EventType] = EventType.PROVIDER_TOOL_RESULT

    id: str
    name: str
    result: Any = None
    error: str | None = None
    index: int = 0
