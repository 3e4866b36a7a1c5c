"""One JSON array, arriving in pieces -> its elements, each as soon as it is complete.

Gemini without `alt=sse` answers with one pretty-printed array of objects. Where an element ends is found by counting
brackets outside strings; every check of the grammar inside it is orjson's. A body that is one bare object (an error
page) counts as an array of one. One leading byte order mark is dropped; what follows the end is not read.
Knows nothing of events or providers. Cost: O(bytes); new bytes are searched once, the unfinished element is kept.
Source: RFC 8259 sections 2 to 7.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from orjson import JSONDecodeError, loads

from millstream.errors import InvalidJSON, LimitExceeded, ParseError, ParserClosed
from millstream.limits import DEFAULT_LIMITS

__all__ = ["JSONArrayParser"]

BOM = b"\xef\xbb\xbf"
NOT_SPACE = re.compile(rb"[^ \t\r\n]")
BRACKET_OR_QUOTE = re.compile(rb'["{}\[\]]')
QUOTE_OR_ESCAPE = re.compile(rb'["\\]')
SCALAR_END = re.compile(rb"[ \t\r\n,\]]")


class _Next(Enum):
    """What comes next."""

    ARRAY = "an array"
    FIRST = "an element or ]"
    ELEMENT = "an element"
    COMMA = ", or ]"
    NESTED = "the rest of an element"
    STRING = "the rest of a string"
    SCALAR = "the rest of a number or a word"
    NOTHING = "nothing"


INSIDE = (_Next.NESTED, _Next.STRING, _Next.SCALAR)


class JSONArrayParser:
    """Split one JSON array into its elements, fed in pieces of any size. Sans-IO.

    Args: max_event_bytes: cap on one element, 1 or more.

    Attributes:
        error: the error that ended the stream, at once when it is found; else None.
        offset: bytes fed since the start of the stream.

    The elements, the class of an error and its offset do not depend on how the input was cut.
    """

    def __init__(self, *, max_event_bytes: int = DEFAULT_LIMITS.max_event_bytes) -> None:
        if max_event_bytes < 1:
            raise ValueError(f"max_event_bytes must be 1 or more, not {max_event_bytes!r}")
        self._max_event_bytes = max_event_bytes
        self.reset()

    def reset(self) -> None:
        """Forget everything and be ready for a new stream."""
        self._next = _Next.ARRAY
        self._kept = bytearray()  # the unfinished element, from its first byte
        self._at = 0  # how far it was searched
        self._depth = 0
        self._bare = self._closed = False
        self.error: ParseError | None = None
        self.offset = 0

    @property
    def complete(self) -> bool:
        """Whether the end of the array was seen."""
        return self._next is _Next.NOTHING

    def feed(self, data: bytes | bytearray | memoryview) -> list[Any]:
        """Feed a chunk and return the elements it completed, decoded.

        Raises: InvalidJSON: with the offset of the byte that cannot stand there, or of the element that is bad inside.
            LimitExceeded. ParserClosed: used after close or after an error. Elements completed before the error are
            returned first; the error is then in `error` at once, and is raised by the next call.
        """
        self._enter()
        self._kept += data
        self.offset = self.offset + len(data)
        out: list[Any] = []
        try:
            self._split(out)
        except ParseError as error:
            self.error = error
            self._kept.clear()
            if not out:
                self._closed = True
                raise
        return out

    def close(self) -> list[Any]:
        """Say that the input has ended. Returns: an empty list.

        Raises: InvalidJSON: reason "incomplete", the array was not closed; an empty body is no error. The pending error
            of an earlier `feed`. ParserClosed: after an error that was raised already.
        """
        if self._closed and self.error is None:
            return []
        self._enter()
        self._closed = True
        if self._next not in (_Next.ARRAY, _Next.NOTHING):
            self.error = InvalidJSON("the body ended before its JSON array", offset=self.offset, reason="incomplete")
            raise self.error
        return []

    def _enter(self) -> None:
        if self._closed:
            raise ParserClosed("this parser has ended; call reset() to start a new stream") from self.error
        if self.error is not None:
            self._closed = True
            raise self.error

    def _split(self, out: list[Any]) -> None:
        begin = 0  # of the present element, else how far all is dealt with
        while begin < len(self._kept):
            if self._next in INSIDE:
                whole = self._inside()
                if self._at - begin > self._max_event_bytes:
                    raise self._too_long(begin)
                if not whole:
                    break
                out.append(self._element(begin))
                begin = self._at
            else:
                found = self._between(begin)
                if found is None:
                    break
                begin = found
        del self._kept[:begin]
        self._at -= begin

    def _between(self, at: int) -> int | None:
        """Read one byte that is no white space, between two elements. Returns where to go on, None in half a BOM."""
        kept, state = self._kept, self._next
        if state is _Next.ARRAY and self._place(at) == 0 and BOM.startswith(kept[:3]):
            self._at = 0
            if len(kept) < 3:
                return None
            at = 3
        found = NOT_SPACE.search(kept, at)
        if found is None or state is _Next.NOTHING:
            self._at = len(kept)
            return len(kept)
        at = found.start()
        self._at = at + 1
        match chr(kept[at]), state:
            case "[", _Next.ARRAY:
                self._next = _Next.FIRST
            case "]", _Next.FIRST | _Next.COMMA:
                self._next = _Next.NOTHING
            case ",", _Next.COMMA:
                self._next = _Next.ELEMENT
            case ("{", _Next.ARRAY) | ("{" | "[", _Next.FIRST | _Next.ELEMENT):
                self._bare = state is _Next.ARRAY
                self._next, self._depth = _Next.NESTED, 1
                return at
            case '"', _Next.FIRST | _Next.ELEMENT:
                self._next, self._depth = _Next.STRING, 0
                return at
            case char, _Next.FIRST | _Next.ELEMENT if char not in ",]}":
                self._next = _Next.SCALAR
                return at
            case _:
                raise InvalidJSON(
                    f"not a JSON array: {state.value} expected at byte {self._place(at)}",
                    offset=self._place(at),
                    reason="syntax",
                    snippet=bytes(kept[at : at + 1]),
                )
        return at + 1

    def _inside(self) -> bool:
        """Search the present element for its end. True: it ends at `_at`. False: more input is needed."""
        kept = self._kept
        if self._next is _Next.SCALAR:
            end = SCALAR_END.search(kept, self._at)
            self._at = len(kept) if end is None else end.start()
            return end is not None
        while True:
            pattern = QUOTE_OR_ESCAPE if self._next is _Next.STRING else BRACKET_OR_QUOTE
            found = pattern.search(kept, self._at)
            if found is None:
                self._at = len(kept)
                return False
            match chr(kept[found.start()]):
                case "\\":
                    if found.end() == len(kept):
                        self._at = found.start()
                        return False
                    self._at = found.end() + 1
                    continue
                case '"':
                    self._next = _Next.NESTED if self._next is _Next.STRING else _Next.STRING
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
            self._at = found.end()
            if self._depth == 0 and self._next is _Next.NESTED:
                return True

    def _element(self, begin: int) -> Any:
        self._next = _Next.NOTHING if self._bare else _Next.COMMA
        with memoryview(self._kept) as view:
            try:
                return loads(view[begin : self._at])
            except JSONDecodeError as error:
                reason = f"the element at byte {self._place(begin)} is not JSON: {error.msg}"
        snippet = bytes(self._kept[begin : self._at])
        raise InvalidJSON(reason, offset=self._place(begin), reason="syntax", snippet=snippet)

    def _too_long(self, begin: int) -> LimitExceeded:
        limit = self._max_event_bytes
        message = f"the element at byte {self._place(begin)} passes max_event_bytes={limit}"
        return LimitExceeded(message, option="max_event_bytes", limit=limit, offset=self._place(begin))

    def _place(self, at: int) -> int:
        """Offset in the stream of a position in what is kept."""
        return self.offset - len(self._kept) + at
