"""Overflow policies: what is kept, what goes, and that nothing goes uncounted."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.streams._bounded import Bounded
from millstream.streams.overflow import MAX_JOINED_CHARS, CallerRuns, Conflate, DropAfter, Losses, join_text

CALL = ms.ToolCall(id="1", name="f", input=b"{}")
ERROR = ms.Error(ms.StreamError("x"), fatal=False)
FINISH = ms.Finish(ms.FinishReason.STOP)
KEPT = [CALL, ERROR, FINISH]

LOSSY = ["drop_oldest", "drop_newest", "drop_all"]


def text(*pieces: str, **fields: Any) -> list[Any]:
    return [ms.TextDelta(piece, **fields) for piece in pieces]


def bounded(n: int, overflow: Any, **options: Any) -> tuple[Bounded[Any], list[Any]]:
    lost: list[Any] = []
    return Bounded(n, overflow, losses=Losses("test", lost.append), **options), lost


@pytest.mark.parametrize(
    ("overflow", "inside", "lost", "accepted"),
    [
        ("wait", [1, 2, 3], [], 3),
        ("drop_oldest", [3, 4, 5], [1, 2], 5),
        ("drop_newest", [1, 2, 3], [4, 5], 5),
        ("drop_all", [4, 5], [1, 2, 3], 5),
        ("drop_after", [1, 2, 3], [], 3),
        (DropAfter(1.0), [1, 2, 3], [], 3),
        (CallerRuns(print), [1, 2, 3], [], 3),
        ("conflate", [1, 2, 3], [], 3),
        (Conflate(lambda older, newer: older + newer), [1, 2, 12], [], 5),
    ],
    ids=str,
)
def test_what_a_full_buffer_does(overflow: Any, inside: list[int], lost: list[int], accepted: int) -> None:
    box, dropped = bounded(3, overflow)
    assert box.offer([1, 2]) == 2
    assert box.offer([3, 4, 5]) == accepted - 2
    assert list(box.items) == inside
    assert dropped == lost
    assert box.losses.total == len(lost)


def test_error_says_how_many_were_lost_and_keeps_what_had_room() -> None:
    box, lost = bounded(3, "error")
    with pytest.raises(ms.errors.BufferOverflow, match="3 items") as caught:
        box.offer([1, 2, 3, 4, 5])
    assert caught.value.dropped == 2
    assert (list(box.items), lost) == ([1, 2, 3], [4, 5])


@pytest.mark.parametrize("overflow", LOSSY)
@pytest.mark.parametrize("kept", KEPT, ids=lambda event: event.type)
def test_tool_calls_errors_and_finish_are_never_dropped(overflow: str, kept: Any) -> None:
    """Inside or on its way in: another item goes in its place."""
    box, lost = bounded(2, overflow)
    events = [*text("a"), kept, *text("b", "c"), kept, *text("d")]
    assert box.offer(events) == len(events)
    assert [event for event in box.items if event is kept] == [kept, kept]
    assert kept not in lost
    assert len(lost) == len(events) - len(box.items) == box.losses.total


@pytest.mark.parametrize("overflow", LOSSY)
def test_a_buffer_full_of_what_may_not_be_lost_waits_for_the_next_and_drops_the_others(overflow: str) -> None:
    box, lost = bounded(2, overflow)
    assert box.offer([CALL, CALL, *text("a"), ERROR, FINISH]) == 3
    assert list(box.items) == [CALL, CALL]
    assert lost == text("a")


@pytest.mark.parametrize("overflow", LOSSY)
def test_protect_adds_to_what_is_never_dropped(overflow: str) -> None:
    box, lost = bounded(2, overflow, protect=lambda item: item % 2 == 0)
    box.offer([2, 1, 3, 4])
    assert list(box.items) == [2, 4]
    assert sorted(lost) == [1, 3]


def test_give_up_drops_what_waited_too_long_but_not_what_is_protected() -> None:
    box, lost = bounded(2, DropAfter(1.0))
    batch = [*text("a", "b", "c"), CALL, FINISH, ERROR]
    assert box.offer(batch) == 2
    assert box.give_up(batch, 2) == 5
    assert list(box.items) == [CALL, FINISH]
    assert lost == text("c", "b", "a")


def test_losses_are_counted_by_stream_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    box, _ = bounded(1, "drop_oldest")
    with caplog.at_level(logging.DEBUG, logger="millstream"):
        box.offer([*text("a", stream_id="x"), *text("b", "c", stream_id="y"), 3])
    assert dict(box.losses.by_stream) == {"x": 1, "y": 2}
    assert box.losses.total == 3
    assert [record.message for record in caplog.records][-1] == "test dropped a TextDelta, its number 3"
    assert not any("'a'" in record.message for record in caplog.records), "payload in the log"


@pytest.mark.parametrize("bad", ["drop", "", None, 3, "caller_runs"])
def test_unknown_policies_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="overflow"):
        bounded(1, bad)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_drop_after_needs_seconds(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        DropAfter(seconds)


# --- conflate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (ms.TextDelta("a"), ms.TextDelta("b", index=1)),
        (ms.TextDelta("a"), ms.TextDelta("b", choice=1)),
        (ms.TextDelta("a", stream_id=1), ms.TextDelta("b", stream_id=2)),
        (ms.TextDelta("a"), ms.ReasoningDelta("b")),
        (ms.TextDelta("a"), CALL),
        (ms.TextDelta("a"), "b"),
        (ms.TextDelta("a" * MAX_JOINED_CHARS), ms.TextDelta("b")),
    ],
)
def test_only_text_of_the_same_block_choice_and_stream_is_joined(older: Any, newer: Any) -> None:
    assert join_text(older, newer) is None
    assert join_text(newer, older) is None


def test_text_that_carries_something_of_its_own_stays_alone() -> None:
    marked = ms.TextDelta("a")
    marked.meta["logprobs"] = []
    assert join_text(marked, ms.TextDelta("b")) is None
    assert join_text(ms.TextDelta("b"), marked) is None


def test_a_full_buffer_of_text_makes_room_for_another_kind_by_joining_what_is_inside() -> None:
    box, _ = bounded(3, "conflate")
    assert box.offer([*text("a", "b", "c"), FINISH]) == 4
    assert list(box.items) == [*text("abc"), FINISH]


def test_protected_items_are_never_merged_away() -> None:
    box, _ = bounded(2, Conflate(lambda older, newer: newer))
    assert box.offer([CALL, 1, 2, 3, FINISH]) == 4
    assert list(box.items) == [CALL, 3]


pieces = st.lists(
    st.one_of(
        st.builds(ms.TextDelta, st.text("ab", min_size=1, max_size=3), index=st.integers(0, 1)),
        st.sampled_from([CALL, ms.ReasoningDelta("r")]),
    )
)


def told(events: list[Any]) -> list[Any]:
    """What a stream says: its text runs and its other events, in order."""
    joined: list[Any] = []
    for event in events:
        both = join_text(joined[-1], event) if joined else None
        if both is None:
            joined.append(event)
        else:
            joined[-1] = both
    return joined


@given(pieces, st.integers(1, 4), st.lists(st.booleans()))
def test_conflate_loses_no_character_and_keeps_the_order(events: list[Any], n: int, reads: list[bool]) -> None:
    box, lost = bounded(n, "conflate")
    out: list[Any] = []
    i = 0
    turns = iter(reads)
    while i < len(events):
        i = box.offer(events, i)
        assert len(box.items) + box.lent <= n
        if i < len(events) or next(turns, False):
            out += box.take()
    while taken := box.take():
        out += taken
    assert told(out) == told(events)
    assert lost == []


@given(st.lists(st.integers()), st.integers(1, 4), st.sampled_from([*LOSSY, "wait"]), st.lists(st.booleans()))
def test_every_item_comes_out_or_is_counted(items: list[int], n: int, overflow: str, reads: list[bool]) -> None:
    box, lost = bounded(n, overflow)
    out: list[int] = []
    turns = iter(reads)
    for i in range(0, len(items), 3):
        part, done = items[i : i + 3], 0
        while (done := box.offer(part, done)) < len(part):
            out += box.take()
        assert len(box.items) + box.lent <= n
        if next(turns, False):
            out += box.take()
    while taken := box.take():
        out += taken
    assert sorted(out + lost) == sorted(items)
    assert box.losses.total == len(lost)
    if overflow == "wait":
        assert out == items


def test_items_go_out_by_halves_and_count_until_they_are_consumed() -> None:
    box, _ = bounded(4, "wait")
    assert box.offer([1, 2, 3, 4, 5]) == 4
    assert box.take() == [1, 2]
    assert box.offer([5]) == 0
    assert box.take() == [3, 4]
    assert box.offer([5, 6, 7]) == 2


def test_one_by_one_under_a_policy_that_loses() -> None:
    box, _ = bounded(3, "drop_oldest")
    box.offer([1, 2, 3])
    assert box.take() == [1]
    box.offer([4, 5])
    assert [box.take(), box.take(), box.take(), box.take()] == [[3], [4], [5], []]
