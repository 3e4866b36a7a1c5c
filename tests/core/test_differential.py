"""The compiled parsers and the oracles agree on any bytes, any cuts and any options: output, error and error offset."""

from __future__ import annotations

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

import strategies
from millstream.core import MISSING, JSONParser, NDJSONParser, SSEParser
from millstream.errors import ParseError, ParserClosed
from reference import json as json_oracle
from reference import ndjson as ndjson_oracle
from reference import sse as sse_oracle

MESSAGE_FIELDS = ("event", "data", "id", "retry", "named", "offset", "unterminated", "unknown")
limits = st.integers(1, 40) | st.just(1 << 20)


def run(parser, chunks):
    """Feed and close; the output that came before an error counts, and the error must then poison the parser."""
    out = []
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
            if parser.error is not None:
                # Found at once, raised by the next call, whatever that is.
                with pytest.raises(type(parser.error)) as caught:
                    parser.feed(b"")
                assert caught.value is parser.error
                raise parser.error
        out += parser.close()
    except ParseError as error:
        found = error
        with pytest.raises(ParserClosed):
            parser.feed(b"data: more\n\n")
        with pytest.raises(ParserClosed):
            parser.close()
        assert parser.error is found
        return out, found
    assert parser.error is None
    assert parser.offset == sum(map(len, chunks))
    return out, None


@st.composite
def cut(draw, streams):
    data = draw(streams)
    return data, draw(strategies.chunkings(data))


sse_options = st.fixed_dictionaries({
    "mode": st.sampled_from(["spec", "compat"]),
    "at_eof": st.sampled_from([None, "discard", "deliver"]),
    "utf8": st.sampled_from(["replace", "strict"]),
    "keep_unknown": st.booleans(),
    "max_event_bytes": limits,
})  # fmt: skip


def check_sse(data, chunks, options):
    want = sse_oracle.parse(data, **options)
    parser = SSEParser(**options)
    for pieces in (chunks, [data]):  # and again after reset(), which must make it new
        messages, error = run(parser, pieces)
        got = [tuple(getattr(message, name) for name in MESSAGE_FIELDS) for message in messages]
        note(f"{got=} {want=}")
        assert got == [tuple(getattr(message, name) for name in MESSAGE_FIELDS) for message in want.messages]
        assert (error and (type(error).__name__, error.offset)) == want.error
        assert parser.last_event_id == want.last_event_id
        assert parser.reconnection_time == want.reconnection_time
        parser.reset()


@given(cut(strategies.sse_streams()), sse_options)
@example((b"\xef\xbb", [b"\xef", b"\xbb"]), {"max_event_bytes": 1})
@example((b"\xef\xbbx", [b"\xef", b"\xbb", b"x"]), {"max_event_bytes": 1})
@example((b"data:a\r\r\ndata:b\r\n\r", [b"data:a\r", b"\r", b"\ndata:b\r", b"\n", b"\r"]), {})
@example((b"data:\xe2\x82\n\n", [b"data:\xe2", b"\x82\n\n"]), {"utf8": "strict"})
def test_sse(stream, options):
    check_sse(*stream, options)


@given(cut(st.binary(max_size=80)), sse_options)
def test_sse_any_bytes(stream, options):
    check_sse(*stream, options)


ndjson_options = st.fixed_dictionaries({
    "decode": st.booleans(),
    "on_error": st.sampled_from(["raise", "skip", "yield"]),
    "max_line_bytes": limits,
})  # fmt: skip


def as_bad(error):
    return ndjson_oracle.Bad(type(error).__name__, error.offset, error.reason, getattr(error, "line", None))


def check_ndjson(data, chunks, options):
    want = ndjson_oracle.parse(data, **options)
    parser = NDJSONParser(**options)
    for pieces in (chunks, [data]):  # and again after reset(), which must make it new
        values, error = run(parser, pieces)
        got = [as_bad(value) if isinstance(value, ParseError) else value for value in values]
        note(f"{got=} {want=}")
        assert got == want.values
        assert list(map(type, got)) == list(map(type, want.values))  # True == 1 == 1.0
        assert (error and as_bad(error)) == want.error
        assert (parser.line, parser.skipped) == (want.line, want.skipped)
        parser.reset()


@given(cut(strategies.ndjson_streams()), ndjson_options)
@example((b"\xef\xbb", [b"\xef", b"\xbb"]), {"max_line_bytes": 1})
@example((b"\xef\xbb", [b"\xef\xbb"]), {"on_error": "yield", "max_line_bytes": 1})
@example((b"123456\n7\n", [b"12345", b"6", b"\n7\n"]), {"on_error": "skip", "max_line_bytes": 4})
@example((b"1\r\n2\r", [b"1\r", b"\n2\r"]), {"decode": False})
def test_ndjson(stream, options):
    check_ndjson(*stream, options)


@given(cut(st.binary(max_size=60)), ndjson_options)
def test_ndjson_any_bytes(stream, options):
    check_ndjson(*stream, options)


json_options = st.fixed_dictionaries({
    "max_depth": st.integers(1, 6) | st.just(128),
    "max_digits": st.integers(1, 8) | st.just(4300),
    "duplicate_keys": st.sampled_from(["last", "error"]),
    "allow_nan": st.booleans(),
    "multiple": st.booleans(),
})  # fmt: skip


def check_json(data, chunks, options):
    want = json_oracle.parse(data, **options)
    parser = JSONParser(**options)
    for pieces in (chunks, [data]):  # and again after reset(), which must make it new
        error = None
        deltas = []
        try:
            for chunk in pieces:
                deltas += parser.feed(chunk)
            deltas += parser.close()
        except ParseError as found:
            error = found
        value = json_oracle.NOTHING if parser.value is MISSING else parser.value
        note(f"{value=} {error=} {want=}")
        # repr tells 1 from True and -0.0 from 0.0, and shows the order of keys
        assert repr(value) == repr(want.value)
        assert (error and (type(error).__name__, error.offset, error.reason)) == want.error
        if want.error and want.error[0] == "InvalidJSON":
            assert (error.line, error.column) == (want.line, want.column)
        if pieces == [data]:  # else strings that were cut have spans too
            assert [(delta.path, delta.value) for delta in deltas if delta.op == "end"] == want.spans
        parser.reset()


@given(cut(strategies.json_texts()), json_options)
@example((b"[-Infinity]", [b"[-", b"Infinity]"]), {"allow_nan": True})
@example((b"1 2", [b"1", b" ", b"2"]), {"multiple": True})
@example((b'["\xf0\x9f\x98\x80"', [b'["\xf0', b"\x9f", b"\x98", b'\x80"']), {})
def test_json(stream, options):
    check_json(*stream, options)


@given(cut(st.binary(max_size=20)), json_options)
def test_json_any_bytes(stream, options):
    check_json(*stream, options)
