"""What a server-sent event stream means, in the order of the standard's text. Slow, and obviously right.

The oracle for `core/_sse.pyx`; shares no code with it. Works on the whole input, so that no cut can matter. Decoding
comes after splitting here, as strict mode and the limit count bytes; CR, LF and ":" are never part of a longer UTF-8
sequence, so the standard's order (decode first) gives the same text.
Source: WHATWG HTML 9.2.5 and 9.2.6. The limit, strict mode, compat mode and unknown fields are millstream's own rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_RETRY_MS = 2147483647
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Message:
    event: str
    data: str
    id: str
    retry: int | None
    named: bool
    offset: int
    unterminated: bool
    unknown: str


@dataclass
class Result:
    messages: list[Message] = field(default_factory=list)
    error: tuple[str, int] | None = None  # class name and offset
    last_event_id: str = ""
    reconnection_time: int | None = None


@dataclass
class Block:
    """What the lines since the last blank line said."""

    data: list[bytes] = field(default_factory=list)
    unknown: list[bytes] = field(default_factory=list)
    event: bytes = b""
    retry: int | None = None
    n_id: int = 0
    was_set: bool = False
    offset: int | None = None

    def size(self) -> int:
        n_data = sum(len(value) + 1 for value in self.data)
        return n_data + len(self.event) + self.n_id + len(b"\n".join(self.unknown))


class Failed(Exception):
    pass


def split_lines(data: bytes) -> tuple[list[tuple[int, bytes]], tuple[int, bytes]]:
    """The complete lines with their offsets, and the unfinished rest."""
    # "One leading U+FEFF BYTE ORDER MARK character must be ignored if any are present."
    start = i = 3 if data.startswith(BOM) else 0
    lines = []
    while i < len(data):
        # "Lines must be separated by either a CRLF character pair, a single LF character, or a single CR character."
        if data[i : i + 2] == b"\r\n":
            lines.append((start, data[start:i]))
            start = i = i + 2
        elif data[i : i + 1] in (b"\r", b"\n"):
            lines.append((start, data[start:i]))
            start = i = i + 1
        else:
            i += 1
    return lines, (start, data[start:])


def parse(
    data: bytes,
    *,
    mode: str = "spec",
    max_event_bytes: int = 8 * 1024 * 1024,
    at_eof: str | None = None,
    utf8: str = "replace",
    keep_unknown: bool = False,
) -> Result:
    result = Result()
    block = Block()
    id_buffer = ""
    deliver = (at_eof or {"spec": "discard", "compat": "deliver"}[mode]) == "deliver"

    def fail(name: str, offset: int) -> None:
        result.error = (name, offset)
        raise Failed

    def check_room(line: bytes, offset: int) -> None:
        room = max(0, max_event_bytes - block.size())
        if len(line) > room and not line.startswith(b":"):
            fail("LimitExceeded", offset + room)

    def dispatch(unterminated: bool) -> None:
        nonlocal block
        says_something = block.data or block.unknown or (mode == "compat" and block.was_set)
        # "Set the last event ID string of the event source to the value of the last event ID buffer."
        if says_something or not unterminated:
            result.last_event_id = id_buffer
        # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and
        # return."
        if says_something:
            result.messages.append(
                Message(
                    event=block.event.decode("utf-8", "replace") or "message",
                    # "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove it."
                    data=b"\n".join(block.data).decode("utf-8", "replace"),
                    id=id_buffer,
                    retry=block.retry,
                    named=block.event != b"",
                    offset=block.offset,
                    unterminated=unterminated,
                    unknown=b"\n".join(block.unknown).decode("utf-8", "replace"),
                )
            )
        block = Block()

    def process(offset: int, line: bytes) -> None:
        nonlocal id_buffer
        # "If the line is empty (a blank line): dispatch the event, as defined below."
        if line == b"":
            dispatch(False)
            return
        # "If the line starts with a U+003A COLON character (:): ignore the line."
        if line.startswith(b":"):
            return
        check_room(line, offset)
        if utf8 == "strict":
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                fail("InvalidUTF8", offset + error.start)
        if block.offset is None:
            block.offset = offset
        # "If the line contains a U+003A COLON character (:): collect the characters before the first one as field, and
        # those after it as value. If value starts with a U+0020 SPACE character, remove it from value.
        # Otherwise use the whole line as the field name, and the empty string as the field value."
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"event":
            block.event = value
            block.was_set = True
        elif name == b"data":
            block.data.append(value)
        elif name == b"id":
            # "If the field value does not contain U+0000 NULL"
            if b"\0" not in value:
                id_buffer = value.decode("utf-8", "replace")
                block.n_id = len(value)
                block.was_set = True
        elif name == b"retry":
            # "If the field value consists of only ASCII digits"; bytes.isdigit knows no others, and refuses b"".
            if value.isdigit():
                significant = value.lstrip(b"0")
                # More than ten digits are above the cap, and int() refuses very many.
                retry = MAX_RETRY_MS if len(significant) > 10 else min(int(significant or b"0"), MAX_RETRY_MS)
                block.retry = result.reconnection_time = retry
                block.was_set = True
        elif keep_unknown:
            block.unknown.append(line)

    lines, (rest_offset, rest) = split_lines(data)
    try:
        for offset, line in lines:
            process(offset, line)
        if deliver:
            if rest:
                process(rest_offset, rest)
            dispatch(True)
        # "Once the end of the file is reached, any pending data must be discarded." The limit holds for it too, unless
        # it may still become a BOM: then it is not a line yet.
        elif not BOM.startswith(data):
            check_room(rest, rest_offset)
    except Failed:
        pass
    return result
