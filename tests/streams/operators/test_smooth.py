"""`smooth`: the same text in other pieces, at a pace; everything else untouched and in its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.streams import Stream
from millstream.streams.operators.smooth import MAX_HELD_CHARS, Smooth
from millstream.streams.overflow import join_text
from millstream.testing import FakeClock
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

CALL = ms.ToolCall(id="1", name="f", input=b"{}")


async def pieces(*texts: str, by: Any = "word") -> list[str]:
    events = [ms.TextDelta(text) for text in texts]
    return [event.text for event in await Stream(Probe(events)).smooth(by, 0).collect()]


@pytest.mark.parametrize(
    ("by", "texts", "wanted"),
    [
        ("word", ["hel", "lo wor", "ld  and\n", " more"], ["hello ", "world  ", "and\n", " more"]),
        ("word", ["a b c "], ["a ", "b ", "c "]),
        ("word", [" ", "  ", "x"], ["   x"]),
        ("word", ["你好 world ", "안녕"], ["你", "好", " world ", "안", "녕"]),
        ("word", ["abc日本"], ["abc", "日", "本"]),
        ("word", ["e\u0301a ", "\U0001f600 "], ["e\u0301a ", "\U0001f600 "]),
        ("line", ["one\ntw", "o\n\nthree"], ["one\n", "two\n\n", "three"]),
        (re.compile(r"[.!?]"), ["Yes. No", "! Per", "haps"], ["Yes.", " No!", " Perhaps"]),
        (lambda text: min(2, len(text)), ["abcde"], ["ab", "cd", "e"]),
        (re.compile(r"x*"), ["abc"], ["abc"]),
    ],
    ids=str,
)
async def test_pieces(by: Any, texts: list[str], wanted: list[str]) -> None:
    assert await pieces(*texts, by=by) == wanted


async def test_the_pace() -> None:
    clock = FakeClock()
    got = []
    source = Probe([ms.TextDelta("a b c "), CALL, ms.TextDelta("d e")])
    async with clock.autojump(), Stream(source).smooth("word", 0.5, clock=clock) as stream:
        async for event in stream:
            got.append((clock.now(), getattr(event, "text", event)))
    assert got == [(0, "a "), (0.5, "b "), (1.0, "c "), (1.0, CALL), (1.5, "d "), (2.0, "e")]


async def test_another_kind_block_choice_or_stream_flushes() -> None:
    marked = ms.TextDelta("own words")
    marked.meta["logprobs"] = [1]
    events = [
        ms.TextDelta("a"),
        CALL,
        ms.TextDelta("b"),
        ms.TextDelta("c", index=1),
        ms.TextDelta("d", index=1, choice=1),
        ms.TextDelta("e", index=1, choice=1, stream_id="s"),
        ms.ReasoningDelta("f g"),
        ms.ReasoningDelta(signature="s"),
        ms.TextDelta("h"),
        marked,
        ms.TextDelta("i"),
    ]
    got = await Stream(Probe(events)).smooth("word", 0).collect()
    expected = [*events[:6], ms.ReasoningDelta("f "), ms.ReasoningDelta("g"), *events[7:]]
    assert got == expected
    assert got[-2] is marked


async def test_what_is_held_comes_before_an_error() -> None:
    got: list[Any] = []
    with pytest.raises(ValueError, match="behind"):
        await drain(Stream(Probe([ms.TextDelta("a b")], error=ValueError("behind"))).smooth(delay=0), got)
    assert [event.text for event in got] == ["a ", "b"]


async def test_a_function_that_lies_ends_the_stream() -> None:
    with pytest.raises(ValueError, match="cannot have 9"):
        await pieces("abc", by=lambda text: 9)


async def test_text_without_a_place_to_cut_is_not_held_for_ever_nor_searched_again_and_again() -> None:
    got = await pieces(*["x" * 64] * 1000)
    assert "".join(got) == "x" * 64_000
    assert max(map(len, got)) <= MAX_HELD_CHARS + 64


deltas = st.lists(st.builds(ms.TextDelta, st.text("ab \n日", min_size=1, max_size=6), index=st.integers(0, 1)))


@given(deltas, st.sampled_from(["word", "line"]))
def test_the_text_is_the_same(events: list[ms.TextDelta], by: str) -> None:
    smooth = Smooth(Stream(Probe())._puller, by, 0)
    for event in events:
        smooth._add(event)
    smooth._flush()
    assert told(list(smooth._ready)) == told(events)


def told(events: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for event in events:
        both = join_text(joined[-1], event) if joined else None
        joined = [*joined[:-1], both] if both is not None else [*joined, event]
    return joined


@pytest.mark.parametrize("bad", ["words", ""])
def test_arguments_are_checked(bad: str) -> None:
    with pytest.raises(ValueError, match="smooth cuts"):
        Stream(Probe()).smooth(bad)
    with pytest.raises(ValueError, match="delay"):
        Stream(Probe()).smooth(delay=-1)
