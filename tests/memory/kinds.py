"""The parsers of core/ in a table: what each is fed to be in the middle of something, to end it, and to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from millstream.core import JSONParser, NDJSONParser, SSEParser
from millstream.errors import InvalidJSON, InvalidUTF8


class Kind(NamedTuple):
    make: Callable[[], Any]
    part: bytes  # of a stream; something is complete, something is not
    rest: bytes
    bad: bytes  # in place of `rest`: an error
    error: type[Exception]


KINDS = {
    "sse": Kind(
        lambda: SSEParser(utf8="strict"), b"data: a\n\nid: 7\ndata: b\nda", b"ta: c\n\n", b"ta: \xff\n", InvalidUTF8
    ),
    "sse compat": Kind(
        lambda: SSEParser("compat", utf8="strict", keep_unknown=True), b"event: x\n\nfoo\nevent: y\r", b"\ndata: z\n\n",
        b"\nid: \xe2\x28\n", InvalidUTF8,
    ),
    "ndjson": Kind(NDJSONParser, b'{"a":[1]}\n{"b":"x', b'y"}\n', b"\n", InvalidJSON),
    "ndjson raw": Kind(
        lambda: NDJSONParser(decode=False, max_line_bytes=30), b'{"a":[1]}\n{"b"', b":2}\n", b"x" * 40, Exception
    ),
    "json": Kind(JSONParser, b'{"a":["x","lo', b'ng"],"n":12}', b"\x01", InvalidJSON),
    "json eager": Kind(lambda: JSONParser(numbers="eager"), b'[1,{"k":"\xc3\xa9"},23', b"4]", b"x", InvalidJSON),
}  # fmt: skip

# Each call of each parser.
CALLS = [
    (name, call)
    for name in KINDS
    for call in ("feed", "close", "reset", "value", "snapshot")
    if hasattr(KINDS[name].make(), call)
]


def shown(parser: Any, out: list[Any]) -> list[str]:
    """All that can be seen of what came out."""
    return [*map(repr, out), repr(getattr(parser, "value", None)), repr(parser.offset)]


def undisturbed(kind: Kind) -> list[str]:
    parser = kind.make()
    out = parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()
    return shown(parser, out)
