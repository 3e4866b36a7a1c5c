"""What a JSON text means, whole or cut off, in the order of RFC 8259. Slow, recursive, and obviously right.

The oracle for `core/_json.pyx`; shares no code with it. Works on the whole input, so that no cut can matter. A value is
in its container as soon as it is known to be one: containers and strings when they begin, the others when they end.
Source: RFC 8259. Which byte an error stands at (the first that nothing can mend), limits, `multiple` and what is shown
of an unfinished text are millstream's own rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Section 2: "ws = *( %x20 / %x09 / %x0A / %x0D )"
WHITE_SPACE = b" \t\n\r"
DIGITS = b"0123456789"
ESCAPES = {
    b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"
}  # fmt: skip
LITERALS = {b"false": False, b"null": None, b"true": True}
NAN_LITERALS = {b"NaN": math.nan, b"Infinity": math.inf}
NOTHING = object()


@dataclass
class Result:
    value: Any = NOTHING
    spans: list[tuple[tuple[str | int, ...], tuple[int, int]]] = field(default_factory=list)
    error: tuple[str, int, str] | None = None  # class name, offset, reason
    line: int = 0
    column: int = 0


class Failed(Exception):
    """name, offset, reason"""


class Incomplete(Exception):
    pass


def parse(data: bytes, **options: Any) -> Result:
    oracle = Oracle(data, **options)
    try:
        oracle.text()
    except Failed as failed:
        name, offset, reason = failed.args
        oracle.result.error = (name, offset, reason)
        before = data[:offset]
        oracle.result.line = before.count(b"\n") + 1
        # Characters, not bytes: those that continue one do not count.
        oracle.result.column = 1 + sum(byte & 0xC0 != 0x80 for byte in before[before.rfind(b"\n") + 1 :])
    except Incomplete:
        empty = not data.strip(WHITE_SPACE)
        oracle.result.error = ("IncompleteJSON", len(data), "empty" if empty else "incomplete")
    return oracle.result


class Oracle:
    def __init__(
        self,
        data: bytes,
        max_depth: int = 128,
        max_digits: int = 4300,
        duplicate_keys: str = "last",
        allow_nan: bool = False,
        multiple: bool = False,
    ) -> None:
        self.data, self.i = data, 0
        self.max_depth, self.max_digits = max_depth, max_digits
        self.unique, self.allow_nan, self.multiple = duplicate_keys == "error", allow_nan, multiple
        self.result = Result()

    def peek(self) -> bytes:
        """The next byte; the end of the data ends everything."""
        if self.i == len(self.data):
            raise Incomplete
        return self.data[self.i : self.i + 1]

    def bad(self, reason: str) -> Failed:
        return Failed("InvalidJSON", self.i, reason)

    def white_space(self) -> bool:
        start = self.i
        while self.i < len(self.data) and self.data[self.i] in WHITE_SPACE:
            self.i += 1
        return self.i > start

    def text(self) -> None:
        """Section 2: "JSON-text = ws value ws"."""
        self.white_space()
        if self.multiple and self.i == len(self.data):
            return
        while True:
            bare = self.peek() not in (b"{", b"[", b'"')
            self.value(self.set_root, (), 0)
            apart = self.white_space()
            if self.i == len(self.data):
                return
            # A number or a literal does not end by itself: what follows it must not look like more of it.
            starts = self.peek() in (b"{", b"[", b'"')
            known = starts or self.peek() in b"-0123456789tfnNI"
            if not self.multiple or not known or (bare and not apart and not starts):
                raise self.bad("trailing")

    def set_root(self, value: Any) -> None:
        self.result.value = value

    def value(self, put: Callable[[Any], None], path: tuple[str | int, ...], depth: int) -> None:
        """Section 3: "A JSON value MUST be an object, array, number, or string, or one of" three literal names."""
        c = self.peek()
        if c in (b"{", b"["):
            start = self.i
            if depth == self.max_depth:
                raise Failed("LimitExceeded", self.i, "too_deep")
            (self.object if c == b"{" else self.array)(put, path, depth + 1)
            self.result.spans.append((path, (start, self.i)))
        elif c == b'"':
            self.string(put)
        elif c == b"-" or c in DIGITS:
            put(self.number(depth))
        else:
            names = LITERALS | NAN_LITERALS if self.allow_nan else LITERALS
            for name, value in names.items():
                if name.startswith(c):
                    self.literal(name)
                    put(value)
                    return
            raise self.bad("value")

    def literal(self, name: bytes) -> None:
        for k in range(len(name)):
            if self.peek() != name[k : k + 1]:
                raise self.bad("literal")
            self.i += 1

    def object(self, put: Callable[[Any], None], path: tuple[str | int, ...], depth: int) -> None:
        """Section 4: "object = begin-object [ member *( value-separator member ) ] end-object"."""
        members: dict[str, Any] = {}
        put(members)
        self.i += 1
        self.white_space()
        if self.peek() == b"}":
            self.i += 1
            return
        while True:
            # "member = string name-separator value"
            if self.peek() != b'"':
                raise self.bad("key")
            key = self.string(lambda _: None)
            if self.unique and key in members:
                raise Failed("InvalidJSON", self.i - 1, "duplicate_key")
            self.white_space()
            if self.peek() != b":":
                raise self.bad("colon")
            self.i += 1
            self.white_space()
            self.value(lambda value, key=key: members.__setitem__(key, value), (*path, key), depth)
            if self.ended(b"}"):
                return

    def array(self, put: Callable[[Any], None], path: tuple[str | int, ...], depth: int) -> None:
        """Section 5: "array = begin-array [ value *( value-separator value ) ] end-array"."""
        items: list[Any] = []
        put(items)
        self.i += 1
        self.white_space()
        if self.peek() == b"]":
            self.i += 1
            return
        while True:
            at = len(items)
            # The same item again, when a string grows.
            self.value(lambda value, at=at: items.__setitem__(slice(at, at + 1), [value]), (*path, at), depth)
            if self.ended(b"]"):
                return

    def ended(self, end: bytes) -> bool:
        self.white_space()
        c = self.peek()
        if c not in (b",", end):
            raise self.bad("comma")
        self.i += 1
        if c == end:
            return True
        self.white_space()
        return False

    def number(self, depth: int) -> int | float:
        """Section 6: "number = [ minus ] int [ frac ] [ exp ]"."""
        start = self.i
        self.n_digits = 0
        is_float = False
        if self.peek() == b"-":
            self.i += 1
            if self.peek() == b"I" and self.allow_nan:
                self.literal(b"Infinity")
                return -math.inf
        # "int = zero / ( digit1-9 *DIGIT )"
        if self.peek() == b"0":
            self.digits(most=1)
            if self.next_is(DIGITS):
                raise self.bad("number")
        else:
            self.digits()
        if self.next_is(b"."):  # "frac = decimal-point 1*DIGIT"
            is_float = True
            self.i += 1
            self.digits()
        if self.next_is(b"eE"):  # "exp = e [ minus / plus ] 1*DIGIT"
            is_float = True
            self.i += 1
            if self.next_is(b"+-"):
                self.i += 1
            self.digits()
        if self.i == len(self.data) and depth:
            raise Incomplete  # more digits may come; only at the root the end of the data ends a number
        if not is_float:
            return int(self.data[start : self.i])
        value = float(self.data[start : self.i])
        if math.isinf(value) and not self.allow_nan:
            raise Failed("InvalidJSON", start, "number_range")
        return value

    def next_is(self, some: bytes) -> bool:
        return self.i < len(self.data) and self.data[self.i] in some

    def digits(self, most: int | None = None) -> None:
        """1*DIGIT"""
        if self.peek() not in [bytes([digit]) for digit in DIGITS]:
            raise self.bad("number")
        while self.next_is(DIGITS) and most != 0:
            if self.n_digits == self.max_digits:
                raise Failed("LimitExceeded", self.i, "too_many_digits")
            self.n_digits += 1
            self.i += 1
            most = most and most - 1

    def string(self, put: Callable[[Any], None]) -> str:
        """Section 7: "string = quotation-mark *char quotation-mark"; it is put whenever it has grown."""
        text = ""
        self.i += 1
        put(text)
        while self.peek() != b'"':
            text += self.char()
            put(text)
        self.i += 1
        return text

    def char(self) -> str:
        c = self.peek()
        if c == b"\\":
            self.i += 1
            return self.escaped()
        if c[0] < 0x20:  # "unescaped = %x20-21 / %x23-5B / %x5D-10FFFF"
            raise self.bad("control")
        start = self.i
        while True:  # section 8.1: "MUST be encoded using UTF-8"
            self.peek()
            self.i += 1
            try:
                return self.data[start : self.i].decode()
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data":
                    self.i -= 1
                    raise self.bad("utf8") from None

    def escaped(self) -> str:
        c = self.peek()
        if c != b"u":
            if c not in ESCAPES:
                raise self.bad("escape")
            self.i += 1
            return ESCAPES[c]
        high = self.hex4()
        if 0xDC00 <= high <= 0xDFFF:
            raise Failed("InvalidJSON", self.i - 1, "surrogate")
        if not 0xD800 <= high <= 0xDBFF:
            return chr(high)
        # "the character is represented as a 12-character sequence, encoding the UTF-16 surrogate pair"
        for expected in (b"\\", b"u"):
            if self.peek() != expected:
                raise self.bad("surrogate")
            self.i += expected == b"\\"
        low = self.hex4()
        if not 0xDC00 <= low <= 0xDFFF:
            raise Failed("InvalidJSON", self.i - 1, "surrogate")
        return chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00)

    def hex4(self) -> int:
        """Four digits, behind the u that is next."""
        self.i += 1
        start = self.i
        for _ in range(4):
            if self.peek() not in [bytes([digit]) for digit in b"0123456789abcdefABCDEF"]:
                raise self.bad("escape")
            self.i += 1
        return int(self.data[start : self.i], 16)
