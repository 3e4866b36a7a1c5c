"""`TextAccumulator`: the text comes out whole, whatever the pieces, and the buffer grows only beyond its capacity."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.streams import TextAccumulator

CHARS = st.text(st.characters(exclude_categories=[]) | st.sampled_from("aé😀\ud83d"), max_size=9)


@given(st.lists(CHARS), st.integers(1, 40))
def test_what_was_appended_comes_out(pieces: list[str], capacity: int) -> None:
    accumulator = TextAccumulator(capacity)
    for text in pieces:
        accumulator.append(text)
    whole = "".join(pieces)
    assert accumulator.text == whole
    assert len(accumulator) == len(whole)
    assert accumulator.n_bytes == len(whole.encode("utf-8", "surrogatepass")) <= accumulator.capacity
    assert accumulator.take() == whole
    assert (accumulator.text, len(accumulator), accumulator.n_bytes) == ("", 0, 0)


def test_r0153_nothing_is_allocated_below_the_capacity_and_it_is_used_again() -> None:
    """Pre-allocated, 10 000 bytes: counted by the buffer, and seen by the allocator."""
    accumulator = TextAccumulator()
    buffer = accumulator._buffer
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(20):
            for _ in range(100):
                accumulator.append("x" * 100)
            assert (len(accumulator), accumulator.growths, accumulator.capacity) == (10_000, 0, 10_000)
            accumulator.clear()
        assert tracemalloc.get_traced_memory()[1] - before < 1000  # a piece and its bytes
    finally:
        tracemalloc.stop()
    assert accumulator._buffer is buffer
    accumulator.append("x" * 10_001)
    assert accumulator.growths == 1
    assert accumulator.capacity >= 10_001


def test_growth_is_amortised() -> None:
    accumulator = TextAccumulator(16)
    for _ in range(100_000):
        accumulator.append("ab")
    assert accumulator.growths <= 14
    assert accumulator.text == "ab" * 100_000


def test_r0153_only_text_deltas_are_collected() -> None:
    accumulator = TextAccumulator()
    for event in (ms.Start(), ms.TextDelta("é"), ms.ReasoningDelta("hm"), ms.TextDelta("b")):
        accumulator.add(event)
    assert (accumulator.text, len(accumulator), accumulator.n_bytes) == ("éb", 2, 3)


def test_it_is_bounded() -> None:
    accumulator = TextAccumulator(4, max_bytes=6)
    accumulator.append("abcde")
    with pytest.raises(ms.LimitExceeded, match="7 bytes") as caught:
        accumulator.append("fg")
    assert (caught.value.option, caught.value.limit) == ("max_bytes", 6)
    assert accumulator.text == "abcde"
    for capacity, most in ((0, 6), (7, 6)):
        with pytest.raises(ValueError, match="capacity"):
            TextAccumulator(capacity, max_bytes=most)
