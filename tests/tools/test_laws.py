"""The laws of a run, held against random models, tools and ends: whatever happens, the stream can be relied upon."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.testing import FakeClock, Wait
from tools.scripts import Model, call

pytestmark = pytest.mark.anyio

SEEDS = 120


class World:
    """A random model with random tools."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.running = 0
        self.most = 0

    def tools(self) -> list[Any]:
        async def work(seconds: int) -> int:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self.clock.sleep(seconds)
            finally:
                self.running -= 1
            if seconds % 5 == 0:
                raise ValueError(seconds)
            return seconds

        return [work]

    def steps(self) -> list[list[Any]]:
        return [self._step(last=n == 0) for n in reversed(range(self.rng.randrange(1, 5)))]

    def _step(self, *, last: bool) -> list[Any]:
        rng, n_calls = self.rng, 0
        out: list[Any] = [ms.Start("m")]
        for _ in range(rng.randrange(6)):
            kind = rng.choice(["text", "text", "wait", "call", "call", "warning"])
            if kind == "call" and not last:
                arguments = rng.choice([{"seconds": rng.randrange(1, 60)}, {"seconds": "x"}, b"{", {}])
                name = rng.choice(["work", "work", "work", "nobody"])
                validity = rng.choice([ms.events.Validity.VALID] * 4 + [ms.events.Validity.INCOMPLETE])
                more = {"validity": validity} if isinstance(arguments, dict) else {}
                out.append(call(name, arguments, id=f"{rng.random()}", index=n_calls, **more))
                n_calls += 1
            elif kind == "wait":
                out.append(Wait(rng.randrange(1, 40)))
            elif kind == "warning":
                out.append(ms.Error(ms.StreamError("careful"), fatal=False))
            else:
                out.append(ms.TextDelta("x", rng.randrange(2)))
        if rng.random() < 0.15:
            return [*out, ms.ConnectionFailed("reset")]
        reason = ms.FinishReason.TOOL_CALLS if n_calls else ms.FinishReason.STOP
        return [*out, ms.Usage(1, 1, 2), ms.Finish(reason, "", ms.Usage(1, 1, 2))]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_laws_hold_whatever_happens(seed: int) -> None:
    world = World(seed)
    parallel = world.rng.randrange(1, 4)
    model = Model(*world.steps(), clock=world.clock)
    events: list[Any] = []
    failed = False
    stream = ms.tools.run_steps(
        model, "x", world.tools(), max_parallel=parallel, tool_timeout=50, clock=world.clock,
        eager=world.rng.random() < 0.7, stop_when=ms.max_steps(world.rng.randrange(1, 6)),
    )  # fmt: skip
    async with world.clock.autojump():
        try:
            async with stream:
                async for event in stream:
                    events.append(event)
        except ms.ConnectionFailed:
            failed = True

    kinds = [type(event) for event in events]
    assert kinds[:2] == [ms.Start, ms.StepStart]
    assert kinds[-1] is ms.Finish
    assert (kinds.count(ms.Start), kinds.count(ms.Finish)) == (1, 1)
    fatal = [event for event in events if isinstance(event, ms.Error) and event.fatal]
    assert len(fatal) == failed
    assert (events[-1].reason is ms.FinishReason.ERROR) == failed

    if failed:
        after = kinds[events.index(fatal[0]) + 1 :]
        assert after == [ms.StepFinish, ms.Finish], "nothing comes after an error but the end"
    open_step, unanswered, n_steps = 0, set(), 0
    for event in events[1:-1]:
        if isinstance(event, ms.StepStart):
            assert (open_step, event.step) == (0, n_steps + 1)
            open_step = n_steps = event.step
        elif isinstance(event, ms.StepFinish):
            assert event.step == open_step
            assert not unanswered, "every call has its result before its step ends"
            open_step = 0
        else:
            assert open_step, "everything happens inside a step"
            if isinstance(event, ms.ToolCall):
                unanswered.add(event.id)
            elif isinstance(event, ms.ToolResult):
                unanswered.remove(event.id)
                assert (event.result is None) != (event.error is None)
    assert open_step == 0
    assert events[-1].steps == n_steps == len(model.asked) == len(stream.so_far.steps)
    assert sum(step.duration for step in stream.so_far.steps) == pytest.approx(events[-1].meta["duration"])

    for before, after in zip(model.asked, model.asked[1:], strict=False):
        assert after[: len(before)] == before, "the conversation only grows"
    for step in stream.so_far.steps:
        assert [result.id for result in step.results] == [made.id for made in step.calls]
        assert [part.id for part in step.message.tool_calls] == [made.id for made in step.calls]
    assert world.running == 0
    assert world.most <= parallel
    assert all(source.closed for source in model.sources)


@pytest.mark.parametrize("seed", range(0, SEEDS, 4))
async def test_leaving_anywhere_leaves_nothing_behind(seed: int) -> None:
    world = World(seed)
    model = Model(*world.steps(), clock=world.clock)
    before = {task.id for task in anyio.get_running_tasks()}
    left = world.rng.randrange(12)
    async with world.clock.autojump():
        try:
            async with ms.tools.run_steps(model, "x", world.tools(), clock=world.clock) as stream:
                async for _ in stream:
                    left -= 1
                    if left < 0:
                        break
        except ms.ConnectionFailed:
            pass
    assert world.running == 0
    assert all(source.closed for source in model.sources)
    assert {task.id for task in anyio.get_running_tasks()} == before
