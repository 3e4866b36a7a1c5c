"""`_document`: one document out of text, strict or found in prose; the cuts make no difference."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.objects._document import Document
from objects.replay import NOTHING, pieces, replay

LIMITS = ms.Limits()


def run(chunks: list[str], starts: str = "", cut: str = "") -> tuple[Any, ...]:
    """(value, raw, error class, its reason): the laws are checked on the way."""
    document = Document(LIMITS, starts)
    deltas: list[Any] = []
    for chunk in chunks:
        deltas += document.feed(chunk)
        seen = replay(deltas)
        assert seen == document.value or (seen is NOTHING and document.value is ms.core.MISSING)
    deltas += document.close(cut=cut)
    assert document.feed("x") == document.close() == []
    value = document.value
    assert replay(document.replay()) == replay(deltas)
    assert document.value == value
    error = document.error
    return value, bytes(document.raw), type(error), getattr(error, "reason", "")


def check(text: str, starts: str = "", cut: str = "") -> tuple[Any, ...]:
    """The same whole, character by character and at each two-way cut."""
    expected = run([text], starts, cut)
    for chunks in [pieces(text), *([text[:i], text[i:]] for i in range(len(text)))]:
        got = run(chunks, starts, cut)
        assert got[0] == expected[0]
        assert got[2:] == expected[2:]
        if expected[2] is type(None):
            assert got == expected
    return expected


def test_strict_is_the_text_itself() -> None:
    assert check(' {"a":[1,"é😀"]} ') == ({"a": [1, "é😀"]}, ' {"a":[1,"é😀"]} '.encode(), type(None), "")
    assert check('{"a":1} and more')[2:] == (ms.errors.InvalidJSON, "trailing")
    assert check('{"a":')[2:] == (ms.errors.IncompleteJSON, "incomplete")
    assert check("")[2:] == (ms.errors.IncompleteJSON, "empty")
    assert check('["\ud800"]')[2] is ms.errors.InvalidJSON


def test_a_number_at_the_root_may_be_cut_but_a_closed_object_may_not() -> None:
    assert check("12") == (12, b"12", type(None), "")
    assert check("12", cut="length")[2] is ms.errors.IncompleteJSON
    assert check("", cut="length")[2] is ms.errors.IncompleteJSON
    assert check("[12]", cut="length")[0] == [12]
    assert check('"ab"', cut="length")[0] == "ab"


@pytest.mark.parametrize(
    "text",
    [
        'Sure! Here it is:\n```json\n{"a": [1, {"b": "x"}]}\n```\nAnything else? {"c": 2}',
        '```\n{"a": [1, {"b": "x"}]}```',
        'In {braces}, {"half": <a>}, {"q" and {} and { } you see {"a": [1, {"b": "x"}]}}} ```',
        'A [list] of [1]: {"a": [1, {"b": "x"}]}',
        '{{"a": [1, {"b": "x"}]}',
        '{"{"{"a": [1, {"b": "x"}]}',
        '{\'a\': 1} is not JSON, {"a": [1, {"b": "x"}]} is',
        '{"a": [1, {"b": "x"}]}',
    ],
)
def test_an_object_is_found_in_prose_at_any_cut(text: str) -> None:
    assert check(text, "{") == ({"a": [1, {"b": "x"}]}, b'{"a": [1, {"b": "x"}]}', type(None), "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It is [see below] this:\n```json\n[1, [2]]\n```", [1, [2]]),
        ("[[1], 2] ]", [[1], 2]),
        ("{} [] [[]] [3]", [[]]),
        ("nothing at all: [] or {}", []),
    ],
)
def test_an_array_is_found_in_prose(text: str, value: Any) -> None:
    assert check(text, "[")[0] == value


def test_either_kind_is_found_where_either_is_meant() -> None:
    assert check("so: [1] {", "{[")[0] == [1]
    assert check('so: {"a":1} [', "{[")[0] == {"a": 1}


def test_an_empty_object_is_taken_only_at_the_end() -> None:
    assert check("Use {} or { }", "{") == ({}, b"{}", type(None), "")
    assert check('Use {} or {"a": 1}', "{")[0] == {"a": 1}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("no object here", (ms.errors.IncompleteJSON, "empty")),
        ("", (ms.errors.IncompleteJSON, "empty")),
        ('see {"a": "x', (ms.errors.IncompleteJSON, "incomplete")),
        ('see {"a', (ms.errors.IncompleteJSON, "incomplete")),
        ('see {"a": 1, oops}', (ms.errors.InvalidJSON, "key")),
    ],
)
def test_what_is_missing_or_broken_in_prose_is_an_error(text: str, error: Any) -> None:
    assert check(text, "{")[2:] == error


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab{}[]"\\`é😀\n', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a{"b', max_size=3), inner, max_size=3),
    max_leaves=8,
)
prose = st.text('ab {}[]"`:,\n1é', max_size=12)


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


@given(st.dictionaries(st.text('a{"b', max_size=3), values, min_size=1, max_size=3), prose, st.data())
def test_any_object_any_cuts(value: Any, around: str, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert run(data.draw(cuts(text)))[0] == value
    fenced = f"Well:\n```json\n{text}\n```\n{around}"
    assert run(data.draw(cuts(fenced)), "{")[0] == value


@given(prose, st.dictionaries(st.text("ab", max_size=3), values, max_size=3), prose, st.data())
def test_any_prose_any_cuts(before: str, value: Any, after: str, data: st.DataObject) -> None:
    text = before + json.dumps(value, ensure_ascii=False) + after
    for starts in ("{", "[", "{["):
        got, expected = run(data.draw(cuts(text)), starts), run([text], starts)
        assert (got[0], got[2:]) == (expected[0], expected[2:])


def test_the_length_is_limited() -> None:
    document = Document(ms.Limits(max_object_bytes=10), "{")
    document.feed("x" * 100)  # prose is not kept
    document.feed('{"a":')
    assert document.error is None
    document.feed('"123456"')
    assert document.feed("}") == []
    assert isinstance(document.error, ms.LimitExceeded)
    assert document.error.option == "max_object_bytes"


@pytest.mark.parametrize("unit", ["{", '{"', '{"a', '{"a":', "{ ", '{"a\\"', "{}", "[[", '{"a":[', "{x"])
def test_hostile_prose_costs_linear_time(unit: str) -> None:
    def seconds(n: int) -> float:
        best = 9.0
        for _ in range(3):
            document = Document(LIMITS, "{[")
            text = unit * (n // len(unit))
            began = time.process_time()
            for i in range(0, len(text), 1000):
                document.feed(text[i : i + 1000])
            best = min(best, time.process_time() - began)
        return best

    assert seconds(80_000) < 12 * seconds(20_000) + 0.01
