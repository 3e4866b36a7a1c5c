"""httpx-sse's private line decoder, for programs that import it. Nothing here is used by `EventSource`."""

from __future__ import annotations

import re

from millstream.compat._decoding import make_parser
from millstream.compat.httpx_sse._models import ServerSentEvent

__all__ = ["SSEDecoder", "SSELineDecoder"]

_LINE_END = re.compile(r"\r\n|\r|\n")


def _splitlines_sse(text: str) -> list[str]:
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


class SSELineDecoder:
    """Text in pieces -> lines without their CRLF, CR or LF; nothing else ends a line. Linear in the text."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._after_cr = False

    def decode(self, text: str) -> list[str]:
        """Return the lines that are complete now."""
        if not text:
            return []
        if self._after_cr and text[0] == "\n":
            text = text[1:]
        self._after_cr = text.endswith("\r")
        *lines, rest = _LINE_END.split(text)
        if lines and self._parts:
            lines[0] = "".join([*self._parts, lines[0]])
            self._parts.clear()
        if rest:
            self._parts.append(rest)
        return lines

    def flush(self) -> list[str]:
        """Return the last line, if nothing ended it."""
        lines = ["".join(self._parts)] if self._parts else []
        self._parts.clear()
        self._after_cr = False
        return lines


class SSEDecoder:
    """Lines -> events."""

    def __init__(self) -> None:
        self._parser = make_parser()

    def decode(self, line: str) -> ServerSentEvent | None:
        """Return the event that this line ended: a blank line, or none."""
        messages = self._parser.feed(line.encode() + b"\n")
        return ServerSentEvent(m.event, m.data, m.id, m.retry) if messages and (m := messages[0]) else None
