"""Whatever a tool does, one result comes of it; what must not run does not run."""

from __future__ import annotations

import math
import sys
import threading
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.from_thread
import pydantic
import pytest

import millstream as ms
from millstream.testing import FakeClock
from tools.scripts import call

pytestmark = pytest.mark.anyio


async def result(fn: Any, arguments: Any = None, *, clock: Any = None, **options: Any) -> ms.ToolResult:
    if clock is not None:
        options["clock"] = clock
    runner = ms.tools.ToolRunner([ms.tool(name="t")(fn) if not isinstance(fn, ms.tools.Tool) else fn], **options)
    outcome = await runner.run(call("t", arguments, id="7"))
    assert isinstance(outcome, ms.ToolResult)
    assert (outcome.id, outcome.name) == ("7", "t")
    return outcome


# --- what it gives ---------------------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    n: int


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("text", "text"),
        (None, None),
        ({"a": [1, 2.5, None]}, {"a": [1, 2.5, None]}),
        ((1, 2), [1, 2]),
        (Point(3), {"x": 3}),
        ([Model(n=1)], [{"n": 1}]),
        (float("nan"), None),
        ({1: "a"}, {"1": "a"}),
        (b"\x00\xff", "AP8="),
        (2**70, 2**70),
    ],
    ids=repr,
)
async def test_r0110_the_result_is_what_the_tool_returns_as_json(value: Any, json: Any) -> None:
    async def give() -> Any:
        return value

    def give_in_a_thread() -> Any:
        return value

    for fn in (give, give_in_a_thread):
        assert await result(fn) == ms.ToolResult("7", "t", json)


async def test_parts_stay_parts() -> None:
    image = ms.ImagePart(data=b"\x89PNG")
    answer = await result(lambda: ["look:", image])
    assert ms.tool_message([answer]).parts[0].content == (ms.TextPart("look:"), image)
    assert (await result(lambda: image)).result is image


async def test_a_sync_tool_runs_in_a_worker_thread_and_an_async_one_does_not() -> None:
    here = threading.get_ident()

    async def inside() -> bool:
        return threading.get_ident() == here

    assert (await result(lambda: threading.get_ident() == here)).result is False
    assert (await result(inside)).result is True
    assert (await result(lambda: inside())).result is True  # a sync function that returns something to await


async def test_the_context_is_filled_in() -> None:
    def look(n: int, context: ms.ToolContext) -> Any:
        return [n, context.call_id, context.step, context.deps, len(context.messages), context.cancelled]

    runner = ms.tools.ToolRunner([look])
    outcome = await runner.run(
        call("look", {"n": 1}, id="9"), step=3, messages=[ms.Message("user", "x")], deps={"db": 1}
    )
    assert outcome == ms.ToolResult("9", "look", [1, "9", 3, {"db": 1}, 1, False])
    assert "context" not in ms.tools.tool_specs([look])[0].parameters["properties"]


async def test_a_call_without_an_id_is_known_by_its_number() -> None:
    runner = ms.tools.ToolRunner([ms.tool(name="t")(lambda: 1)])
    outcome = await runner.run(call("t", id="", index=4))
    assert isinstance(outcome, ms.ToolResult)
    assert (outcome.id, outcome.meta) == ("", {"index": 4})


async def test_a_custom_tool_gets_its_free_text() -> None:
    def patch(text: str) -> str:
        return text.upper()

    def two(a: str, b: str) -> None: ...

    free = ms.ToolCall("7", "t", 'say "no" 🙂'.encode(), 'say "no" 🙂')
    outcome = await ms.tools.ToolRunner([ms.tool(name="t")(patch)]).run(free)
    assert outcome == ms.ToolResult("7", "t", 'SAY "NO" 🙂')
    refused = await ms.tools.ToolRunner([ms.tool(name="t")(two)]).run(free)
    assert isinstance(refused, ms.ToolResult)
    assert "Expected `object`, got `str`" in str(refused.error)


async def test_a_call_without_arguments_is_an_empty_object() -> None:
    assert (await result(lambda: 5, b"")).result == 5


# --- what goes wrong -------------------------------------------------------------------------------------------------


def refuses() -> None:
    raise ValueError("no such city")


def silent() -> None:
    raise KeyError


def on_purpose() -> None:
    raise ms.ToolError("ask me tomorrow")


def stops_iterating() -> None:
    raise StopIteration(3)


async def stops_async_iterating() -> None:
    raise StopAsyncIteration


def exits() -> None:
    sys.exit(3)


async def cancelled_inside() -> None:
    raise anyio.get_cancelled_exc_class()


async def group() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stops_async_iterating)


def no_json() -> Any:
    return object()


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def surrogate() -> str:
    return "\udc80"


def surrogate_error() -> str:
    raise OSError("\udc80")


def endless() -> None:
    raise ValueError("x" * 10_000)


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (refuses, "ValueError: no such city"),
        (silent, "KeyError"),
        (on_purpose, "ask me tomorrow"),
        (stops_iterating, "StopIteration: 3"),
        (stops_async_iterating, "StopAsyncIteration"),
        (exits, "RuntimeError: the tool wanted to exit with 3"),
        (group, "StopAsyncIteration"),
        (no_json, "the tool returned a object that is no JSON"),
        (cyclic, "the tool returned a list that is no JSON"),
        (surrogate, "the tool returned a str that is no JSON"),
        (surrogate_error, "OSError: ?"),
        (endless, "x… (10012 characters)"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
async def test_a_tool_that_fails_gives_an_error_result(fn: Any, said: str) -> None:
    answer = await result(fn)
    assert answer.result is None
    assert said in str(answer.error)
    ms.events.encode_event(answer)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio nobody else can make a cancellation
async def test_a_tool_that_lets_out_a_cancellation_of_its_own_gives_an_error_result() -> None:
    answer = await result(lambda: 1, approve=lambda context: cancelled_inside())
    assert answer.error == "the call was cancelled from inside"
    assert (await result(cancelled_inside)).error == "the call was cancelled from inside"


async def test_cancelling_who_waits_is_no_error_result() -> None:
    with anyio.move_on_after(0.01) as scope:
        await result(anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_arguments_that_do_not_fit_never_reach_the_tool() -> None:
    def add(a: int, b: int) -> int:
        raise AssertionError

    answer = await result(add, {"a": 1, "b": ["x"]})
    assert answer.error == ("the arguments do not fit, so the tool was not run: Expected `int`, got `array` - at `$.b`")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (call("t", b'{"a":'), "the arguments are no JSON (unexpected end of data: line 1 column 6"),
        (call("t", {"a": 1}, validity=ms.events.Validity.INCOMPLETE), "the arguments were cut off"),
        (call("t", b'{"a":1', validity=ms.events.Validity.INCOMPLETE), "the arguments were cut off"),
        (
            call("t", {"a": 1}, validity=ms.events.Validity.INVALID),
            "the arguments are no JSON (refused by the provider)",
        ),
        (call("u"), "there is no tool 'u'; there are: t, described"),
        (call("described", b"{", validity=ms.events.Validity.INCOMPLETE), "the arguments were cut off"),
    ],
    ids=lambda value: getattr(value, "name", "-"),
)
async def test_what_must_not_run_does_not_run(made: ms.ToolCall, said: str) -> None:
    ran = []
    runner = ms.tools.ToolRunner([ms.tool(name="t")(lambda: ran.append(1)), ms.ToolSpec("described")])
    outcome = await runner.run(made)
    assert isinstance(outcome, ms.ToolResult)
    assert said in str(outcome.error)
    assert not ran


async def test_a_tool_that_somebody_else_runs_is_not_run_here() -> None:
    runner = ms.tools.ToolRunner([ms.ToolSpec("described")])
    assert not runner.runs(call("described"))
    with pytest.raises(ms.ToolError, match="somebody else runs it") as caught:
        await runner.run(call("described"))
    assert caught.value.tool == "described"


async def test_on_error_says_what_the_model_is_told_or_ends_the_run() -> None:
    async def later(context: ms.ToolContext, error: Exception) -> str:
        return f"{context.call.name} failed: {type(error).__name__}"

    def raises(context: ms.ToolContext, error: Exception) -> str:
        raise error

    assert (await result(refuses, on_error=lambda context, error: "try again")).error == "try again"
    assert (await result(refuses, on_error=later)).error == "t failed: ValueError"
    with pytest.raises(ValueError, match="no such city"):
        await result(refuses, on_error=raises)


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_a_tool_that_hangs_is_stopped_in_time() -> None:
    clock = FakeClock()
    async with clock.autojump():
        assert (
            await result(anyio.sleep_forever, clock=clock)
        ).error == "the tool gave no result within 30 s and was stopped"
        own: Any = ms.tool(name="t", timeout=2.5)(anyio.sleep_forever)
        begun = clock.now()
        assert "within 2.5 s" in str((await result(own, clock=clock)).error)
        assert clock.now() - begun == 2.5


@pytest.mark.parametrize("options", [{"timeout": None}, {"timeout": 5.0}])
async def test_no_limit_where_none_is_wanted(options: Any) -> None:
    clock = FakeClock()

    async def slow() -> str:
        await clock.sleep(10_000)
        return "done"

    made = ms.tool(name="t", timeout=math.inf if options["timeout"] else None)(slow)
    async with clock.autojump():
        assert (await result(made, clock=clock, **options)).result == "done"


async def test_a_thread_that_hangs_is_abandoned_and_told() -> None:
    told = threading.Event()

    def hang(context: ms.ToolContext) -> None:
        for _ in range(2000):
            if context.cancelled:
                told.set()
                return
            threading.Event().wait(0.005)

    assert "within 0.05 s" in str((await result(hang, timeout=0.05)).error)
    assert await anyio.to_thread.run_sync(told.wait, 10)


async def test_abandoned_threads_do_not_take_the_place_of_others() -> None:
    free = threading.Event()
    runner = ms.tools.ToolRunner(
        [ms.tool(name="t", timeout=0.02)(lambda: free.wait(20)), ms.tool(name="quick")(lambda: 1)], max_parallel=1
    )
    try:
        for _ in range(3):
            outcome = await runner.run(call("t"))
            assert isinstance(outcome, ms.ToolResult)
            assert outcome.error
        assert (await ms.tools.ToolRunner.run(runner, call("quick"))).result == 1  # type: ignore[union-attr]
    finally:
        free.set()


async def test_so_many_at_a_time_and_in_the_order_of_the_calls() -> None:
    clock = FakeClock()
    running, most, order = 0, 0, []

    async def work(n: int) -> None:
        nonlocal running, most
        order.append(n)
        running += 1
        most = max(most, running)
        await clock.sleep(10)
        running -= 1

    runner = ms.tools.ToolRunner([work], max_parallel=3, timeout=15, clock=clock)
    outcomes: list[Any] = []

    async def one(n: int) -> None:
        outcomes.append(await runner.run(call("work", {"n": n})))

    async with clock.autojump(), anyio.create_task_group() as tasks:
        for n in range(7):
            tasks.start_soon(one, n)
            await anyio.lowlevel.checkpoint()
    assert (most, sorted(order)) == (3, list(range(7)))
    assert [outcome.error for outcome in outcomes] == [None] * 7, "waiting for its turn is no part of the timeout"


@pytest.mark.parametrize("options", [{"max_parallel": 0}, {"timeout": 0}, {"timeout": -1}])
def test_limits_that_let_nothing_run(options: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        ms.tools.ToolRunner([], **options)


# --- approval --------------------------------------------------------------------------------------------------------


def echo(text: str = "") -> str:
    return text


async def deny_later(context: ms.ToolContext) -> Any:
    return ms.tools.Deny("not on a Sunday")


def broken(context: ms.ToolContext) -> bool:
    raise RuntimeError("no terminal")


@pytest.mark.parametrize(
    ("approve", "said"),
    [
        (lambda context: True, None),
        (lambda context: False, "the call was denied, so the tool was not run"),
        (lambda context: None, "the call was denied, so the tool was not run"),
        (lambda context: "yes", "the call was denied, so the tool was not run"),
        (lambda context: ms.tools.Deny(), "the call was denied, so the tool was not run"),
        (deny_later, "the call was denied, so the tool was not run: not on a Sunday"),
        (lambda context: deny_later(context), "the call was denied, so the tool was not run: not on a Sunday"),
        (broken, "the approval failed, so the tool was not run"),
    ],
)
async def test_only_a_clear_yes_runs_a_call(approve: Any, said: str | None) -> None:
    answer = await result(echo, {"text": "x"}, approve=approve)
    assert (answer.result, answer.error) == ("x" if said is None else None, said)


async def test_an_approval_may_change_the_arguments_which_are_validated_and_told() -> None:
    answer = await result(echo, {"text": "x"}, approve=lambda context: {"text": context.call.arguments["text"] + "y"})
    assert (answer.result, answer.meta) == ("xy", {"arguments": {"text": "xy"}})
    answer = await result(echo, {"text": "x"}, approve=lambda context: {"text": 3})
    assert "Expected `str`, got `int`" in str(answer.error)


async def test_a_tool_that_needs_an_approval_is_not_run_without() -> None:
    made = ms.tool(name="t", needs_approval=True)(echo)
    assert "nobody is there to give it" in str((await result(made)).error)
    assert (await result(made, approve=lambda context: True)).error is None


async def test_one_question_at_a_time_and_its_time_is_not_the_tools() -> None:
    asking = threading.Lock()

    def ask(context: ms.ToolContext) -> bool:
        if not asking.acquire(blocking=False):
            return False
        anyio.from_thread.run(clock.advance, 60)
        threading.Event().wait(0.01)
        asking.release()
        return True

    async def echo() -> None:
        pass

    clock = FakeClock()
    runner = ms.tools.ToolRunner([echo], approve=ask, timeout=30, clock=clock)
    outcomes: list[Any] = []

    async def one() -> None:
        outcomes.append(await runner.run(call("echo")))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(one)
    assert [outcome.error for outcome in outcomes] == [None] * 3


async def test_a_handoff_comes_as_it_is() -> None:
    def transfer() -> ms.Handoff:
        return ms.Handoff("billing", {"n": 1})

    assert await ms.tools.ToolRunner([transfer]).run(call("transfer")) == ms.Handoff("billing", {"n": 1})
