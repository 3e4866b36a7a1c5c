"""What goes from JSON into an event has the type that the event promises: nothing else comes past these."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from millstream.events import File

__all__ = ["count", "fields", "file_of", "label", "members", "number", "text"]


def text(value: Any) -> str:
    """Return a string that is part of the answer. Raises TypeError if it is none: dropping it would lose content."""
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return value


def label(value: Any) -> str:
    """Return a name or id, also one that was sent as a number; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def members(value: Any) -> dict[str, Any]:
    """Return an object of counts, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def fields(value: Any) -> dict[str, Any]:
    """Return an object that is needed. Raises TypeError if it is none."""
    if not isinstance(value, dict):
        raise TypeError(f"object expected, not {type(value).__name__}")
    return value


def number(value: Any) -> int:
    """Return an index, 0 if it is missing. Raises TypeError if it is no whole number."""
    if value is None:
        return 0
    if type(value) is not int:
        raise TypeError(f"whole number expected, not {type(value).__name__}")
    return value


def count(value: Any) -> int | None:
    """Return a token count or a position, None if it is no whole number."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def file_of(url: str, index: int) -> File:
    """Make a file of an address; a `data:` URL holds the bytes themselves. Raises ValueError if it is malformed."""
    head, comma, data = url.partition(";base64,")
    if not (comma and head.startswith("data:")):
        return File("", url=url, index=index)
    return File(head.removeprefix("data:"), b64decode(data, validate=True), index=index)
