"""A run is one stream: the order of its events, what goes back to the model, and how it ends, in every way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.testing import HANG, FakeClock, Wait, assert_stream_conformance
from tools.scripts import CALLS, STOP, Model, call, kinds, of, roles, run, step

pytestmark = pytest.mark.anyio


async def weather(city: str) -> str:
    return f"rain in {city}"


async def add(a: int, b: int) -> int:
    return a + b


SPENT = ms.Usage(3, 4, 7, raw={"prompt_tokens": 3, "details": {"cached": 1}, "tier": "x"})


# --- one stream ------------------------------------------------------------------------------------------------------


async def test_r0008_r0106_r0110_r0113_a_call_its_result_and_the_end() -> None:
    model = Model(step("Let me see.", call("weather", {"city": "NYC"})), step("Rain."))
    events, _ = await run(model, "Weather?", [weather])
    assert kinds(events) == [
        *["start", "step_start", "text_delta", "tool_call", "tool_result", "step_finish"],
        *["step_start", "text_delta", "step_finish", "finish"],
    ]
    [made], [result] = of(events, ms.ToolCall), of(events, ms.ToolResult)
    assert (made.name, made.input) == ("weather", b'{"city":"NYC"}')
    assert (result.id, result.name, result.result) == (made.id, "weather", "rain in NYC")


async def test_r0009_r0116_two_steps_are_one_stream() -> None:
    model = Model(step(call("add", {"a": 1, "b": 2})), step(call("add", {"a": 1, "b": 2})), step("never asked for"))
    events, stream = await run(model, "x", [add], stop_when=ms.max_steps(2))
    assert [kinds(events).count(kind) for kind in ("start", "finish", "step_start", "step_finish")] == [1, 1, 2, 2]
    assert len(model.asked) == 2
    assert [event.step for event in of(events, ms.StepFinish)] == [1, 2]
    assert events[-1].reason is CALLS
    assert events[-1].meta["stopped_by"] == "max_steps(2)"
    assert roles(stream.messages) == ["user", "assistant", "tool", "assistant", "tool"]


async def test_r0114_the_first_call_gets_what_was_given_and_the_next_one_what_came_of_it() -> None:
    model = Model(step("Hm.", call("weather", {"city": "NYC"})), step("Rain."))
    given = [ms.Message("system", "Be brief."), ms.Message("user", "Weather?")]
    _, stream = await run(model, given, [weather])
    assert model.asked[0] == given
    assert model.asked[1][2:] == [
        ms.Message("assistant", [ms.TextPart("Hm."), ms.messages.ToolCallPart("call-0", "weather", '{"city":"NYC"}')]),
        ms.Message("tool", [ms.messages.ToolResultPart("call-0", "weather", "rain in NYC")]),
    ]
    assert stream.messages == [*model.asked[1], ms.Message("assistant", "Rain.")]
    assert len(given) == 2, "what was given stays as it is"


async def test_r0107_calls_run_at_the_same_time_and_results_come_as_they_are_done() -> None:
    clock = FakeClock()

    async def slow(seconds: float) -> float:
        await clock.sleep(seconds)
        return clock.now()

    model = Model(
        [*step(call("slow", {"seconds": 30}), call("slow", {"seconds": 10}))[:-1], Wait(20), ms.Finish(CALLS)],
        step("Done."),
        clock=clock,
    )
    async with clock.autojump():
        events, stream = await run(model, "x", [slow], clock=clock, tool_timeout=None)
    results = of(events, ms.ToolResult)
    assert [(one.id, one.result) for one in results] == [("call-1", 10.0), ("call-0", 30.0)]
    assert [part.id for part in stream.messages[2].parts] == ["call-0", "call-1"], "the model gets them in call order"


async def test_results_are_handed_out_while_the_model_still_writes() -> None:
    clock = FakeClock()
    begin = step("A", call("weather", {"city": "NYC"}))[:-1]
    model = Model([*begin, Wait(20), ms.TextDelta("B"), ms.Finish(CALLS)], step("C"), clock=clock)
    async with clock.autojump():
        events, _ = await run(model, "x", [weather], clock=clock)
    shown = [event for event in events if isinstance(event, ms.TextDelta | ms.ToolResult)]
    assert kinds(shown) == ["text_delta", "tool_result", "text_delta", "text_delta"]


async def test_not_eager_means_when_the_answer_is_there() -> None:
    clock = FakeClock()
    begin = step("A", call("weather", {"city": "NYC"}))[:-1]
    model = Model([*begin, Wait(20), ms.TextDelta("B"), ms.Finish(CALLS)], step("C"), clock=clock)
    async with clock.autojump():
        events, _ = await run(model, "x", [weather], clock=clock, eager=False)
    shown = [event for event in events if isinstance(event, ms.TextDelta | ms.ToolResult)]
    assert kinds(shown) == ["text_delta", "text_delta", "tool_result", "text_delta"]


async def test_nothing_is_read_and_no_step_is_opened_before_somebody_asks() -> None:
    model = Model(step("A", call("weather", {"city": "NYC"})), step("B"))
    async with ms.tools.run_steps(model, "x", [weather]) as stream:
        await anyio.wait_all_tasks_blocked()
        assert (len(model.asked), model.sources[0].pulls) == (1, 0)
        assert [(await anext(stream)).type for _ in range(2)] == ["start", "step_start"]
        await anyio.wait_all_tasks_blocked()
        assert model.sources[0].pulls == 1
        while not isinstance(await anext(stream), ms.StepFinish):
            pass
        await anyio.wait_all_tasks_blocked()
        assert len(model.asked) == 1, "the next step costs money"
        assert model.sources[0].closed


async def test_r0121_r0124_time_usage_and_tools_are_told() -> None:
    clock = FakeClock()

    async def slow(seconds: float) -> None:
        await clock.sleep(seconds)

    model = Model(
        step(call("slow", {"seconds": 7}), call("weather", {"city": 1}), usage=SPENT),
        [*step("x", usage=SPENT)[:-1], Wait(3), ms.Finish(STOP, "stop", SPENT)],
        clock=clock,
    )
    async with clock.autojump():
        events, stream = await run(model, "x", [slow, weather], clock=clock)
    first, second = of(events, ms.StepFinish)
    assert (first.duration, first.usage, first.reason) == (7.0, SPENT, CALLS)
    assert first.meta == {"model": "model", "id": "response"}
    assert (second.duration, second.reason) == (3.0, STOP)
    finish = events[-1]
    assert (finish.steps, finish.reason, finish.raw_reason) == (2, STOP, "stop")
    assert finish.meta == {"duration": 10.0, "tools": ["slow"], "stopped_by": "answer"}
    assert finish.usage == ms.Usage(6, 8, 14, raw={"prompt_tokens": 6, "details": {"cached": 2}, "tier": "x"})
    assert of(events, ms.Usage) == [SPENT, SPENT], "each step's own stands at its place"
    assert stream.so_far.usage == finish.usage
    assert [one.number for one in stream.so_far.steps] == [1, 2]


@pytest.mark.parametrize(
    ("several", "total"),
    [
        ([None, None], None),
        ([None, SPENT], SPENT),
        ([ms.Usage(1, None, 2), ms.Usage(None, None, 3)], ms.Usage(1, None, 5)),
        ([ms.Usage(1, 2), ms.Usage(1, 2, 4)], ms.Usage(2, 4, 7)),
        ([ms.Usage(1, 1, 2, 5, 6, 7, {"a": 1, "b": "x"}), ms.Usage(1, 1, 2, 1, 1, 1, {"a": 2, "c": 3.5})],
         ms.Usage(2, 2, 4, 6, 7, 8, {"a": 3, "b": "x", "c": 3.5})),
    ],
)  # fmt: skip
def test_usage_adds_up(several: list[Any], total: Any) -> None:
    from millstream.tools._state import total_usage

    assert total_usage(several) == total


# --- calls that are odd ----------------------------------------------------------------------------------------------


async def test_bad_calls_get_error_results_and_the_run_goes_on() -> None:
    model = Model(
        step(
            call("weather", b'{"city":'),
            call("nobody"),
            call("weather", {"city": 3}),
            call("weather", {"city": "x"}, validity=ms.events.Validity.INCOMPLETE),
            reason=ms.FinishReason.LENGTH,
        ),
        step("Sorry."),
    )
    events, stream = await run(model, "x", [weather])
    said = [str(result.error) for result in of(events, ms.ToolResult)]
    assert [one for one in said if "was not run" not in one] == ["there is no tool 'nobody'; there are: weather"]
    assert events[-1].reason is STOP
    assert [part.is_error for part in stream.messages[2].parts] == [True] * 4
    for protocol in ("openai-chat", "anthropic-messages", "gemini", "openai-responses", "bedrock-converse"):
        assert ms.request_body(protocol, ms.Request(model="m", max_tokens=9, messages=stream.messages))


async def test_calls_of_other_answers_are_not_run() -> None:
    events, _ = await run(Model(step("x", call("weather", {"city": "x"}, choice=1), reason=CALLS)), "x", [weather])
    assert of(events, ms.ToolResult) == []
    assert len(of(events, ms.ToolCall)) == 1


async def test_calls_without_numbers_are_all_in_the_conversation() -> None:
    calls = [call("weather", {"city": city}, id=city) for city in "abc"]
    model = Model([ms.Start(), *calls], step("x"))
    events, stream = await run(model, "x", [weather])
    assert [part.id for part in stream.messages[1].tool_calls] == ["a", "b", "c"]
    assert [result.result[-1] for result in of(events, ms.ToolResult)] == ["a", "b", "c"]


async def test_calls_without_ids_are_answered_in_order() -> None:
    clock = FakeClock()

    async def slow(seconds: float) -> float:
        await clock.sleep(seconds)
        return seconds

    model = Model(step(call("slow", {"seconds": 2}, id=""), call("slow", {"seconds": 1}, id="")), step("x"))
    async with clock.autojump():
        events, stream = await run(model, "x", [slow], clock=clock)
    assert [(result.result, result.meta["index"]) for result in of(events, ms.ToolResult)] == [(1.0, 1), (2.0, 0)]
    assert [part.content for part in stream.messages[2].parts] == ["2.0", "1.0"]


async def test_a_call_that_somebody_else_runs_ends_the_run() -> None:
    model = Model(step(call("weather", {"city": "x"}), call("click", {"at": 1})))
    events, stream = await run(model, "x", [weather, ms.ToolSpec("click")])
    assert [result.name for result in of(events, ms.ToolResult)] == ["weather"]
    assert (events[-1].reason, events[-1].meta["stopped_by"]) == (CALLS, "calls")
    assert [part.name for part in stream.messages[-1].parts] == ["weather"]


async def test_a_paused_answer_is_asked_for_again() -> None:
    model = Model(step("One, ", reason=ms.FinishReason.PAUSE), step("two."))
    events, stream = await run(model, "Count.")
    assert await ms.Stream(_again(events)).text() == "One, two."
    assert roles(stream.messages) == ["user", "assistant", "assistant"]


async def _again(events: list[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event


@pytest.mark.parametrize("reason", [ms.FinishReason.CONTENT_FILTER, ms.FinishReason.INCOMPLETE])
async def test_after_a_broken_answer_no_step_follows(reason: ms.FinishReason) -> None:
    model = Model(step(call("weather", {"city": "x"}), reason=reason))
    events, stream = await run(model, "x", [weather])
    assert (events[-1].reason, events[-1].meta["stopped_by"]) == (reason, str(reason))
    assert stream.so_far.steps[0].results[0].result == "rain in x"
    assert len(stream.messages) == (1 if reason == "incomplete" else 3), "an answer that was cut off is not sent back"


async def test_an_answer_that_starts_over_is_forgotten_with_its_calls() -> None:
    stopped = anyio.Event()
    restart = ms.Data({"attempt": 2}, name=ms.streams.RESTART)

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    model = Model([*step("A", call("hang"))[:-1], restart, ms.TextDelta("B"), ms.Finish(STOP)])
    events, stream = await run(model, "x", [hang])
    assert stopped.is_set()
    assert of(events, ms.ToolResult) == []
    assert stream.messages[1:] == [ms.Message("assistant", "B")]


# --- what opens a step -----------------------------------------------------------------------------------------------


async def test_an_agent_function_may_be_an_async_generator_or_awaited() -> None:
    async def agent(messages: list[ms.Message]) -> AsyncIterator[ms.Event]:
        yield ms.TextDelta("hello")

    async def opened(messages: list[ms.Message]) -> Any:
        return agent(messages)

    for open_step in (agent, opened):
        events, _ = await run(open_step, "x")
        assert kinds(events) == ["start", "step_start", "text_delta", "step_finish", "finish"]
        assert events[-1].reason is STOP


async def test_an_empty_answer_is_an_answer() -> None:
    events, stream = await run(Model([]), "x")
    assert kinds(events) == ["start", "step_start", "step_finish", "finish"]
    assert len(stream.messages) == 1


async def test_what_opens_no_stream_says_so() -> None:
    with pytest.raises(TypeError, match="open_step must return a Stream or another async iterable, not list"):
        await run(lambda messages: [1], "x")


async def test_opaque_parts_go_back_to_their_provider() -> None:
    thought = ms.ReasoningDelta("hm", signature="sig")
    model = Model(step(thought, call("weather", {"city": "x"})), step("y"))
    await run(model, "x", [weather], protocol="anthropic")
    assert model.asked[1][1].origin == "anthropic-messages"
    assert model.asked[1][1].parts[0] == ms.messages.ReasoningPart("hm", "sig")


async def test_the_words_are_those_of_the_blocks_as_the_builder_alone_would_have_them() -> None:
    events = [
        ms.TextDelta("a"), ms.TextDelta("b"), ms.TextDelta("c"), ms.TextDelta("x", 0, 1), ms.TextDelta("d", 1),
        ms.ReasoningDelta("", signature="s", _meta={"part": "text"}), ms.TextDelta("e", 1), ms.TextDelta("f", 1),
        ms.TextDelta("g", 1), ms.ReasoningDelta("hm"), ms.TextDelta("h", _meta={"phase": "final"}), ms.TextDelta("i"),
        call("weather", {"city": "x"}), ms.TextDelta("j"), ms.TextDelta("k"),
    ]  # fmt: skip
    model = Model([ms.Start(), *events, ms.Finish(CALLS)], step("x"))
    _, stream = await run(model, "x", [weather], protocol="gemini")
    assert stream.messages[1] == ms.assistant_message(events, "gemini")
    assert len(stream.messages[1].parts) > 5


# --- handing over ----------------------------------------------------------------------------------------------------


def transfer(to: str = "billing") -> ms.Handoff:
    return ms.Handoff(to)


async def test_a_tool_hands_the_run_over() -> None:
    first = Model(step(ms.ReasoningDelta("hm", signature="s"), call("transfer")), step("never"))
    billing = Model(step("Hello, billing."))
    events, stream = await run(first, "x", [transfer], protocol="anthropic", handoffs={"billing": billing})
    assert kinds(events)[3:8] == ["tool_call", "tool_result", "handoff", "step_finish", "step_start"]
    assert of(events, ms.ToolResult)[0].result == "handed over to billing"
    assert billing.asked[0][1].parts == (ms.messages.ToolCallPart("call-0", "transfer", "{}"),), (
        "reasoning stays with its maker"
    )
    assert of(events, ms.StepFinish)[1].meta["agent"] == "billing"
    assert (len(first.asked), roles(stream.messages)) == (1, ["user", "assistant", "tool", "assistant"])
    assert stream.messages[1].parts[0] == ms.messages.ReasoningPart("hm", "s")


async def test_handed_back_the_first_one_gets_its_own_parts_again() -> None:
    thought = ms.ReasoningDelta("hm", signature="s")
    first = Model(step(thought, call("transfer")), step("I am back."))
    billing = Model(step(ms.ReasoningDelta("mine", signature="t"), call("transfer", {"to": "desk"})))
    desk = ms.tools.Agent(open_step=first, protocol="anthropic", system="You are the desk.")
    handoffs = {"billing": ms.tools.Agent(open_step=billing, protocol="gemini"), "desk": desk}
    await run(desk.open_step, [ms.Message("system", "old"), "x"], [transfer], protocol="anthropic", handoffs=handoffs)
    again = first.asked[1]
    assert again[0] == ms.Message("system", "You are the desk.")
    assert [message.text for message in again if message.role == "system"] == ["You are the desk."]
    thoughts = [part.text for message in again for part in message.parts if isinstance(part, ms.messages.ReasoningPart)]
    assert thoughts == ["hm"]
    assert [message.text for message in billing.asked[0] if message.role == "system"] == ["old"]


async def test_a_handoff_event_hands_over_with_its_payload() -> None:
    first = Model(step("I pass.", ms.Handoff("billing", {"order": 7})))
    billing = Model(step(call("weather", {"city": "x"})), step("Done."))
    agent = ms.tools.Agent(open_step=billing, tools=[weather])
    events, stream = await run(first, "x", handoffs={"billing": agent})
    assert billing.asked[0][-1] == ms.Message("user", '{"order":7}')
    assert of(events, ms.ToolResult)[0].result == "rain in x"
    assert events[-1].steps == 3
    assert roles(stream.messages) == ["user", "assistant", "user", "assistant", "tool", "assistant"]


async def test_a_handoff_that_nobody_here_takes_ends_the_run() -> None:
    events, _ = await run(Model(step(ms.Handoff("elsewhere"))), "x")
    assert events[-1].meta["stopped_by"] == "handoff"
    events, _ = await run(Model(step(call("transfer"))), "x", [transfer])
    assert events[-1].meta["stopped_by"] == "handoff"


async def test_a_handoff_to_somebody_unknown() -> None:
    model = Model(step(call("transfer", {"to": "nobody"})), step("Then not."))
    events, _ = await run(model, "x", [transfer], handoffs={"billing": Model()})
    assert of(events, ms.ToolResult)[0].error == "there is no 'nobody' to hand over to; there are: billing"
    assert of(events, ms.Handoff) == []
    events, _, error = await failing(Model(step(ms.Handoff("nobody"))), "x", handoffs={"billing": Model()})
    assert isinstance(error, ms.errors.ProcessingError)
    assert str(error) == "there is no 'nobody' to hand the run over to; there are: billing"
    assert error.step == 1
    assert kinds(events)[-3:] == ["step_finish", "error", "finish"]


async def test_of_two_handoffs_the_first_counts() -> None:
    async def one() -> ms.Handoff:
        return ms.Handoff("a")

    async def two() -> ms.Handoff:
        return ms.Handoff("b")

    a, b = Model(step("I am a.")), Model()
    await run(Model(step(ms.Handoff("a"), ms.Handoff("b"))), "x", handoffs={"a": Model(step("x")), "b": b})
    events, _ = await run(Model(step(call("one"), call("two"))), "x", [one, two], handoffs={"a": a, "b": b})
    assert [event.target for event in of(events, ms.Handoff)] == ["a"]
    assert of(events, ms.ToolResult)[1].error == "the run was handed over to 'a' already"
    assert b.asked == []


async def test_a_run_inside_a_run_is_one_step_and_runs_its_own_calls() -> None:
    inner = Model(step("In", call("add", {"a": 1, "b": 2})), step("side."))
    ran: list[int] = []

    def add_outside(a: int, b: int) -> None:
        ran.append(a)

    outer = partial(ms.tools.run_steps, inner, tools=[add])
    events, stream = await run(lambda messages: outer(messages), "x", [ms.tool(name="add")(add_outside)])
    assert ran == []
    assert kinds(events).count("step_start") == kinds(events).count("start") == kinds(events).count("finish") == 1
    assert of(events, ms.ToolResult)[0].result == 3
    assert stream.messages[1:] == [ms.Message("assistant", "Inside.")]


async def test_a_run_inside_a_run_hands_over_by_itself_where_it_can() -> None:
    places = {"inside": Model(step("Inside.")), "outside": Model(step("Outside."))}

    def make(target: str, known: str) -> Any:
        inner = Model(step(ms.Handoff(target)))
        return lambda messages: ms.tools.run_steps(
            inner, messages, handoffs={"inside": places["inside"]} if known else None
        )

    events, _ = await run(make("inside", "known"), "x", handoffs={"outside": places["outside"]})
    assert (len(places["inside"].asked), len(places["outside"].asked)) == (1, 0)
    events, _ = await run(make("outside", ""), "x", handoffs={"outside": places["outside"]})
    assert len(places["outside"].asked) == 1
    assert await ms.Stream(_again(events)).text() == "Outside."


# --- how it fails ----------------------------------------------------------------------------------------------------


async def failing(*args: Any, **options: Any) -> tuple[list[Any], ms.tools.Run, BaseException]:
    events: list[Any] = []
    stream = ms.tools.run_steps(*args, **options)
    try:
        async with stream:
            async for event in stream:
                events.append(event)
    except Exception as error:
        return events, stream, error
    raise AssertionError("it did not fail")


async def test_r0125_an_error_is_an_event_and_then_an_exception_that_knows_its_step() -> None:
    broken = ms.ConnectionFailed("reset")
    model = Model(step("A", call("weather", {"city": "x"})), [ms.Start(), ms.TextDelta("B"), broken])
    events, stream, error = await failing(model, "x", [weather])
    assert error is broken
    assert broken.step == 2
    assert kinds(events)[-4:] == ["text_delta", "error", "step_finish", "finish"]
    assert of(events, ms.Error)[0].error is broken
    assert (events[-1].reason, events[-1].steps, events[-1].meta["tools"]) == ("error", 2, ["weather"])
    state = broken.partial
    assert state is stream.so_far
    assert roles(state.messages) == ["user", "assistant", "tool"], "the whole steps"
    assert state.steps[1].text == "B", "and what there is of the last one"
    assert events[-1].meta["duration"] == state.duration > state.steps[0].duration


async def test_r0125_an_error_that_the_stream_tells_itself_is_told_once() -> None:
    broken = ms.Overloaded("later")
    told = [ms.Start(), ms.Error(broken), ms.Finish(ms.FinishReason.ERROR)]
    for tail in ([broken], []):
        events, _, error = await failing(Model([*told, *tail]), "x")
        assert error is broken
        assert kinds(events) == ["start", "step_start", "error", "step_finish", "finish"]


async def test_an_error_comes_after_the_results_of_what_runs() -> None:
    clock = FakeClock()

    async def slow() -> str:
        await clock.sleep(5)
        return "done"

    broken = ms.Overloaded("later")
    told = [ms.Start(), call("slow"), ms.TextDelta("x"), ms.Error(broken), ms.Finish(ms.FinishReason.ERROR), broken]
    async with clock.autojump():
        events, _, _ = await failing(Model(told, clock=clock), "x", [slow], clock=clock)
    assert kinds(events)[-4:] == ["tool_result", "error", "step_finish", "finish"]


async def test_an_error_that_was_told_is_told_whatever_is_raised() -> None:
    wrong = OSError("x")
    told = ms.Error(ms.Overloaded("later"))
    events, _, error = await failing(Model([ms.Start(), told, wrong]), "x")
    assert error is wrong
    assert events[2] is told
    assert kinds(events)[2:] == ["error", "step_finish", "finish"]


async def test_failing_to_open_the_first_step_is_raised_at_the_door() -> None:
    model = Model(ms.AuthError("no key"))
    with pytest.raises(ms.AuthError) as caught:
        async with ms.tools.run_steps(model, "x"):
            raise AssertionError
    assert caught.value.step == 1


async def test_failing_to_open_a_later_step_is_an_event_first() -> None:
    model = Model(step(call("add", {"a": 1, "b": 1})), ms.RateLimited("slow down", retry_after=3.0))
    events, stream, error = await failing(model, "x", [add])
    assert isinstance(error, ms.RateLimited)
    assert kinds(events)[-4:] == ["step_start", "error", "step_finish", "finish"]
    assert roles(stream.messages) == ["user", "assistant", "tool"]


async def test_a_warning_is_no_failure() -> None:
    warning = ms.Error(ms.StreamError("careful"), fatal=False)
    events, _ = await run(Model(step("A", warning, "B")), "x")
    assert kinds(events)[2:5] == ["text_delta", "error", "text_delta"]
    assert events[-1].reason is STOP


async def test_an_exception_of_the_program_comes_unchanged() -> None:
    wrong = KeyError("typo")
    model = Model(step(call("add", {"a": 1, "b": 1})), wrong)
    events, _, error = await failing(model, "x", [add])
    assert error is wrong
    assert of(events, ms.Error) == []
    assert wrong.step == 2  # type: ignore[attr-defined]

    def stop_when(state: ms.tools.RunState) -> bool:
        raise wrong

    assert (await failing(Model(step(call("add", {"a": 1, "b": 1}))), "x", [add], stop_when=stop_when))[2] is wrong


async def test_what_runs_when_the_stream_fails_is_brought_to_its_end_and_nothing_else_begins() -> None:
    clock = FakeClock()
    begun: list[int] = []

    async def book(n: int) -> str:
        begun.append(n)
        await clock.sleep(5)
        return f"booked {n}"

    calls = [call("book", {"n": n}) for n in range(3)]
    model = Model([*step(*calls)[:-1], Wait(1), ms.ConnectionFailed("reset")], clock=clock)
    async with clock.autojump():
        events, stream, _ = await failing(model, "x", [book], max_parallel=1, clock=clock)
    assert begun == [0]
    results = of(events, ms.ToolResult)
    assert {(one.id, one.result, one.error) for one in results} == {
        ("call-0", "booked 0", None),
        ("call-1", None, "the run ended before this call began, so the tool was not run"),
        ("call-2", None, "the run ended before this call began, so the tool was not run"),
    }
    assert kinds(events)[-3:] == ["error", "step_finish", "finish"]
    assert [result.id for result in stream.so_far.steps[-1].results] == ["call-0", "call-1", "call-2"]


async def test_not_eager_calls_of_a_failed_answer_never_run() -> None:
    model = Model([*step(call("add", {"a": 1, "b": 1}))[:-1], ms.ConnectionFailed("reset")])
    events, _, _ = await failing(model, "x", [add], eager=False)
    assert "before this call began" in of(events, ms.ToolResult)[0].error


async def test_an_approval_that_nobody_gives_does_not_hold_an_error_back() -> None:
    async def never(context: ms.ToolContext) -> bool:
        await anyio.sleep_forever()
        return True

    model = Model([*step(call("add", {"a": 1, "b": 1}))[:-1], ms.ConnectionFailed("reset")])
    events, _, error = await failing(model, "x", [add], approve=never)
    assert isinstance(error, ms.ConnectionFailed)
    assert "before this call began" in of(events, ms.ToolResult)[0].error


async def test_on_error_may_end_the_run() -> None:
    def strict(context: ms.ToolContext, error: Exception) -> str:
        raise ms.ToolError("tool failed", tool=context.call.name) from error

    def fails() -> None:
        raise ValueError("x")

    stopped = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(True)

    model = Model([*step(call("hang"), call("fails"))[:-1], HANG])
    events, _, error = await failing(model, "x", [hang, fails], on_error=strict)
    assert isinstance(error, ms.ToolError)
    assert (error.tool, error.step, stopped) == ("fails", 1, [True])
    assert kinds(events)[-3:] == ["error", "step_finish", "finish"]
    assert model.sources[0].cancelled
    assert model.sources[0].closed


async def test_a_model_that_never_stops_is_stopped() -> None:
    model = Model(step(call("add", {"a": 1, "b": 1})), again=True)
    events, stream, error = await failing(model, "x", [add])
    assert isinstance(error, ms.errors.StepLimit)
    assert (error.limit, error.step, len(model.asked)) == (100, 100, 100)
    assert "stop_when=max_steps(n)" in str(error)
    assert kinds(events)[-3:] == ["step_finish", "error", "finish"]
    assert len(stream.messages) == 201
    assert ms.events.decode_event(ms.events.encode_event(events[-2])).error.limit == 100  # type: ignore[union-attr]


# --- leaving, cancelling, operators ----------------------------------------------------------------------------------


async def test_it_needs_async_with() -> None:
    with pytest.raises(ms.errors.StreamNotEntered, match="run_steps"):
        await anext(ms.tools.run_steps(Model(step("x")), "x"))


async def test_leaving_early_stops_the_model_and_the_tools() -> None:
    stopped = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(True)

    model = Model([*step(call("hang"))[:-1], HANG])
    async with ms.tools.run_steps(model, "x", [hang]) as stream:
        async for event in stream:
            if isinstance(event, ms.ToolCall):
                await anyio.wait_all_tasks_blocked()
                break
    assert stopped == [True]
    assert model.sources[0].closed


async def test_cancelling_the_consumer_stops_the_model_and_the_tools() -> None:
    begun, stopped = anyio.Event(), []

    async def hang() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(True)

    model = Model([*step(call("hang"))[:-1], HANG])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, model, "x", [hang])
        await begun.wait()
        tasks.cancel_scope.cancel()
    assert stopped == [True]
    assert model.sources[0].closed


async def test_cancelling_while_the_first_step_opens() -> None:
    async def slow(messages: list[ms.Message]) -> Any:
        await anyio.sleep_forever()

    with anyio.move_on_after(0.02) as scope:
        async with ms.tools.run_steps(slow, "x"):
            raise AssertionError
    assert scope.cancelled_caught


async def test_a_run_that_was_never_entered_asks_nobody_and_can_be_closed() -> None:
    model = Model(step("x"))
    stream = ms.tools.run_steps(model, "x")
    await stream.aclose()
    assert model.asked == []
    with pytest.raises(ms.errors.StreamClosed):
        async with stream:
            raise AssertionError


async def test_the_contract_of_streams() -> None:
    def make() -> ms.Stream[ms.Event]:
        model = Model(step("A", call("add", {"a": 1, "b": 1}), call("add", {"a": 2, "b": 1})), step("B"))
        clock = FakeClock()
        return ms.tools.run_steps(model, "x", [add], clock=clock)

    await assert_stream_conformance(make)


async def test_operators_work_on_a_run_and_the_run_stays_readable() -> None:
    tracker = ms.tools.ToolTracker()
    stream = ms.tools.run_steps(Model(step("A", call("add", {"a": 1, "b": 1})), step("B")), "x", [add])
    assert await stream.tap(tracker.see).text() == "AB"
    assert tracker.completed == ["add"]
    assert len(stream.messages) == 4


def _chat(delta: str, reason: str) -> bytes:
    return f'data: {{"choices":[{{"delta":{delta},"finish_reason":"{reason}"}}]}}\n\ndata: [DONE]\n\n'.encode()


async def test_an_idle_clock_counts_the_bytes_of_all_steps() -> None:
    clock = FakeClock()

    async def body(text: bytes) -> AsyncIterator[bytes]:
        for _ in range(5):
            await clock.sleep(8)
            yield b": ping\n\n"
        yield text

    arguments = '"{\\"a\\":1,\\"b\\":2}"'
    made = f'{{"index":0,"id":"1","function":{{"name":"add","arguments":{arguments}}}}}'
    bodies = [
        _chat(f'{{"tool_calls":[{made}]}}', "tool_calls"),
        _chat('{"content":"3"}', "stop"),
    ]
    async with clock.autojump():
        stream = ms.tools.run_steps(
            lambda messages: ms.stream(body(bodies.pop(0)), "openai-chat"), "x", [add], clock=clock
        )
        assert await stream.timeout(first=10, idle=10, clock=clock).text() == "3"


@pytest.mark.parametrize(
    "protocol", ["ui-message", "millstream.events.v1", "openai-chat", "openai-responses", "anthropic-messages"]
)
async def test_a_run_can_be_served_on(protocol: str) -> None:
    events, _ = await run(Model(step("A", call("weather", {"city": "x"})), step("B")), "x", [weather])
    encoder = ms.encoder(protocol)
    body = b"".join(map(encoder.encode, events)) + encoder.close()
    assert b"A" in body
    assert b"B" in body


@pytest.mark.parametrize("given", ["openai:gpt", None])
def test_who_opens_no_steps_is_refused_at_the_call(given: Any) -> None:
    with pytest.raises(TypeError, match="open_step must be a function of the messages"):
        ms.tools.run_steps(given, "hi")
    with pytest.raises(TypeError, match="open_step must be a function of the messages"):
        ms.tools.run_steps(Model([]), "hi", handoffs={"other": given})
