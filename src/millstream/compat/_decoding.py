"""What the drop-ins share: their SSE parser, and JSON decoded as `json.loads` does it, faster."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from millstream.core import SSEParser

__all__ = ["loads", "make_parser"]

NO_CAP = 2**40  # the libraries that are replaced have no limit, and neither may a drop-in

_decode = msgspec.json.Decoder().decode


def loads(text: str) -> Any:
    """Decode JSON as `json.loads` does: the same values, the same errors.

    Where msgspec succeeds it gives the same (orjson does not: it makes floats of large integers). What it refuses,
    such as NaN or a lone surrogate, and what is wrong, goes to `json.loads`.
    """
    try:
        return _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return json.loads(text)


def make_parser() -> SSEParser:
    """Return the parser of all drop-ins: a block that sets any field is a message, an unfinished block is none."""
    return SSEParser("compat", at_eof="discard", max_event_bytes=NO_CAP)
