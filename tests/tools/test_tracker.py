"""What a display needs to know of the calls."""

from __future__ import annotations

import pytest

import millstream as ms
from tools.scripts import call


def seen(*events: ms.Event) -> ms.tools.ToolTracker:
    tracker = ms.tools.ToolTracker()
    for event in events:
        tracker.see(event)
    return tracker


A, B, A2 = call("a", id="1"), call("b", id="2", index=1), call("a", id="3", index=2)


def done(made: ms.ToolCall, error: str | None = None) -> ms.ToolResult:
    return ms.ToolResult(made.id, made.name, error=error)


def test_r0108_two_calls_of_one_tool_are_two() -> None:
    tracker = seen(A, A2)
    assert tracker.running == ["a", "a"]
    tracker.see(done(A2))
    assert tracker.running == ["a"]


def test_r0109_the_order_of_the_calls_is_kept() -> None:
    assert seen(A, B, ms.TextDelta("x"), A2, done(B)).order == ["a", "b", "a"]


def test_r0112_who_still_runs_is_known_after_each_result() -> None:
    assert seen(A, B, done(A)).running == ["b"]


def test_r0120_calls_are_counted() -> None:
    assert seen(A, B, A2).calls == 3


def test_r0122_the_completed_are_in_the_order_of_their_results() -> None:
    assert seen(A, B, done(B), done(A, "failed")).completed == ["b", "a"]


def test_r0123_percent() -> None:
    assert seen().percent == 0.0
    assert seen(A, B, done(B)).percent == 50.0


def test_calls_without_ids_are_told_apart_by_their_numbers() -> None:
    first, second = call("a", id="", index=0), call("b", id="", index=1)
    result = ms.ToolResult("", "b")
    result.meta["index"] = 1
    assert seen(first, second, result).running == ["a"]


def test_a_result_of_no_call_and_calls_of_other_answers_are_passed_over() -> None:
    tracker = seen(done(A), call("x", choice=1))
    assert (tracker.calls, tracker.completed, tracker.running) == (0, [], [])


@pytest.mark.parametrize(("text", "short"), [("x" * 100, "x" * 100), ("ü" * 101, "ü" * 100 + "…"), ("", "")])
def test_r0111_long_results_are_cut_for_display(text: str, short: str) -> None:
    assert ms.tools.truncate(text, 100) == short


def test_r0111_nothing_is_cut_to_less_than_nothing() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        ms.tools.truncate("x", -1)
