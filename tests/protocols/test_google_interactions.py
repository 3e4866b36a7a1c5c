"""Google Interactions by hand."""

from __future__ import annotations

import base64

import pytest

import millstream as ms
from protocols.decoding import calls_of, check_lifecycle, decode, errors_of, sse

CREATED = {"event_type": "interaction.created", "interaction": {"id": "v1_x", "model": "m", "status": "in_progress"}}


def run(*messages) -> list[ms.Event]:
    events = decode("google-interactions", sse(*messages))
    check_lifecycle(events)
    return events


def start(index: int, kind: str, **more) -> dict:
    return {"event_type": "step.start", "index": index, "step": {"type": kind, **more}}


def delta(index: int, kind: str, **more) -> dict:
    return {"event_type": "step.delta", "index": index, "delta": {"type": kind, **more}}


def stop(index: int) -> dict:
    return {"event_type": "step.stop", "index": index}


def end(status: str = "completed", **more) -> dict:
    return {"event_type": "interaction.completed", "interaction": {"status": status, **more}}


def test_thought_and_text() -> None:
    usage = {"total_input_tokens": 3, "total_output_tokens": 2, "total_cached_tokens": 0, "total_thought_tokens": 9}
    events = run(
        CREATED,
        {"event_type": "interaction.status_update", "status": "in_progress"},
        start(0, "thought"),
        delta(0, "thought_summary", content={"type": "text", "text": "hm"}),
        delta(0, "thought_summary", text="!"),
        delta(0, "thought_signature", signature="sig"),
        delta(0, "thought_signature", signature=""),
        stop(0),
        start(1, "model_output"),
        delta(1, "text", text="Hi"),
        delta(1, "text", text=""),
        stop(1),
        end(usage=usage),
        "[DONE]",
    )
    total = ms.Usage(3, 2, 5, 0, None, 9, usage)
    assert events == [
        ms.Start("m", "v1_x"),
        ms.ReasoningDelta("hm"),
        ms.ReasoningDelta("!"),
        ms.ReasoningDelta(signature="sig"),
        ms.TextDelta("Hi", 1),
        total,
        ms.Finish(ms.FinishReason.STOP, "completed", total),
    ]
    assert run(CREATED, end(usage=usage | {"total_tokens": 14}))[-1].usage.total_tokens == 14


def test_steps_that_come_whole() -> None:
    events = run(
        CREATED,
        start(0, "thought", signature="sig", summary=[{"type": "text", "text": "hm"}, {"type": "image"}]),
        start(1, "model_output", content=[{"type": "text", "text": "Hi"}]),
        start(2, "function_call", id="a", name="f", arguments={"x": 1}, signature="s2"),
        stop(2),
        end("requires_action"),
    )
    assert events[1:-1] == [
        ms.ReasoningDelta(signature="sig"),
        ms.ReasoningDelta("hm"),
        ms.TextDelta("Hi", 1),
        ms.ReasoningDelta(index=2, signature="s2"),
        ms.ToolCallDelta("a", "f"),
        ms.ToolCallDelta("a", "f", '{"x":1}'),
        ms.ToolCall("a", "f", b'{"x":1}', {"x": 1}),
    ]
    assert events[-1] == ms.Finish(ms.FinishReason.TOOL_CALLS, "requires_action")


def test_arguments_in_deltas_replace_those_at_the_start() -> None:
    events = run(
        CREATED,
        start(1, "function_call", id="a", name="f", arguments={"x": 0}),
        delta(1, "arguments_delta", arguments='{"x":'),
        delta(1, "arguments_delta", arguments=""),
        delta(1, "arguments_delta", arguments="1}"),
        stop(1),
        end("requires_action"),
    )
    assert [(c.id, c.arguments) for c in calls_of(events)] == [("a", {"x": 1})]


@pytest.mark.parametrize("last", [[end("incomplete")], []])
def test_a_call_that_was_cut_off(last: list[dict]) -> None:
    call = start(1, "function_call", id="a", name="f")
    events = run(CREATED, call, delta(1, "arguments_delta", arguments='{"x":'), *last)
    assert [c.validity for c in calls_of(events)] == ["incomplete"]
    assert events[-1].reason == ("length" if last else "incomplete")


def test_annotations() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 3}
    events = run(
        CREATED,
        delta(1, "text_annotation_delta", annotations=[cited]),
        delta(1, "text", text="x", annotations=[cited]),
        delta(1, "text_annotation_delta", annotations=[]),
        end(),
    )
    expected = ms.Citations((ms.Citation("u", "t", start=1, end=3),), 1)
    assert events[1:-1] == [expected, ms.TextDelta("x", 1), expected]


def test_an_image() -> None:
    data = base64.b64encode(b"\x89PNG").decode()
    events = run(CREATED, delta(1, "image", mime_type="image/png", data=data), delta(2, "image", uri="u"), end())
    assert events[1:-1] == [ms.File("image/png", b"\x89PNG", index=1), ms.File("", url="u", index=2)]


@pytest.mark.parametrize(
    "message",
    [
        start(0, "google_search_call", id="x"),
        delta(0, "google_search_result", result=[]),
        delta(5, "arguments_delta", arguments="{}"),
        {"event_type": "brand.new"},
        {"no": "type"},
    ],
)
def test_server_tools_and_the_unknown_are_raw(message: dict) -> None:
    assert run(CREATED, message, end())[1].json() == message


def test_tools_of_google_are_told_when_their_step_ends() -> None:
    messages = [
        start(0, "google_search_call", id="x", signature=""),
        delta(0, "google_search_call", arguments={"queries": ["q"]}),
        start(1, "google_search_result", call_id="x"),
        delta(1, "google_search_result", result=[{"title": "t"}]),
        start(2, "code_execution_result", call_id="y", is_error=True),
        start(3, "mcp_server_tool_call", id="z", name="look", arguments={}),
    ]
    events = run(CREATED, *messages, *map(stop, range(4)), end())
    assert [event.json() for event in events[1:7]] == messages
    assert events[7:-1] == [
        ms.ProviderToolCall("x", "google_search", {"queries": ["q"]}),
        ms.ProviderToolResult("x", "google_search", [{"title": "t"}], None, 1),
        ms.ProviderToolResult("y", "code_execution", None, "the tool failed", 2),
        ms.ProviderToolCall("z", "look", None, 3),
    ]


def test_a_delta_of_another_type_does_not_change_what_a_step_is() -> None:
    later = delta(0, "arguments_delta", arguments={"queries": ["q"]})
    events = run(CREATED, start(0, "google_search_call", id="x"), later, stop(0), end())
    assert [event.json() for event in events if isinstance(event, ms.Raw)][-1] == later
    assert events[-2] == ms.ProviderToolCall("x", "google_search", {"queries": ["q"]})


def test_a_step_that_nobody_knows_is_raw_and_its_end_says_nothing() -> None:
    begun, more = start(0, "dream", id="x"), delta(0, "dream", picture="p")
    events = run(CREATED, begun, more, stop(0), end())
    assert [event.json() for event in events[1:-1]] == [begun, more]


@pytest.mark.parametrize(
    "message",
    [
        {"event_type": "error", "error": {"code": "rate_limit", "message": "slow"}},
        {"error": {"code": 429, "message": "slow"}},
        end("failed", error={"code": 429, "message": "slow"}),
    ],
)
def test_errors(message: dict) -> None:
    events = run(CREATED, message)
    assert [type(error) for error in errors_of(events)] == [ms.RateLimited]
    assert events[-1].raw_reason == ("failed" if "interaction" in message else "")


@pytest.mark.parametrize(("status", "reason"), [("cancelled", "other"), ("", "stop"), ("incomplete", "length")])
def test_statuses(status: str, reason: str) -> None:
    assert run(CREATED, end(status))[-1].reason == reason
