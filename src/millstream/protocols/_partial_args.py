"""Gemini's streamed function arguments (`partialArgs`) -> JSON text, growing at its end only.

Each piece names its place by a path (`$.city`, `$.days[0].name`, `$['odd key']`) and carries a scalar, or a fragment of
a string that may go on. The model writes in document order, so closing and opening brackets between two places gives
the text of the whole. A piece for a place that was left already cannot be written so, and raises ValueError.
Cost: O(pieces). Source: PROTOCOLS.md section 4; the Vertex AI reference, `FunctionCall.partial_args`.
"""

from __future__ import annotations

import re
from typing import Any

from orjson import dumps

from millstream.protocols._values import text

__all__ = ["PartialArgs"]

STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+) | \[(?P<index>[0-9]{1,9})\] | \['(?P<one>[^']*)'\] | \["(?P<two>[^"]*)"\]""", re.X
)
MAX_STEPS = 64


class PartialArgs:
    """The arguments of one call under way."""

    def __init__(self) -> None:
        self._path: tuple[str | int, ...] = ()  # of the last value; its containers are open
        self._seen: list[set[str]] = []  # the names written into each open container
        self._string_open = False

    def add(self, piece: dict[str, Any]) -> str:
        """Take one piece and return the text it adds. Raises: ValueError, TypeError: it cannot be understood."""
        path = _steps(text(piece["jsonPath"]))
        if "stringValue" in piece:
            fragment = dumps(text(piece["stringValue"])).decode()[1:-1]
            if self._string_open and path == self._path:
                return fragment
            out = self._go(path) + '"' + fragment
            self._string_open = True
            return out
        for kind in ("numberValue", "boolValue"):
            if kind in piece:
                return self._go(path) + dumps(_whole(piece[kind])).decode()
        if "nullValue" in piece:
            return self._go(path) + "null"
        return ""

    def close(self) -> str:
        """Say that the call is complete, and return the text that is missing at the end; "{}" without any piece."""
        out = self._up_to(0) if self._path else "{}"
        self._path = ()
        return out

    def _go(self, path: tuple[str | int, ...]) -> str:
        """Close and open what lies between the last value and `path`."""
        old = self._path
        common = 0
        while common < min(len(old), len(path)) - 1 and old[common] == path[common]:
            common += 1
        if not old:
            out = "{"
            self._seen.append(set())
        else:
            out = self._up_to(common + 1)
            before, now = old[common], path[common]
            if isinstance(before, int) != isinstance(now, int) or (isinstance(now, int) and now != before + 1):  # type: ignore[operator]
                raise ValueError("streamed arguments are out of order")
            out += ","
        for depth in range(common, len(path)):
            step = path[depth]
            if depth > common:
                out += "[" if isinstance(step, int) else "{"
                self._seen.append(set())
                if isinstance(step, int) and step:
                    raise ValueError("streamed arguments are out of order")
            if isinstance(step, str):
                if step in self._seen[depth]:
                    raise ValueError("streamed arguments are out of order")
                self._seen[depth].add(step)
                out += dumps(step).decode() + ":"
        self._path = path
        return out

    def _up_to(self, depth: int) -> str:
        """Close the open string and all containers deeper than `depth`."""
        out = '"' if self._string_open else ""
        self._string_open = False
        while len(self._seen) > depth:
            self._seen.pop()
            out += "]" if isinstance(self._path[len(self._seen)], int) else "}"
        return out


def _steps(path: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = STEP.match(path, at)
        if found is None or len(steps) == MAX_STEPS:
            raise ValueError("not a path of a streamed argument")
        at = found.end()
        index = found["index"]
        steps.append(int(index) if index is not None else found["name"] or found["one"] or found["two"] or "")
    if not path.startswith("$") or not steps or isinstance(steps[0], int):
        raise ValueError("not a path of a streamed argument")
    return tuple(steps)


def _whole(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
    raise TypeError(f"number or bool expected, not {type(value).__name__}")
