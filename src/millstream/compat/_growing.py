"""`jiter.from_json` for who calls it with a text that grows: again and again, each time with a little more at its end.

The official SDKs parse all that has arrived at each delta. Here what a call was given is kept beside a parser, and a
call whose text begins with it feeds only the rest. What counts is the text, not who calls, so a mix-up is impossible;
every result is a fresh copy, as jiter's are. What the parser refuses goes to jiter, which takes some malformed text.

Cost per call: the rest, one comparison and copy of the text's bytes by the caller, one small object per container.
Source: jiter 0.19, JSON.md section 2.
"""

from __future__ import annotations

from threading import local
from typing import Any

import msgspec

from millstream.core import MISSING, JSONParser
from millstream.errors import ParseError

__all__ = ["from_json"]

SMALL = 512  # bytes; parsing less again costs less than remembering it
TEXTS = 64  # how many are kept per thread; who has more streams at once parses again


class _Text:
    __slots__ = ("data", "open", "parser")

    def __init__(self) -> None:
        self.data = b""
        self.open: tuple[str | int, ...] | None = None
        # A second value for a key goes to jiter too: in its mode "on" the first one stays until the second is whole.
        self.parser: JSONParser | None = JSONParser(numbers="eager", duplicate_keys="error", allow_nan=True)

    def feed(self, data: bytes) -> bool:
        """Take the new text, and return whether there is a value."""
        rest, self.data = data[len(self.data) :], data
        if self.parser is None:
            return False
        try:
            deltas = self.parser.feed(rest)
        except ParseError:
            deltas = []
        if self.parser.error is not None:
            self.parser = None
            return False
        if deltas:
            last = deltas[-1]
            self.open = last.path if isinstance(last.value, str) and not last.complete else None
        return self.parser.value is not MISSING


class _Texts(local):
    def __init__(self) -> None:
        self.all: list[_Text] = []


_texts = _Texts()


def from_json(json_data: bytes, /, *, partial_mode: Any = False, **options: Any) -> Any:
    """Parse as `jiter.from_json` does: same value, same errors. Only with `partial_mode` is anything remembered."""
    if options or partial_mode not in (True, "on", "trailing-strings") or type(json_data) is not bytes:
        return _jiter(json_data, partial_mode=partial_mode, **options)
    if len(json_data) < SMALL:
        return _jiter(json_data, partial_mode=partial_mode)
    text = _find(json_data)
    hides = partial_mode != "trailing-strings"
    if not text.feed(json_data) or text.parser is None or (hides and text.open == ()):
        return _jiter(json_data, partial_mode=partial_mode)
    value = msgspec.to_builtins(text.parser.value)
    if hides and text.open is not None:
        *above, key = text.open
        holder = value
        for step in above:
            holder = holder[step]
        del holder[key]
    if text.parser.complete:
        _texts.all.remove(text)
    return value


def _find(data: bytes) -> _Text:
    """Return what is known of this text; the one used last stands last."""
    known = _texts.all
    for i in range(len(known) - 1, -1, -1):
        if data.startswith(known[i].data):
            text = known.pop(i)
            break
    else:
        text = _Text()
        if len(known) == TEXTS:
            del known[0]
    known.append(text)
    return text


def _original() -> Any:
    import jiter

    return jiter.from_json


_jiter = _original()
