"""The framing of Amazon's event stream: length-prefixed binary messages with two checksums each. No I/O.

A message is: prelude (total length, length of the headers, CRC32 of these eight bytes), headers, payload, CRC32 of all.
Lengths are believed only after the prelude's own checksum, and the limit is checked then, before anything is kept.
Not known here: what headers or payloads mean. Cost: two copies of each message (buffer, frame), one CRC pass.
Source: PROTOCOLS.md section 8; AWS "Event stream encoding".
"""

from __future__ import annotations

from struct import Struct, unpack_from
from typing import NamedTuple
from zlib import crc32

from millstream.errors import LimitExceeded, ParseError, ParserClosed
from millstream.limits import DEFAULT_LIMITS

__all__ = ["EventStreamMessage", "EventStreamParser", "HeaderValue"]

HeaderValue = bool | int | str | bytes

PRELUDE = Struct(">III")
CRC_BYTES = 4
# Value types of headers: how to read those of fixed size. 6 (bytes) and 7 (string) carry their length.
FIXED = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q", 9: ">16s"}
BYTES, STRING = 6, 7


class EventStreamMessage(NamedTuple):
    """One message: its headers, its payload, and where it began in the stream."""

    headers: dict[str, HeaderValue]
    payload: bytes
    offset: int


class EventStreamParser:
    """Bytes -> messages, with the three verbs of all parsers.

    What was complete before an error is returned first; the error is in `error` at once and raised by the next call.

    Args: max_event_bytes: the largest message, its framing included.
    """

    def __init__(self, *, max_event_bytes: int = DEFAULT_LIMITS.max_event_bytes) -> None:
        self._max = max_event_bytes
        self.reset()

    def reset(self) -> None:
        """Forget everything and be ready for a new stream."""
        self._buffer = bytearray()
        self._total = 0  # length of the message under way, 0 until its prelude has been checked
        self._headers = 0
        self._closed = False
        self.offset = 0
        """Where the message under way began, in bytes since the start of the stream."""
        self.error: ParseError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[EventStreamMessage]:
        """Feed a chunk and return the messages it completed.

        Args: data: bytes-like, any length; not kept after the return.
        Raises: ParseError: what the call before found. ParserClosed: used after `close`, or after the error was raised.
        Cost: O(len(data)).
        """
        self._check()
        self._buffer += memoryview(data)
        messages: list[EventStreamMessage] = []
        start = 0
        try:
            while (size := self._size(start)) and len(self._buffer) - start >= size:
                messages.append(self._message(bytes(memoryview(self._buffer)[start : start + size])))
                start += size
                self.offset += size
                self._total = 0
        except ParseError as error:
            self.error = error
            self._buffer.clear()
        del self._buffer[:start]
        return messages

    def close(self) -> list[EventStreamMessage]:
        """Say that the stream has ended.

        Returns: [], always: a message is complete when its last byte is there. Calling it again gives [].
        Raises: ParseError: in the middle of a message, or what the call before found.
        """
        if self._closed:
            return []
        self._check()
        self._closed = True
        if self._buffer:
            self.error = self._broken("the stream ended inside a message", "truncated")
            self._buffer.clear()
            raise self.error
        return []

    def _check(self) -> None:
        if self._closed:
            raise ParserClosed("this parser has ended; call reset() to start a new stream")
        if self.error is not None:
            self._closed = True
            raise self.error

    def _size(self, start: int) -> int:
        """Length of the message at `start`, 0 while its prelude is incomplete."""
        if self._total or len(self._buffer) - start < PRELUDE.size:
            return self._total
        total, headers, crc = PRELUDE.unpack_from(self._buffer, start)
        if crc32(self._buffer[start : start + PRELUDE.size - CRC_BYTES]) != crc:
            raise self._broken("the checksum of a prelude is wrong", "prelude_crc")
        if total < PRELUDE.size + headers + CRC_BYTES:
            raise self._broken(f"a message of {total} bytes cannot have {headers} bytes of headers", "length")
        if total > self._max:
            raise LimitExceeded(
                f"the message at byte {self.offset} has {total} bytes; max_event_bytes is {self._max}",
                option="max_event_bytes",
                limit=self._max,
                offset=self.offset,
                reason="limit",
            )
        self._total, self._headers = total, headers
        return self._total

    def _message(self, frame: bytes) -> EventStreamMessage:
        view = memoryview(frame)
        if crc32(view[:-CRC_BYTES]) != int.from_bytes(view[-CRC_BYTES:]):
            raise self._broken("the checksum of a message is wrong", "message_crc")
        body = PRELUDE.size + self._headers
        try:
            headers = _headers(frame[PRELUDE.size : body])
        except (IndexError, ValueError) as error:
            raise self._broken("malformed headers", "headers") from error
        return EventStreamMessage(headers, frame[body:-CRC_BYTES], self.offset)

    def _broken(self, what: str, reason: str) -> ParseError:
        return ParseError(f"{what} (message at byte {self.offset})", offset=self.offset, reason=reason)


def _headers(data: bytes) -> dict[str, HeaderValue]:
    """Read all headers. Raises IndexError or ValueError (UnicodeDecodeError is one) where they make no sense."""
    found: dict[str, HeaderValue] = {}
    at = 0
    while at < len(data):
        name, at = _take(data, at + 1, data[at])
        kind = data[at]
        at += 1
        value: HeaderValue
        if kind in (BYTES, STRING):
            size, at = _take(data, at, 2)
            raw, at = _take(data, at, int.from_bytes(size))
            value = raw.decode() if kind == STRING else raw
        elif kind in FIXED:
            form = Struct(FIXED[kind])
            raw, at = _take(data, at, form.size)
            value = unpack_from(form.format, raw)[0]
        elif kind in (0, 1):
            value = kind == 0
        else:
            raise ValueError(f"no such type of header: {kind}")
        found[name.decode()] = value
    return found


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise ValueError("a header ends behind the headers")
    return data[at:end], end
