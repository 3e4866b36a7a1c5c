"""The splitter of one JSON array: elements, cuts, errors and limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.protocols._json_array import JSONArrayParser
from protocols.decoding import pieces
from strategies import chunkings

BOM = b"\xef\xbb\xbf"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text('a"\\[]{},: é😀', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"]}', max_size=3), inner, max_size=3),
    max_leaves=8,
)


def parse(*chunks: bytes, **options) -> tuple[list, ms.ParseError | None]:
    parser = JSONArrayParser(**options)
    out = []
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
        out += parser.close()
    except ms.ParseError:
        return out, parser.error
    return out, None


def facts(result: tuple[list, ms.ParseError | None]) -> tuple:
    out, error = result
    return out, error and (type(error), error.offset, error.reason, error.snippet, str(error))


@given(st.lists(VALUES, max_size=4), st.sampled_from([None, 1]), st.booleans(), st.sampled_from([b"", BOM]), st.data())
def test_any_array_under_any_cuts(values, indent, ascii_only, start, data) -> None:
    body = start + json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert parse(body) == (values, None)
    assert parse(*data.draw(chunkings(body))) == (values, None)


@given(st.lists(st.sampled_from(list(b'[]{},:"\\ 1ta\n\xef\xbb\xbf\xff')), max_size=14).map(bytes), st.data())
def test_any_bytes_mean_the_same_under_any_cuts(body, data) -> None:
    whole = facts(parse(body, max_event_bytes=6))
    assert facts(parse(*data.draw(chunkings(body)), max_event_bytes=6)) == whole
    assert facts(parse(*pieces(body, 1), max_event_bytes=6)) == whole


def test_an_element_is_given_as_soon_as_it_is_complete() -> None:
    parser = JSONArrayParser()
    assert parser.feed(b'[{"a": "]}"') == []
    assert parser.feed(b"}") == [{"a": "]}"}]
    assert parser.feed(b'\n,\r\n{"b": "\\') == []
    assert parser.feed(b'"') == []
    assert not parser.complete
    assert parser.feed(b'"}]') == [{"b": '"'}]
    assert parser.complete
    assert parser.offset == 28


def test_a_bare_object_is_an_array_of_one() -> None:
    assert parse(b'\r\n {"error": {}} \n') == ([{"error": {}}], None)


@pytest.mark.parametrize("body", [b"[]", b"[1]"])
def test_what_follows_the_end_is_not_read(body: bytes) -> None:
    assert parse(body + b" x ]") == parse(body, b"\n x ]") == parse(body)


@pytest.mark.parametrize(
    ("body", "offset"),
    [(b"<html>", 0), (b" 1", 1), (b"[,", 1), (b"[1 2", 3), (b"[1,]", 3), (b"[}", 1), (b"[1}]", 1), (b"[1] ", None),
     (b"[tru]", 1), (b'[1, {"a" 1}]', 4), (b"[1, [}]", 4), (b'["\xff"]', 1), (BOM + BOM + b"[]", 3), (b"\xefx", 0)],
)  # fmt: skip
def test_what_is_no_array(body: bytes, offset: int | None) -> None:
    _, error = parse(body)
    assert (error and error.offset) == offset
    if error is not None:
        assert isinstance(error, ms.errors.InvalidJSON)
        assert error.reason == "syntax"


def test_elements_before_an_error_come_first() -> None:
    parser = JSONArrayParser()
    assert parser.feed(b"[1, 2, x]") == [1, 2]
    error = parser.error
    with pytest.raises(ms.errors.InvalidJSON) as caught:
        parser.feed(b"3")
    assert caught.value is error
    with pytest.raises(ms.errors.ParserClosed):
        parser.feed(b"3")
    with pytest.raises(ms.errors.ParserClosed):
        parser.close()
    parser.reset()
    assert parser.feed(b"[4]") == [4]
    assert parser.close() == []
    assert parser.close() == []
    with pytest.raises(ms.errors.ParserClosed):
        parser.feed(b"")


@pytest.mark.parametrize("body", [b"[", b"[1", b"[1,", b'[{"a": "', b'{"a"', b'["\\'])
def test_a_body_that_was_cut_off(body: bytes) -> None:
    _, error = parse(body)
    assert isinstance(error, ms.errors.InvalidJSON)
    assert (error.reason, error.offset) == ("incomplete", len(body))


@pytest.mark.parametrize("body", [b"", b" \n", BOM, BOM[:2]])
def test_an_empty_body_is_no_error(body: bytes) -> None:
    assert parse(body) == ([], None)


def test_the_limit_is_for_one_element() -> None:
    assert parse(b"[" + b'"abc",' * 50 + b" " * 50 + b"1]", max_event_bytes=5)[1] is None
    for body in (b'[1, "abcd"]', b'[1, "abcdefgh', b"[1, [[[[[[["):
        for size in (1, 3, 100):
            out, error = parse(*pieces(body, size), max_event_bytes=5)
            assert out == [1]
            assert isinstance(error, ms.LimitExceeded)
            assert (error.option, error.limit, error.offset) == ("max_event_bytes", 5, 4)
    with pytest.raises(ValueError, match="max_event_bytes"):
        JSONArrayParser(max_event_bytes=0)
