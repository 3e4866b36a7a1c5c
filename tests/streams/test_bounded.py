"""A bounded buffer by bytes: its own, and those of all buffers together. By items: `test_overflow.py`."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.errors import BufferOverflow, LimitExceeded
from millstream.streams._bounded import Bounded
from millstream.streams._weight import BufferBudget, weight
from millstream.streams.overflow import CallerRuns, Conflate, DropAfter, Losses

LOSSY = ["drop_oldest", "drop_newest", "drop_all"]
ALL = ["wait", "conflate", "drop_after", "error", *LOSSY, CallerRuns(print)]


def sized(n_bytes: int, name: str = "x") -> ms.TextDelta:
    """Text of exactly so many bytes, as a buffer weighs it."""
    text = ms.TextDelta(name * (n_bytes - weight(ms.TextDelta(name)) + 1))
    assert weight(text) == n_bytes
    return text


def call(n_bytes: int) -> ms.ToolCall:
    """A tool call of exactly so many bytes."""
    return ms.ToolCall(id="1", name="f", input=b"x" * (n_bytes - weight(ms.ToolCall(id="1", name="f"))))


def bounded(max_bytes: int, overflow: Any = "wait", n: int = 100, **options: Any) -> tuple[Bounded[Any], list[Any]]:
    lost: list[Any] = []
    options.setdefault("budget", BufferBudget())
    return Bounded(n, overflow, max_bytes=max_bytes, losses=Losses("test", lost.append), **options), lost


A, B, C, D = (sized(1000, name) for name in "abcd")


@pytest.mark.parametrize(
    ("overflow", "inside", "lost", "accepted"),
    [
        ("wait", [A, B, C], [], 3),
        ("conflate", [A, B, C], [], 3),
        ("drop_after", [A, B, C], [], 3),
        (CallerRuns(print), [A, B, C], [], 3),
        ("drop_oldest", [B, C, D], [A], 4),
        ("drop_newest", [A, B, C], [D], 4),
        ("drop_all", [D], [A, B, C], 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("cuts", [[4], [1, 1, 1, 1], [2, 2]], ids=str)
def test_what_a_buffer_full_of_bytes_does(
    overflow: Any, inside: list[Any], lost: list[Any], accepted: int, cuts: list[int]
) -> None:
    box, dropped = bounded(3000, overflow)
    items, done = [A, B, C, D], 0
    for n in cuts:
        batch = items[done : done + n]
        done += box.offer(batch)
    assert done == accepted
    assert (list(box.items), dropped) == (inside, lost)
    assert box.n_bytes == 1000 * len(inside)


def test_the_last_byte_counts() -> None:
    box, _ = bounded(3000)
    assert box.offer([A, B, sized(1001)]) == 2
    assert box.offer([sized(1000)]) == 1


def test_error_keeps_what_had_room_and_counts_the_others() -> None:
    box, lost = bounded(2500, "error")
    with pytest.raises(BufferOverflow, match="2500 bytes") as caught:
        box.offer([A, B, C, D])
    assert (list(box.items), lost, caught.value.dropped) == ([A, B], [C, D], 2)


def test_so_many_go_as_it_takes_and_no_more() -> None:
    box, lost = bounded(3000, "drop_oldest")
    assert box.offer([A, B, C, sized(1500)]) == 4
    assert lost == [A, B]
    assert box.n_bytes == 2500


def test_nothing_goes_where_all_that_may_go_would_not_be_enough() -> None:
    """A newcomer that nothing can make room for goes itself; one that may not be lost waits."""
    box, lost = bounded(3000, "drop_oldest")
    kept = call(2000)
    assert box.offer([kept, A, sized(1500)]) == 3
    assert (list(box.items), lost) == ([kept, A], [sized(1500)])
    assert box.offer([call(1500)]) == 0
    assert list(box.items) == [kept, A]


@pytest.mark.parametrize("overflow", LOSSY)
def test_what_may_not_be_lost_takes_the_room_of_what_may(overflow: str) -> None:
    box, lost = bounded(3000, overflow)
    big = call(2500)
    assert box.offer([A, B, C, big]) == 4
    assert list(box.items) == [big]
    assert sorted(lost, key=str) == [A, B, C]


def test_text_is_joined_as_far_as_it_fits() -> None:
    box, lost = bounded(3000, "conflate", n=3)
    assert box.offer([A, B, sized(300, "c")]) == 3
    assert box.offer([sized(300, "d")]) == 1  # no room for an item: it is joined to the last
    assert box.items[-1].text.startswith("c")
    assert box.items[-1].text.endswith("d")
    assert box.offer([sized(1000, "e")]) == 0, "all joined, they would be more than 3000 bytes"
    assert lost == []
    assert box.n_bytes == sum(map(weight, box.items)) <= 3000


# --- an item that is larger than the buffer --------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", ["wait", "conflate", "error", Conflate(lambda older, newer: None)], ids=str)
def test_an_item_larger_than_the_buffer_is_an_error_after_what_came_before(overflow: Any) -> None:
    box, lost = bounded(2000, overflow)
    with pytest.raises(LimitExceeded, match=r"TextDelta takes some 2001 bytes.* larger max_bytes") as caught:
        box.offer([A, sized(2001), B])
    assert (caught.value.option, caught.value.limit, caught.value.retryable) == ("max_bytes", 2000, False)
    assert list(box.items) == [A]
    assert lost == [sized(2001), B], "not one goes uncounted"


@pytest.mark.parametrize("overflow", [*LOSSY, "drop_after", DropAfter(3.0)], ids=str)
def test_a_policy_that_loses_loses_it_and_nothing_else(overflow: Any) -> None:
    box, lost = bounded(2000, overflow)
    assert box.offer([A, sized(2001), B]) == 3
    assert (list(box.items), lost) == ([A, B], [sized(2001)])


@pytest.mark.parametrize("overflow", [*LOSSY, "drop_after"])
def test_it_is_an_error_if_it_may_not_be_lost(overflow: str) -> None:
    box, lost = bounded(2000, overflow)
    with pytest.raises(LimitExceeded, match="ToolCall"):
        box.offer([A, call(2001)])
    assert lost == [call(2001)]


def test_caller_runs_gets_it() -> None:
    box, lost = bounded(2000, CallerRuns(print))
    assert box.offer([A, sized(2001), B]) == 1
    assert box.offer([A, sized(2001), B], 2) == 3
    assert lost == []


# --- what is lent ----------------------------------------------------------------------------------------------------


def test_what_is_being_consumed_counts_until_the_next_is_asked_for() -> None:
    box, _ = bounded(3000)
    box.offer([A, B, C])
    assert box.take() == [A, B, C]
    assert box.n_bytes == 3000
    assert box.offer([D]) == 0
    assert box.take() == []
    assert box.n_bytes == 0
    assert box.offer([D]) == 1


def test_clear_lets_go_of_all() -> None:
    budget = BufferBudget()
    box, _ = bounded(9000, n=2, budget=budget)
    box.offer([A, B])
    box.take()
    box.offer([C])
    box.clear()
    assert (box.n_bytes, budget.held_bytes, list(box.items)) == (0, 0, [])


# --- all buffers together --------------------------------------------------------------------------------------------


def test_all_together_have_a_bound_and_each_still_takes_one_item_while_it_is_empty() -> None:
    budget = BufferBudget(3500)
    one, _ = bounded(9000, budget=budget)
    other, _ = bounded(9000, budget=budget)
    assert one.offer([A, B, C, D]) == 3
    assert other.offer([A, B]) == 1
    assert budget.held_bytes == 4000
    assert one.take() == [A, B, C]
    assert one.take() == []
    assert other.offer([A, B], 1) == 2, "there is room again"
    assert budget.held_bytes == 2000


@pytest.mark.parametrize("overflow", LOSSY)
def test_a_policy_that_loses_makes_room_of_its_own_items_only(overflow: str) -> None:
    budget = BufferBudget(3000)
    hog, _ = bounded(9000, budget=budget)
    assert hog.offer([A, B]) == 2
    box, lost = bounded(9000, overflow, budget=budget)
    assert box.offer([A, B]) == 2
    assert list(box.items) == {"drop_oldest": [B], "drop_newest": [A], "drop_all": [B]}[overflow]
    assert len(lost) == 1
    assert list(hog.items) == [A, B]
    assert budget.held_bytes == 3000


def test_one_that_is_dropped_unclosed_gives_back_what_it_had() -> None:
    budget = BufferBudget(3000)
    box, _ = bounded(9000, budget=budget)
    box.offer([A, B, C])
    del box
    gc.collect()
    assert budget.held_bytes == 0


def test_only_positive_bounds() -> None:
    with pytest.raises(ValueError, match="max_bytes of a buffer must be at least 1, got 0"):
        bounded(0)


# --- any items, any policy -------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(300, 1400), max_size=12),
    kept=st.sets(st.integers(0, 11), max_size=3),
    cut=st.integers(1, 3),
    reads=st.lists(st.booleans(), min_size=12, max_size=12),
    overflow=st.sampled_from(["wait", "drop_oldest", "drop_newest", "drop_all", "conflate", "drop_after"]),
    others=st.sampled_from([0, 1500, 9000]),
)
def test_it_never_holds_more_than_its_bounds_and_every_item_comes_out_or_is_counted(
    sizes: list[int], kept: set[int], cut: int, reads: list[bool], overflow: str, others: int
) -> None:
    budget = BufferBudget(3000)
    budget.take(others, always=True)
    box, lost = bounded(2500, overflow, n=4, budget=budget)
    items: list[Any] = [call(size) if i in kept else sized(size, chr(97 + i)) for i, size in enumerate(sizes)]
    out: list[Any] = []
    waiting: list[Any] = []
    items = items[: len(items) // cut * cut]
    for item, read in zip(items, reads, strict=False):
        waiting.append(item)
        if len(waiting) < cut:
            continue
        done = box.offer(waiting)
        while done < len(waiting):
            assert box.items or box.lent, "what is empty has room"
            out += box.take()
            done = box.offer(waiting, done)
        waiting.clear()
        assert box.n_bytes <= 2500
        assert len(box.items) + box.lent <= 4
        assert budget.held_bytes == others + box.n_bytes
        assert box.n_bytes <= max(budget.max_bytes - others, 1400) or box.n_bytes == 0
        if read:
            out += box.take()
    while taken := box.take():
        out += taken
    assert (box.n_bytes, budget.held_bytes) == (0, others)
    assert not any(isinstance(item, ms.ToolCall) for item in lost)
    if overflow == "conflate":
        assert "".join(e.text for e in out if isinstance(e, ms.TextDelta)) == "".join(
            e.text for e in items if isinstance(e, ms.TextDelta)
        )
    else:
        assert sorted(map(str, out + lost)) == sorted(map(str, items))
        order = [items.index(item) for item in out if isinstance(item, ms.TextDelta)]
        assert order == sorted(order)
