"""Structured output, as it grows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from millstream.events._base import EventBase, EventType

__all__ = ["ObjectDelta"]


class ObjectDelta(EventBase, frozen=True, tag="object_delta"):
    """One change of a JSON value that is still arriving. Replayed in order, the changes give the value.

    Attributes:
        path: keys and array positions from the root; () is the root itself.
        op: "set" puts `value` at the path, "append" adds text to the string there, "end" says that it is complete.
        value: a JSON value; None for "end".
        object: the live partial value, of this process only: it is not sent on the wire.
    """

    type: ClassVar[EventType] = EventType.OBJECT_DELTA

    path: tuple[str | int, ...]
    op: Literal["set", "append", "end"]
    value: Any = None
    object: Any = None
