"""SSE framing: one message in, exactly that message out, whatever is in it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.errors import EncodeError, UsageError
from millstream.protocols.encoders._sse import json_data, json_text, sse_comment, sse_message

whole_text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\0\u2028\x85\ufeff: "))
name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))


def parse(body: bytes) -> list[ms.SSEMessage]:
    parser = ms.SSEParser()
    return parser.feed(body) + parser.close()


def lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(whole_text, st.none() | name.filter(bool), st.none() | name, st.none() | st.integers(0, 2**31 - 1))
def test_what_is_written_is_read_back_as_one_message(data, event, id, retry) -> None:
    (message,) = parse(sse_message(data, event, id, retry))
    assert (message.data, message.event, message.retry) == (lf(data), event or "message", retry)
    assert message.id == (id or "")


@given(whole_text)
def test_a_comment_is_no_message(text) -> None:
    assert parse(sse_comment(text)) == []
    assert [message.data for message in parse(sse_comment(text) + sse_message("x"))] == ["x"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_data_is_split_at_each_kind_of_line_end(end) -> None:
    assert sse_message(f"a{end}{end}b") == b"data: a\ndata: \ndata: b\n\n"
    assert sse_comment(f"a{end}data: b") == b": a\n: data: b\n\n"


def test_fields_that_are_not_given_are_not_written() -> None:
    assert sse_message("") == b"data: \n\n"
    assert sse_message(None, id="7", retry=0) == b"id: 7\nretry: 0\n\n"
    assert sse_comment() == b": \n\n"


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\nb", "a\r\ndata: injected", "7\0"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_no_field_can_be_injected(field, bad) -> None:
    with pytest.raises(EncodeError, match=field) as caught:
        sse_message("x", **{field: bad})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UsageError)
    with pytest.raises(EncodeError):
        json_data({}, event=bad)


@pytest.mark.parametrize("retry", [-1, 2**31, 1.5, "1", True, "1\ndata: x"])
def test_retry_is_whole_milliseconds_in_range(retry) -> None:
    with pytest.raises(EncodeError, match="retry"):
        sse_message("x", retry=retry)


@pytest.mark.parametrize("write", [sse_message, sse_comment, json_data, lambda text: sse_message("", id=text)])
def test_a_lone_surrogate_is_refused(write) -> None:
    with pytest.raises(EncodeError):
        write("a\ud800")


@given(
    st.recursive(
        st.none() | st.booleans() | whole_text, lambda it: st.dictionaries(whole_text, it, max_size=3), max_leaves=8
    )
)
def test_json_is_one_line_that_comes_back(value) -> None:
    (message,) = parse(json_data(value))
    assert message.json() == value
    (message,) = parse(json_data(value, "named"))
    assert (message.event, message.json()) == ("named", value)


def test_payloads_of_an_application_are_json() -> None:
    @dataclass
    class Point:
        x: int

    class Line(msgspec.Struct):
        a: Point
        name: bytes

    assert json_text({"line": Line(Point(1), b"ab")}) == b'{"line":{"a":{"x":1},"name":"YWI="}}'
    assert json_text(uuid.UUID(int=1)) == b'"00000000-0000-0000-0000-000000000001"'
    assert json_text({1}) == b"[1]"


@pytest.mark.parametrize("value", [object(), 2**70, {1: 2}, [lambda: 0]])
def test_what_is_no_json_is_refused(value) -> None:
    with pytest.raises(EncodeError, match="JSON"):
        json_text(value)
