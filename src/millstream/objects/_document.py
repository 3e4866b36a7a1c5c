"""The text of one JSON document, in pieces -> its live value, deltas, and its own bytes.

Strict: the text is the document. Lenient: the document is found in prose. A `{` or `[` is taken on trial; it is the
document as soon as a value has begun after a key, or in an array (`{name}` and `{"a": <a>}` fail before), and what
follows the document is ignored. An empty container is taken only if nothing else comes: prose speaks of `{}`, too.
Knows nothing of types, events or I/O. Cost: O(bytes), whatever the cuts; each byte is kept once.
"""

from __future__ import annotations

import re
from typing import Any

from millstream.core import Delta, JSONParser
from millstream.errors import IncompleteJSON, LimitExceeded, ParseError
from millstream.limits import Limits

__all__ = ["Document"]

NESTED = 4


class Document:
    """One document under way. After an error it ignores what comes; `error` says why.

    Args:
        limits: `max_object_bytes` is kept.
        starts: "{", "[" or "{[": find a document that starts so in prose. "": the text is the document.
    """

    def __init__(self, limits: Limits, starts: str = "") -> None:
        self.raw = bytearray()
        """The document so far, in UTF-8. Spans of deltas are positions in it."""
        self.error: ParseError | None = None
        self._parser = JSONParser()
        self._limits = limits
        self._ended = False
        self._start = re.compile(b"[%s]" % re.escape(starts.encode())) if starts else None
        self._held = bytearray()  # prose and trial that nothing has been decided of
        self._trial: JSONParser | None = None
        self._spare = JSONParser()
        self._empty = b""  # the first empty container met

    @property
    def value(self) -> Any:
        """The live value, `MISSING` before it begins; see `JSONParser.value`."""
        return self._parser.value

    def snapshot(self) -> Any:
        """A copy that later pieces leave as it is; see `JSONParser.snapshot`."""
        return self._parser.snapshot()

    @property
    def complete(self) -> bool:
        """Whether nothing that may still come can change the value."""
        return self.error is None and (self._ended or self._parser.complete)

    def feed(self, text: str) -> list[Delta]:
        """Take a piece and return the deltas it caused. Never raises because of the text."""
        if self.error is not None or self._ended:
            return []
        data = text.encode("utf-8", "surrogatepass")  # the parser refuses a lone surrogate, at its offset
        deltas = self._seek(data)
        if self.error is None and len(self.raw) + len(self._held) > self._limits.max_object_bytes:
            self.refuse_length()
        return deltas

    def close(self, *, cut: str = "", void: bool = False) -> list[Delta]:
        """Say that the text has ended.

        Args:
            cut: why it ended early, if it did: then a number at the root is not complete.
            void: if so, nothing is, whatever it looks like.
        Returns: the deltas that only the end causes. What is missing is in `error`.
        """
        if cut and void and self.error is None:
            self._fail(cut, "")
        if self.error is not None or self._ended:
            return []
        deltas: list[Delta] = []
        if self._start is not None and self._trial is None and self._empty:
            deltas = self._parse(self._empty)
        if self._start is not None and not self.raw:
            self._fail(cut, "it ended inside the object" if self._trial else "there is no JSON object or array in it")
        elif cut and not self._parser.complete:
            self._fail(cut, "it ended inside the object" if self.raw.strip() else "it is empty")
        else:
            try:
                deltas += self._parser.close()
            except ParseError as error:
                self.error = error
        self._ended = True
        return deltas

    def replay(self) -> list[Delta]:
        """Begin again with a fresh live value, and return all deltas so far."""
        self._parser = JSONParser()
        deltas = self._deltas(self._parser, self.raw)
        if self._ended and self.error is None:
            deltas += self._parser.close()
        return deltas

    def refuse_length(self) -> None:
        """Set `error`: there is more text than is allowed."""
        limit = self._limits.max_object_bytes
        self.error = LimitExceeded(
            f"the text of the object is longer than max_object_bytes={limit}",
            reason="too_long",
            offset=limit,
            option="max_object_bytes",
            limit=limit,
        )

    def _fail(self, cut: str, where: str) -> None:
        self.error = IncompleteJSON(
            f"the text of the object is not complete: {where or cut}" + (f" ({cut})" if where and cut else ""),
            offset=len(self.raw), reason="incomplete" if self.raw or self._trial else "empty",
        )  # fmt: skip

    def _parse(self, data: bytes | bytearray) -> list[Delta]:
        self.raw += data
        deltas = self._deltas(self._parser, data)
        self.error = self._parser.error
        if self._start is not None and deltas and deltas[-1].op == "end" and not deltas[-1].path:
            del self.raw[deltas[-1].value[1] :]  # and what follows is no error
            self.error = None
            self._ended = True
        return deltas

    def _deltas(self, parser: JSONParser, data: bytes | bytearray | memoryview) -> list[Delta]:
        try:
            return parser.feed(data)
        except ParseError:  # it is in parser.error, too
            return []

    # --- lenient ---

    def _seek(self, data: bytes) -> list[Delta]:
        if self.raw or self._start is None:
            return self._parse(data)
        fed = len(self._held)
        self._held += data
        at = 0
        while True:
            if self._trial is None:
                found = self._start.search(self._held, at)
                if found is None:
                    self._held.clear()
                    return []
                at = fed = found.start()
                self._trial = self._spare
                self._trial.reset()
            with memoryview(self._held) as held, held[fed:] as piece:
                deltas = self._deltas(self._trial, piece)
            error = self._trial.error
            ended = self._trial.complete or (error is not None and error.reason == "trailing")
            if any(map(_tells, deltas)) or (ended and self._trial.value):
                document = self._held[at:]
                self._held.clear()
                self._trial = None
                return self._parse(document)
            if error is None and not ended:
                del self._held[:at]
                return []
            if ended and not self._empty:
                self._empty = b"{}" if isinstance(self._trial.value, dict) else b"[]"
            self._trial = None
            at += 1


def _tells(delta: Delta) -> bool:
    """Whether this is JSON beyond doubt: a value after a key and a colon, a scalar, or arrays that nobody writes in
    prose. (The last bounds the trials, too.)
    """
    path = delta.path
    return (
        delta.op == "set"
        and bool(path)
        and (isinstance(path[-1], str) or not isinstance(delta.value, (dict, list)) or len(path) == NESTED)
    )
