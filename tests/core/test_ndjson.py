"""NDJSONParser: line ends, bad lines under each policy, limits, input types and misuse."""

from __future__ import annotations

import gc
import pickle
import sys

import pytest

from millstream.core import NDJSONParser
from millstream.errors import ConcurrentUseError, InvalidJSON, LimitExceeded, ParserClosed
from millstream.limits import DEFAULT_LIMITS
from reference import ndjson as oracle

BOM = b"\xef\xbb\xbf"


def pieces(data):
    return [data[i : i + 1] for i in range(len(data))]


def run(parser, chunks):
    return [value for chunk in chunks for value in parser.feed(chunk)] + parser.close()


def parse(data, **options):
    """The values, the same whether whole, byte by byte, or at any two-way split; and the parser."""
    expected = None
    for chunks in ([data], pieces(data), *([data[:i], data[i:]] for i in range(1, len(data)))):
        parser = NDJSONParser(**options)
        values = run(parser, chunks)
        assert expected is None or list(map(repr, values)) == list(map(repr, expected))
        expected = values
    return values, parser


EDGES = {
    "lf": (b"1\n2\n", [1, 2]),
    "crlf": (b"1\r\n2\r\n", [1, 2]),
    "lone-cr-is-white-space": (b"[1,\r2]\n\r3\r\r\n", [[1, 2], 3]),
    "no-last-newline": (b"1\n2", [1, 2]),
    "last-cr": (b"1\n2\r", [1, 2]),
    "blank-lines": (b"\n\r\n \t\n1\n\n\r\r\n2\n \n ", [1, 2]),
    "bom": (BOM + b"1\n", [1]),
    "bom-alone": (BOM, []),
    "bom-and-blank": (BOM + b"\n1", [1]),
    "nothing": (b"", []),
    "null-is-a-value": (b"null\n", [None]),
    "not-a-line-end": ('"\u2028\u2029\u0085"\n'.encode(), ["\u2028\u2029\u0085"]),
    "multibyte": ('{"é": "😀"}\n'.encode(), [{"é": "😀"}]),
    "spaces-around": (b"  {} \t\n", [{}]),
}


@pytest.mark.parametrize(("data", "expected"), EDGES.values(), ids=EDGES)
def test_edge(data, expected):
    assert parse(data)[0] == expected
    assert oracle.parse(data).values == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"1\nno json\r\n", [b"1", b"no json"], id="not-checked"),
        pytest.param(b" 1 \r\r\n\xff", [b" 1 \r", b"\xff"], id="exact-bytes"),
        pytest.param(b"1\r", [b"1\r"], id="a-cr-without-lf-belongs-to-the-line"),
        pytest.param(BOM + b"\n \r\n1\n", [b"1"], id="blank-and-bom"),
        pytest.param(b"\xef\xbb1\n", [b"\xef\xbb1"], id="partial-bom"),
        pytest.param(b"\xef", [b"\xef"], id="partial-bom-alone"),
    ],
)
def test_raw_lines(data, expected):
    assert parse(data, decode=False)[0] == expected
    assert oracle.parse(data, decode=False).values == expected


def test_a_line_is_given_as_soon_as_its_lf_is_there():
    parser = NDJSONParser()
    assert parser.feed(b"1\r") == []
    assert parser.feed(b"\n") == [1]


def test_counters():
    parser = NDJSONParser()
    parser.feed(b"1\n\n2\n3")
    assert (parser.line, parser.offset, parser.skipped) == (3, 6, 0)
    assert parser.close() == [3]
    assert parser.line == 4


# --- bad lines ---------------------------------------------------------------------------------------------------

BAD = {
    "not-json": (b'{"a":1}\n\r\nno json\n2\n', 3, 10, "json"),
    "first-line": (BOM + b"'x'\n2\n", 1, 3, "json"),
    "bad-utf8": (b'1\n"\xff"\r\n2\n', 2, 2, "json"),
    "two-values": (b"1 2\n2\n", 1, 0, "json"),
    "nan": (b"NaN\n2\n", 1, 0, "json"),
    "second-bom": (BOM + BOM + b"1\n2\n", 1, 3, "json"),
    "partial-bom": (b"\xef\xbb1\n2\n", 1, 0, "json"),
    "cut-off": (b'1\n2\n{"a": [1, 2', 3, 4, "incomplete"),
}


@pytest.mark.parametrize(("data", "line", "offset", "reason"), BAD.values(), ids=BAD)
def test_bad_line_raises(data, line, offset, reason):
    for chunks in ([data], pieces(data)):
        parser = NDJSONParser()
        with pytest.raises(InvalidJSON) as caught:
            run(parser, chunks)
        error = caught.value
        assert (error.line, error.offset, error.reason) == (line, offset, reason)
        assert data[offset:].startswith(error.snippet)
        assert f"line {line}" in str(error)
        assert f"byte {offset}" in str(error)


@pytest.mark.parametrize(("data", "line", "offset", "reason"), BAD.values(), ids=BAD)
def test_bad_line_yields(data, line, offset, reason):
    values, parser = parse(data, on_error="yield")
    (error,) = [value for value in values if isinstance(value, InvalidJSON)]
    assert (error.line, error.offset, error.reason) == (line, offset, reason)
    assert 2 in values
    assert (parser.error, parser.skipped) == (None, 0)


@pytest.mark.parametrize(("data", "line", "offset", "reason"), BAD.values(), ids=BAD)
def test_bad_line_is_skipped(data, line, offset, reason):
    values, parser = parse(data, on_error="skip")
    assert values[-1] == 2
    assert (parser.error, parser.skipped) == (None, 1)


def test_yield_keeps_the_order():
    values, _ = parse(b"1\nx\n2\ny\n", on_error="yield")
    assert [getattr(value, "line", value) for value in values] == [1, 2, 2, 4]


def test_message_has_orjsons_words_and_no_payload():
    with pytest.raises(InvalidJSON, match="unexpected end of data") as caught:
        NDJSONParser().feed(b'{"key": "' + b"s" * 100 + b"\n")
    assert "sss" not in str(caught.value)
    assert len(caught.value.snippet) == 40
    # The decoder's exception holds the whole document: it must not hang on ours.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_error_comes_after_the_values_before_it():
    parser = NDJSONParser()
    assert parser.feed(b"1\nx\n2\n") == [1]
    error = parser.error
    assert isinstance(error, InvalidJSON)
    with pytest.raises(InvalidJSON) as caught:
        parser.feed(b"3\n")
    assert caught.value is error
    with pytest.raises(ParserClosed) as closed:
        parser.feed(b"3\n")
    assert closed.value.__cause__ is error
    with pytest.raises(ParserClosed):
        parser.close()
    parser.reset()
    assert (parser.error, parser.line, parser.offset) == (None, 0, 0)
    assert parser.feed(BOM + b"4\n") == [4]


def test_pending_error_is_raised_by_close():
    parser = NDJSONParser()
    parser.feed(b"1\nx\n")
    with pytest.raises(InvalidJSON):
        parser.close()
    with pytest.raises(ParserClosed):
        parser.close()


def test_after_close():
    parser = NDJSONParser(on_error="skip")
    parser.feed(b"x\n1")
    assert parser.close() == [1]
    assert parser.close() == []
    with pytest.raises(ParserClosed, match="reset"):
        parser.feed(b"")
    parser.reset()
    assert parser.skipped == 0
    assert parser.feed(b"2\n") == [2]


# --- limits ------------------------------------------------------------------------------------------------------

LONG = {
    "line": (b"1\n123456\n2\n", 2 + 5),
    "unfinished": (b"1\n123456", 2 + 5),
    "blank": (b"      \n2\n", 5),
    "after-bom": (BOM + b"123456\n2\n", 3 + 5),
    "cr-counts": (b"12345\r\n2\n", 5),
}


@pytest.mark.parametrize(("data", "offset"), LONG.values(), ids=LONG)
@pytest.mark.parametrize("decode", [True, False])
def test_limit_raises(data, offset, decode):
    for chunks in ([data], pieces(data)):
        parser = NDJSONParser(max_line_bytes=5, decode=decode)
        with pytest.raises(LimitExceeded) as caught:
            run(parser, chunks)
        error = caught.value
        assert (error.offset, error.option, error.limit) == (offset, "max_line_bytes", 5)
        assert error.reason == "line_too_long"


@pytest.mark.parametrize(("data", "offset"), LONG.values(), ids=LONG)
def test_limit_yields_and_following_lines_are_read(data, offset):
    values, parser = parse(data, max_line_bytes=5, on_error="yield")
    (error,) = [value for value in values if isinstance(value, LimitExceeded)]
    assert error.offset == offset
    assert (2 in values) == data.endswith(b"2\n")
    assert parser.line == data.count(b"\n") + (not data.endswith(b"\n"))


@pytest.mark.parametrize(("data", "offset"), LONG.values(), ids=LONG)
def test_limit_skips(data, offset):
    _, parser = parse(data, max_line_bytes=5, on_error="skip")
    assert parser.skipped == 1


def test_limit_is_inclusive():
    assert parse(b"12345\n12345", max_line_bytes=5)[0] == [12345, 12345]


def test_default_limit():
    n = DEFAULT_LIMITS.max_line_bytes
    assert len(NDJSONParser(decode=False).feed(b"x" * n + b"\n")[0]) == n
    with pytest.raises(LimitExceeded):
        NDJSONParser(decode=False).feed(b"x" * (n + 1))


def test_the_rest_of_a_long_line_is_dropped_unread():
    parser = NDJSONParser(max_line_bytes=100, on_error="skip")
    for _ in range(10 * 1024):
        assert parser.feed(b"x" * 1024) == []
    assert parser.feed(b"\n1\n") == [1]
    assert (parser.skipped, parser.line) == (1, 2)


# --- input types and misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"on_error": "ignore"}, {"max_line_bytes": 0}, {"max_line_bytes": 2**40 + 1}], ids=str
)
def test_bad_option(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        NDJSONParser(**options)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(b"-" + data)[1:]])
def test_input_type(kind):
    assert NDJSONParser().feed(kind(b'{"a": "x"}\n')) == [{"a": "x"}]


def test_input_is_not_kept():
    data = bytearray(b'"a"\n"b')
    parser = NDJSONParser()
    assert parser.feed(data) == ["a"]
    data[:] = b"-" * 100  # a BufferError here would mean that a view is still held
    assert parser.feed(b'"\n') == ["b"]


@pytest.mark.parametrize(
    ("data", "error"),
    [("1", TypeError), (None, TypeError), ([1], TypeError), (memoryview(b"abcdef")[::2], BufferError)],
    ids=["str", "None", "list", "strided"],
)
def test_bad_input_does_not_harm_the_parser(data, error):
    parser = NDJSONParser()
    parser.feed(b"1")
    with pytest.raises(error):
        parser.feed(data)
    assert parser.feed(b"2\n") == [12]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ in Python is new in 3.12")
def test_an_exporter_may_use_the_parser():
    parser = NDJSONParser()
    inner = []

    class Exporter:
        def __buffer__(self, flags):
            inner.extend(parser.feed(b"1\n"))
            return memoryview(b"2\n")

    assert parser.feed(Exporter()) == [2]
    assert inner == [1]


def test_pickling_is_refused():
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(NDJSONParser())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 the collector does not run inside a C call")
def test_use_while_a_call_is_running():
    """The one way in without threads: decoding makes containers, the collector runs, and a finalizer calls us."""
    parser = NDJSONParser()
    seen = []

    class Finalized:
        def __del__(self):
            for call in (lambda: parser.feed(b"2\n"), parser.close, parser.reset):
                try:
                    seen.append(call())
                except ConcurrentUseError as error:
                    seen.append(type(error))

    garbage = Finalized()
    garbage.itself = garbage
    del garbage
    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        values = parser.feed(b'{"a": [1]}\n' * 1000)
    finally:
        gc.set_threshold(*threshold)
    assert len(values) == 1000
    assert seen == [ConcurrentUseError] * 3
