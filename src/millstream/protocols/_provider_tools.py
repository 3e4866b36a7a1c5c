"""Tools that the provider runs itself: blocks by key -> one `ProviderToolCall` and one `ProviderToolResult` each.

Only what was complete is given: nobody runs these calls, so half a call helps nobody, and `Raw` has its fragments.
Cost: one join and one orjson.loads per call.
"""

from __future__ import annotations

from typing import Any

from orjson import JSONDecodeError, loads

from millstream.events import ProviderToolCall, ProviderToolResult

__all__ = ["ProviderTools", "as_json"]


class ProviderTools:
    """The provider's own calls of one response. A key is the wire's number of the block."""

    __slots__ = ("_names", "_open")

    def __init__(self) -> None:
        self._open: dict[int, tuple[ProviderToolCall, list[str]]] = {}
        self._names: dict[str, str] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._open

    def begin(self, key: int, id: str, name: str, input: Any = None, *, meta: dict[str, Any] | None = None) -> None:
        """A call begins; `input` is what is known of it already."""
        self._open[key] = self.whole(key, id, name, input, meta=meta), []

    def add(self, key: int, fragment: str) -> list[str]:
        """Add a fragment of the input's JSON text to a call that has begun. Returns: where it went."""
        parts = self._open[key][1]
        parts.append(fragment)
        return parts

    def whole(
        self, key: int, id: str, name: str, input: Any, *, meta: dict[str, Any] | None = None
    ) -> ProviderToolCall:
        """Make a call that came in one piece."""
        self._names[id] = name
        return ProviderToolCall(id, name, input or None, key, _meta=meta)

    def done(self, key: int) -> ProviderToolCall | None:
        """Return the call under this key, of which nothing more will come; None if there is none."""
        if key not in self._open:
            return None
        call, parts = self._open.pop(key)
        text = "".join(parts)
        if not text:
            return call
        return ProviderToolCall(call.id, call.name, as_json(text), call.index, _meta=call._meta)

    def result(
        self, key: int, id: str, kind: str, result: Any, error: str = "", *, meta: dict[str, Any] | None = None
    ) -> ProviderToolResult:
        """Make the result of a call, named as the call was; `kind` names it where there was none."""
        return ProviderToolResult(id, self._names.get(id, kind), result, error or None, key, _meta=meta)


def as_json(given: Any) -> Any:
    """What a wire gives as JSON text, decoded; anything else as it is."""
    try:
        return loads(given) if isinstance(given, str) else given
    except JSONDecodeError:
        return given
