"""What a type checker must infer. Read by mypy in `test_typing.py`, never run."""

from collections.abc import Awaitable
from typing import Any, assert_type

import millstream as ms


@ms.tool
def weather(city: str, days: int = 1) -> str:
    return city


@ms.tool(name="sum", timeout=5.0)
async def add(a: int, b: int) -> int:
    return a + b


def plain(n: int) -> None: ...


def model(messages: list[ms.Message]) -> ms.Stream[ms.Event]:
    raise NotImplementedError


async def later(messages: list[ms.Message]) -> ms.Stream[ms.Event]:
    raise NotImplementedError


async def done(state: ms.tools.RunState) -> bool:
    raise NotImplementedError


def approve(context: ms.ToolContext) -> bool | ms.tools.Deny:
    raise NotImplementedError


async def cases() -> None:
    assert_type(weather("x", days=2), str)
    assert_type(await add(1, b=2), int)
    weather(3)  # type: ignore[arg-type]
    await add(1)  # type: ignore[call-arg]
    assert_type(weather.spec, ms.ToolSpec)
    assert_type(ms.tools.tool_specs([weather, plain, ms.ToolSpec("x")]), tuple[ms.ToolSpec, ...])
    stop = ms.max_steps(15) | ms.tool_seen("x") & done
    run = ms.tools.run_steps(
        model,
        "Weather?",
        [weather, add, plain, ms.ToolSpec("x")],
        stop_when=stop,
        handoffs={"a": later, "b": ms.tools.Agent(open_step=model, tools=[add])},
        approve=approve,
    )
    assert_type(run, ms.tools.Run)
    ms.tools.run_steps(later, [ms.Message("user", "x")], stop_when=lambda state: len(state.steps) > 3)
    ms.tools.run_steps(model, "x", stop_when=done)
    ms.tools.run_steps(model, "x", stop_when=3)  # type: ignore[arg-type]
    stream: ms.Stream[ms.Event] = run
    async with run as events:
        async for event in events:
            assert_type(event, ms.Event)
    assert_type(run.messages, list[ms.Message])
    assert_type(run.so_far.usage, ms.Usage | None)
    assert_type(await stream.text(), str)
    assert_type(stop(run.so_far), bool | Awaitable[bool])
    assert_type(await ms.tools.ToolRunner([plain]).run(ms.ToolCall("", "plain")), ms.ToolResult | ms.Handoff)
    assert_type(run.so_far.steps[0].results, tuple[ms.ToolResult, ...])
    context: Any = None
    assert_type(ms.ToolContext(call=context).cancelled, bool)
