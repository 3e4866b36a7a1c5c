"""`smooth`: text in pieces that a person likes to watch, at a steady pace, whatever the pieces of the network were.

Text is cut after each word, line, or match of a pattern; between two pieces pass at least `delay` seconds. What is left
of a piece waits for more text, and goes out before anything else: another kind of event, another block, choice or
stream, text that carries something of its own in `meta`, an error, the end. Answer and reasoning are treated alike.
Other events are not delayed. Order is kept, the text is the same. No task; at most MAX_HELD_CHARS are held back.
Source: `smoothStream` of the Vercel AI SDK, and its fix for languages that write no spaces.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from millstream.events import ReasoningDelta, TextDelta
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller, breathe
from millstream.streams.operators._base import Operator, plain

__all__ = ["Chunking", "Smooth"]

Chunking = str | re.Pattern[str] | Callable[[str], int]

MAX_HELD_CHARS = 4096  # S13: text in which nothing ever matches goes out at this size

# Kana, CJK ideographs, Hangul, Thai to Khmer: each character is a piece, because no space will come.
NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
PATTERNS = {
    # Possessive, and matched in its place, not searched for: a word without end costs one look, not its square.
    "word": re.compile(rf"\s*+(?:[{NO_SPACES}]|[^\s{NO_SPACES}]++(?:\s+|(?=[{NO_SPACES}])))"),
    "line": re.compile(r"[^\n]*+\n+"),
}


class Smooth(Operator[Any]):
    """Cut text anew and pace it.

    Args:
        by: "word", "line", a compiled pattern (a piece ends with its match), or a function that returns how many
            characters of the text it is given are a piece, 0 if none is complete yet.
        delay: seconds between two pieces; 0 only cuts.
        clock: what the delay goes by.

    Raises: ValueError: by unknown, delay negative. ValueError, when it happens: the function's number is not within the
        text.
    """

    def __init__(
        self, source: Puller[Any], by: Chunking = "word", delay: float = 0.01, *, clock: Clock = ANYIO_CLOCK
    ) -> None:
        super().__init__(source)
        if isinstance(by, str) and by not in PATTERNS:
            raise ValueError(f'smooth cuts by "word", "line", a compiled pattern or a function, not {by!r}')
        if not delay >= 0:
            raise ValueError(f"delay must be seconds from 0 on, got {delay!r}")
        self._cut = _cutter(plain("by", by) if callable(by) else by)
        self._delay = delay
        self._clock = clock
        self._first: Any = None  # the delta that the held text began with
        self._text = ""
        self._ready: deque[Any] = deque()
        self._next = float("-inf")
        self._ended = False
        self._error: Exception | None = None

    async def pull(self) -> list[Any]:
        """Return the next piece when its time has come, with all that need not wait."""
        fruitless = 0
        while not self._ready:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return []
            try:
                batch = await self._source.pull()
                for event in batch:
                    self._add(event)
            except Exception as error:
                self._error, batch = error, []
            if not batch:
                self._ended = True
                self._flush()
            fruitless = await breathe(fruitless)
        return await self._due()

    async def _due(self) -> list[Any]:
        ready = self._ready
        if not self._delay:
            out = list(ready)
            ready.clear()
            return out
        out = []
        if _is_text(ready[0]):
            now = self._clock.now()
            if self._next > now:
                await self._clock.sleep_until(self._next)
            self._next = max(now, self._next) + self._delay
            out.append(ready.popleft())
        while ready and not _is_text(ready[0]):
            out.append(ready.popleft())
        return out

    def _add(self, event: Any) -> None:
        if not _is_text(event):
            self._flush()
            self._ready.append(event)
            return
        if self._first is not None and not _continues(self._first, event):
            self._flush()
        if self._first is None:
            self._first = event
        text, done = self._text + event.text, 0
        while end := self._cut(text, done):
            self._ready.append(replace(self._first, text=text[done:end]))
            done = end
        self._text = text[done:]
        if len(self._text) > MAX_HELD_CHARS:
            self._flush()
        elif not self._text:
            self._first = None

    def _flush(self) -> None:
        if self._text:
            self._ready.append(replace(self._first, text=self._text))
        self._first, self._text = None, ""


def _cutter(by: Chunking) -> Callable[[str, int], int]:
    """Return a function that tells where the piece that begins at a position ends; 0 if it is not complete."""
    if isinstance(by, str):
        find = PATTERNS[by].match
    elif isinstance(by, re.Pattern):
        find = by.search
    else:
        return partial(_ask, by)

    def cut(text: str, start: int) -> int:
        match = find(text, start)
        return match.end() if match and match.end() > start else 0

    return cut


def _ask(by: Callable[[str], int], text: str, start: int) -> int:
    part = text[start : start + MAX_HELD_CHARS]
    n_chars = by(part) if part else 0
    if not 0 <= n_chars <= len(part):
        raise ValueError(f"a piece of a text of {len(part)} characters cannot have {n_chars}")
    return start + n_chars if n_chars else 0


def _is_text(event: Any) -> bool:
    """Whether an event is text and nothing besides, so that it may be cut."""
    if type(event) is TextDelta:
        return not event._meta
    return type(event) is ReasoningDelta and not (event._meta or event.signature or event.encrypted or not event.text)


def _continues(one: Any, other: Any) -> bool:
    same = (one.index, one.choice, one.stream_id) == (other.index, other.choice, other.stream_id)
    return same and type(one) is type(other)
