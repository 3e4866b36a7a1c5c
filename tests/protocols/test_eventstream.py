"""Amazon's framing: every cut, checksums, nonsense lengths, limits, the three verbs."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import LimitExceeded, ParseError, ParserClosed
from millstream.protocols._eventstream import EventStreamParser
from strategies import chunkings


def header(name, value):
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(raw)) + raw


def frame(payload=b"{}", headers=b"", *, total=None, n_headers=None):
    n_headers = len(headers) if n_headers is None else n_headers
    prelude = struct.pack(">II", 16 + len(headers) + len(payload) if total is None else total, n_headers)
    prelude += struct.pack(">I", crc32(prelude))
    body = prelude + headers + payload
    return body + struct.pack(">I", crc32(body))


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def parse(chunks, **options):
    """What came, and the error: raised by the next call, whichever that is."""
    parser = EventStreamParser(**options)
    out = []
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
        out += parser.close()
    except ParseError as error:
        return out, (type(error), error.reason, error.offset)
    return out, None


A = frame(b"one", header(":event-type", "a"))
B = frame(b"two" * 40, header(":event-type", "b") + header("x", "é"))


def test_messages_with_headers_payload_and_offset():
    messages, error = parse([A + B])
    assert error is None
    assert [(m.headers, m.payload, m.offset) for m in messages] == [
        ({":event-type": "a"}, b"one", 0),
        ({":event-type": "b", "x": "é"}, b"two" * 40, len(A)),
    ]


def test_all_types_of_headers():
    headers = b"".join([
        b"\x01a\x00", b"\x01b\x01", b"\x01c\x02\xff", b"\x01d\x03\x01\x00", b"\x01e\x04\x00\x00\x00\x07",
        b"\x01f\x05" + b"\0" * 7 + b"\x09", b"\x01g\x06\x00\x02\xff\xfe", b"\x01h\x07\x00\x01x",
        b"\x01i\x08" + b"\0" * 8, b"\x01j\x09" + b"u" * 16,
    ])  # fmt: skip
    [message], _ = parse([frame(headers=headers)])
    assert message.headers == {
        "a": True, "b": False, "c": -1, "d": 256, "e": 7, "f": 9, "g": b"\xff\xfe", "h": "x", "i": 0, "j": b"u" * 16,
    }  # fmt: skip


BROKEN = {
    "prelude-crc": (flip(B, 9), "prelude_crc"),
    "length-flipped": (flip(B, 2), "prelude_crc"),
    "message-crc": (flip(B, len(B) - 1), "message_crc"),
    "payload-flipped": (flip(B, len(B) - 20), "message_crc"),
    "headers-longer-than-message": (frame(n_headers=100), "length"),
    "shorter-than-framing": (frame(total=3), "length"),
    "header-cut": (frame(headers=b"\x01a\x07\x00\x09x"), "headers"),
    "header-name-cut": (frame(headers=b"\x05a"), "headers"),
    "header-type-missing": (frame(headers=b"\x01a"), "headers"),
    "header-type-unknown": (frame(headers=b"\x01a\x0a"), "headers"),
    "header-not-utf8": (frame(headers=b"\x01a\x07\x00\x01\xff"), "headers"),
    "truncated": (B[:-1], "truncated"),
}


@pytest.mark.parametrize(("data", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_was_complete_comes_before_the_error(data, reason):
    whole = parse([A + data])
    assert [m.payload for m in whole[0]] == [b"one"]
    assert whole[1] == (ParseError, reason, len(A))
    stream = A + data
    assert parse([stream[i : i + 1] for i in range(len(stream))]) == whole


def test_limit_is_checked_before_the_message_is_there():
    parser = EventStreamParser(max_event_bytes=len(B) - 1)
    assert parser.feed(A + B[:12])[0].payload == b"one"
    assert isinstance(parser.error, LimitExceeded)
    assert parser.error.option == "max_event_bytes"
    with pytest.raises(LimitExceeded):
        parser.feed(b"")
    with pytest.raises(ParserClosed):
        parser.feed(b"")
    parser.reset()
    assert parser.feed(A)[0].offset == 0


def test_closed_twice_and_fed_after():
    parser = EventStreamParser()
    assert parser.close() == [] == parser.close()
    with pytest.raises(ParserClosed):
        parser.feed(A)


def test_text_is_no_bytes():
    with pytest.raises(TypeError):
        EventStreamParser().feed("x")  # type: ignore[arg-type]


STREAMS = st.lists(st.sampled_from([A, B, frame(b""), flip(A, 8), flip(B, 40), B[:30]]), max_size=4).map(b"".join)


@given(STREAMS.flatmap(lambda data: st.tuples(st.just(data), chunkings(data))))
def test_cuts_are_invisible(case):
    data, chunks = case
    assert parse(chunks) == parse([data])
