"""The base of all events and the list of their kinds.

An event is a small frozen struct, made once per delta and never reused: who keeps one, keeps it as it was. Cost: about
45 ns to make. Source of the kinds: DESIGN section 3; the first ten keep the order of GAI's EventType.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import force_setattr

__all__ = ["EventBase", "EventType"]

REPR_CHARS = 80


class EventType(StrEnum):
    """The kinds of event, with the names they have on the wire."""

    START = "start"
    TEXT_DELTA = "text_delta"
    OBJECT_DELTA = "object_delta"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    CITATIONS = "citations"
    SAFETY = "safety"
    USAGE = "usage"
    ERROR = "error"
    FINISH = "finish"
    REASONING_DELTA = "reasoning_delta"
    TOOL_CALL_DELTA = "tool_call_delta"
    STEP_START = "step_start"
    STEP_FINISH = "step_finish"
    HANDOFF = "handoff"
    DATA = "data"
    FILE = "file"
    RAW = "raw"
    PROVIDER_TOOL_CALL = "provider_tool_call"
    PROVIDER_TOOL_RESULT = "provider_tool_result"

    @property
    def ordinal(self) -> int:
        """Position in the list above, from 0; stable."""
        return list(EventType).index(self)


# gc: see `meta`; msgspec inherits it.
class EventBase(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, rename={"_meta": "meta"}):
    """What every event has besides its own fields.

    Attributes:
        type: the kind, a member of `EventType`.
        stream_id: which stream it came from, once streams are merged; None before.
        meta: a dict for whatever belongs to this one event, made at the first access. The garbage collector does not
            look into most events (that is a quarter of their cost): what leads back to the event itself, put in here,
            is never freed. Error, Data, ToolResult and Handoff, which hold objects of the application, are looked into.
    """

    type: ClassVar[EventType]

    stream_id: int | str | None = None
    _meta: dict[str, Any] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """The event's own dict, the same at each access; sent on the wire if it is not empty."""
        if self._meta is None:
            force_setattr(self, "_meta", {})
        return self._meta  # type: ignore[return-value]

    def __repr__(self) -> str:
        fields = [f"{name}={_shown(value)}" for name, value in self.__rich_repr__()]
        return f"{type(self).__name__}({', '.join(fields)})"

    def __rich_repr__(self) -> Any:
        """Yield the fields that differ from their defaults, for `repr` and for rich."""
        for name, default in zip(self.__struct_fields__, _defaults(type(self)), strict=True):
            value = getattr(self, name)
            if value is not default and value != default:
                yield name.lstrip("_"), value


def _defaults(cls: type[EventBase]) -> tuple[Any, ...]:
    required = len(cls.__struct_fields__) - len(cls.__struct_defaults__)
    return (object(),) * required + cls.__struct_defaults__


def _shown(value: Any) -> str:
    """`repr`, but no payload longer than REPR_CHARS gets into a log."""
    if isinstance(value, (str, bytes)) and len(value) > REPR_CHARS:
        return f"{value[: REPR_CHARS - 20]!r}… ({len(value)} {'characters' if isinstance(value, str) else 'bytes'})"
    text = repr(value)
    return text if len(text) <= REPR_CHARS else text[: REPR_CHARS - 1] + "…"
