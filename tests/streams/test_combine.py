"""`fan_out`: handlers that each get every piece. Rows 178-183; `merge` is in operators/test_merge.py."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from anyio import Event, fail_after, get_running_tasks, sleep_forever
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import fan_out
from streams.probe import Probe

pytestmark = pytest.mark.anyio

FINISH = ms.Finish(ms.FinishReason.STOP)


def events(n: int) -> list[Any]:
    return [*(ms.TextDelta(str(i)) for i in range(n)), ms.ToolCall(id="1", name="f", input=b"{}"), FINISH]


@pytest.mark.parametrize("n", [0, 1, 4])
async def test_r0182_r0183_any_number_of_handlers_and_all_have_finished_at_the_end(n: int) -> None:
    got: list[list[Any]] = [[] for _ in range(n)]

    async def later(event: Any) -> None:
        await checkpoint()
        got[0].append(event)

    source = Probe(events(5))
    handlers = [later, *(into.append for into in got[1:])][:n]
    assert await fan_out(source, *handlers) == [0] * n
    assert got == [events(5)[:5]] * n
    assert source.closes == 1


@pytest.mark.parametrize("n", [3, 20, 60, 100])
async def test_a_handler_that_keeps_up_loses_nothing_of_a_long_network_chunk(n: int) -> None:
    got: list[Any] = []
    chunks = [[ms.TextDelta(str(i)) for i in range(n)] for _ in range(3)]
    assert await fan_out(ms.Stream.from_batches(chunk async for chunk in each(chunks)), got.append, buffer=20) == [0]
    assert len(got) == 3 * n


async def each(chunks: list[Any]) -> Any:
    for chunk in chunks:
        await checkpoint()
        yield chunk


async def test_r0181_a_handler_that_is_stuck_loses_and_delays_nobody() -> None:
    got: list[Any] = []
    released = Event()

    async def stuck(event: Any) -> None:
        await released.wait()

    def quick(event: Any) -> None:
        got.append(event)
        if len(got) == 100:
            released.set()

    with fail_after(5):
        assert await fan_out(Probe(events(100)), stuck, quick, buffer=20) == [79, 0]


async def test_lossless_if_asked_for() -> None:
    got: list[Any] = []

    async def slow(event: Any) -> None:
        for _ in range(5):
            await checkpoint()
        got.append(event)

    assert await fan_out(Probe(events(50)), slow, print_nothing, buffer=2, overflow="wait", select=None) == [0, 0]
    assert got == events(50)


@pytest.mark.parametrize(
    "select", [ms.ToolCall, (ms.ToolCall, ms.Finish), ms.EventType.TOOL_CALL, ms.filters.kinds(ms.ToolCall)]
)
async def test_what_is_handed_out_is_selected_by_kind_too(select: Any) -> None:
    got: list[Any] = []
    assert await fan_out(Probe(events(3)), got.append, select=select) == [0]
    assert got == events(3)[3:4] + [FINISH] * isinstance(select, tuple)
    async with ms.Stream(Probe(events(3))).broadcast(1, select=select) as (branch,):
        assert await branch.collect() == got


def print_nothing(event: Any) -> None:
    pass


async def test_a_handler_that_fails_cancels_the_others_and_its_error_comes_out_unchanged() -> None:
    error = KeyError("handler")

    def bad(event: Any) -> None:
        raise error

    async def silent(event: Any) -> None:
        await sleep_forever()

    source = Probe(ms.TextDelta(str(i)) for i in count())
    with pytest.raises(KeyError) as caught:
        await fan_out(source, silent, bad)
    assert caught.value is error
    assert (source.closes, source.closed_while_running) == (1, False)
    assert [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")] == []


async def test_an_error_of_the_source_comes_out_once() -> None:
    error = ValueError("source")
    with pytest.raises(ValueError, match="source") as caught:
        await fan_out(Probe(error=error), print_nothing)
    assert caught.value is error
