"""Fragments of tool calls -> exactly one `ToolCall` each, and what its arguments are worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millstream.events import ToolCall, ToolCallDelta
from millstream.protocols._tools import ToolCalls


def test_fragments_carry_id_name_and_index() -> None:
    tools = ToolCalls()
    assert tools.fragment(7, "a", "f", None) == ToolCallDelta("a", "f")
    assert tools.fragment(7, "", "", "{") == ToolCallDelta("a", "f", "{")
    assert tools.fragment(9, "b", "g", {"é": 1}) == ToolCallDelta("b", "g", '{"é":1}', 1)
    assert 7 in tools
    assert 8 not in tools


def test_a_late_id_or_name_completes_the_call() -> None:
    tools = ToolCalls()
    tools.fragment(0, "", "f", "{")
    tools.fragment(0, "a", "", "}")
    assert tools.finish(None, cut=False) == [ToolCall("a", "f", b"{}", {})]


def test_done_gives_a_complete_call_once() -> None:
    tools = ToolCalls()
    tools.fragment(0, "a", "f", "[1]")
    assert tools.done(0) == ToolCall("a", "f", b"[1]", [1])
    assert tools.done(0) is None
    assert tools.finish(None, cut=False) == []
    assert tools.any_given


def test_done_holds_back_what_may_have_been_cut() -> None:
    tools = ToolCalls()
    tools.fragment(0, "a", "f", None)
    tools.fragment(1, "b", "f", "{")
    assert tools.done(0) is tools.done(1) is None
    assert [call.validity for call in tools.finish(0, cut=True)] == ["incomplete", "incomplete"]


def test_unconfirmed_calls_are_incomplete_whatever_they_look_like() -> None:
    tools = ToolCalls()
    tools.fragment(0, "a", "f", "{}")
    (call,) = tools.finish(None, cut=False, confirmed=False)
    assert (call.validity, call.arguments, call.input) == ("incomplete", None, b"{}")


fragments = st.tuples(st.integers(0, 2), st.sampled_from(["", "a", "b"]), st.sampled_from(["", "{", "}", "1"]))


@given(st.lists(st.tuples(st.integers(0, 1), fragments), max_size=20), st.booleans(), st.booleans())
def test_each_call_that_began_is_given_once_with_all_its_fragments(steps, cut: bool, confirmed: bool) -> None:
    tools = ToolCalls()
    said: dict[tuple[int, int], str] = {}
    for choice, (key, id, text) in steps:
        delta = tools.fragment(key, id, "f", text, choice=choice)
        said[choice, delta.index] = said.get((choice, delta.index), "") + text
    given_calls = tools.finish(None, cut=cut, confirmed=confirmed)
    assert {(call.choice, call.index): call.input.decode() for call in given_calls} == said
    assert [(call.choice, call.index) for call in given_calls] == sorted(said)
    assert all(call.arguments is None for call in given_calls if call.validity != "valid")
    assert tools.finish(None, cut=cut) == []
