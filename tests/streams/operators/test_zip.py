"""`zip`: tuples of items that belong together. What all operators keep is in `test_contract.py`."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def lists(*batches: list[Any]) -> Any:
    for batch in batches:
        yield batch


async def test_tuples_do_not_depend_on_how_items_arrive() -> None:
    one, other = Stream.from_batches(lists([1, 2, 3], [4])), Stream.from_batches(lists(["a"], ["b", "c", "d"]))
    third = Probe(count())
    assert await one.zip(other, third).collect() == [(1, "a", 0), (2, "b", 1), (3, "c", 2), (4, "d", 3)]
    assert (third.pulls, third.closes) == (4, 1), "it was not asked for more than was given"


@pytest.mark.parametrize("n", [0, 2, 3])
async def test_it_ends_with_the_shortest_and_closes_all(n: int) -> None:
    sources = [Probe(range(3)), Probe(range(n)), Probe(count())]
    assert await Stream(sources[0]).zip(*sources[1:]).collect() == [(i, i, i) for i in range(n)]
    assert [source.closes for source in sources] == [1, 1, 1]


@pytest.mark.parametrize(
    ("lengths", "said"), [((2, 3), "0 ended before stream 1"), ((3, 2), "1 ended before stream 0")]
)
async def test_strict_says_which_one_was_short(lengths: tuple[int, int], said: str) -> None:
    one, other = map(Probe, map(range, lengths))
    got: list[Any] = []
    with pytest.raises(ms.StreamError, match=said):
        await drain(Stream(one).zip(other, strict=True), got)
    assert got == [(0, 0), (1, 1)]
    assert (one.closes, other.closes) == (1, 1)
    assert await Stream(Probe(range(3))).zip(Probe(range(3)), strict=True).collect() == [(i, i) for i in range(3)]


async def test_an_error_of_either_ends_both() -> None:
    error = ValueError("other")
    one, other = Probe(count()), Probe(range(2), error=error)
    got: list[Any] = []
    with pytest.raises(ValueError, match="other") as caught:
        await drain(Stream(one).zip(other), got)
    assert caught.value is error
    assert got == [(0, 0), (1, 1)]
    assert (one.closes, other.closes) == (1, 1)
