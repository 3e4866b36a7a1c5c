"""What an NDJSON stream means: split at LF, decode each line. The oracle for `core/_ndjson.pyx`, whole input at once.

Values are orjson's on both sides: what is under test is the framing and the errors, not the JSON decoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Bad:
    """A bad line: class name, offset and reason of its error, and its 1-based number if that is known to the class."""

    name: str
    offset: int
    reason: str
    line: int | None


@dataclass
class Result:
    values: list[Any] = field(default_factory=list)
    error: Bad | None = None
    line: int = 0
    skipped: int = 0


def parse(
    data: bytes, *, decode: bool = True, on_error: str = "raise", max_line_bytes: int = 8 * 1024 * 1024
) -> Result:
    result = Result()
    offset = 3 if data.startswith(BOM) else 0
    *complete, rest = data[offset:].split(b"\n")
    pieces = [(line, True) for line in complete]
    if rest:
        pieces.append((rest, False))
    for line, has_newline in pieces:
        item = one_line(line, has_newline, offset, result.line + 1, decode, max_line_bytes)
        if isinstance(item, Bad) and on_error == "raise":
            # A line that is too long is refused before its end is seen, and is not counted.
            result.line += item.name != "LimitExceeded"
            result.error = item
            return result
        result.line += 1
        if isinstance(item, Bad) and on_error == "skip":
            result.skipped += 1
        elif item is not BLANK:
            result.values.append(item)
        offset += len(line) + 1
    return result


BLANK = object()


def one_line(line: bytes, has_newline: bool, offset: int, number: int, decode: bool, max_line_bytes: int) -> Any:
    if len(line) > max_line_bytes:
        return Bad("LimitExceeded", offset + max_line_bytes, "line_too_long", None)
    if has_newline:
        line = line.removesuffix(b"\r")
    if line.strip(b" \t\r") == b"":
        return BLANK
    if not decode:
        return line
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return Bad("InvalidJSON", offset, "json" if has_newline else "incomplete", number)
