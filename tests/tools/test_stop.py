"""When a run ends: each condition, and how they are joined."""

from __future__ import annotations

from typing import Any

import pytest

import millstream as ms
from millstream.tools.stop import HARD_CAP
from tools.scripts import Model, call, run, step

pytestmark = pytest.mark.anyio


def search(q: str = "") -> str:
    return q


def send_email(to: str) -> str:
    return to


STEPS = [
    step("four", call("search"), usage=ms.Usage(5, 5, 10)),
    step("", call("send_email", {"to": 3}), usage=ms.Usage(5, 5)),
    step("eight", call("send_email", {"to": "x"}), usage=ms.Usage(5, 5, 10)),
    step("", call("search"), usage=ms.Usage(5, 5, 10)),
    step("end", usage=ms.Usage(5, 5, 10)),
]


async def steps(stop_when: Any) -> tuple[int, str]:
    """How many steps it takes, and what stopped them."""
    model = Model(*STEPS)
    events, _ = await run(model, "x", [search, send_email], stop_when=stop_when)
    assert len(model.asked) == events[-1].steps
    return events[-1].steps, events[-1].meta["stopped_by"]


async def later(state: ms.tools.RunState) -> bool:
    return len(state.steps) == 3


class Names:
    def __call__(self, state: ms.tools.RunState) -> bool:
        return len(state.calls) == 2


@pytest.mark.parametrize(
    ("condition", "n", "name"),
    [
        (None, 5, "answer"),
        (ms.max_steps(1), 1, "max_steps(1)"),
        (ms.max_steps(2), 2, "max_steps(2)"),
        (ms.max_steps(15), 5, "answer"),
        (ms.tool_seen("search"), 1, "tool_seen('search')"),
        (ms.tool_seen("nobody"), 5, "answer"),
        (ms.tools.text_length(4), 1, "text_length(4)"),
        (ms.tools.text_length(5), 3, "text_length(5)"),
        (ms.tools.max_tokens(10), 1, "max_tokens(10)"),
        (ms.tools.max_tokens(11), 2, "max_tokens(11)"),
        (ms.tools.max_tokens(10_000), 5, "answer"),
        (ms.tools.any_of(), 5, "answer"),
    ],
    ids=repr,
)
async def test_r0116_each_condition(condition: Any, n: int, name: str) -> None:
    assert await steps(condition) == (n, name)


async def test_r0117_tool_seen_stops_after_the_step_in_which_it_gave_a_result() -> None:
    assert await steps(ms.tool_seen("send_email")) == (3, "tool_seen('send_email')")
    events, stream = await run(Model(*STEPS), "x", [search, send_email], stop_when=ms.tool_seen("send_email"))
    results = [(one.name, one.result) for one in events if isinstance(one, ms.ToolResult)]
    assert results[-1] == ("send_email", "x"), "its result is part of the run"
    assert stream.messages[-1].role == "tool"


@pytest.mark.parametrize(
    ("condition", "n", "name"),
    [
        (ms.max_steps(15) | ms.tool_seen("send_email"), 3, "max_steps(15) | tool_seen('send_email')"),
        (ms.max_steps(2) | ms.tool_seen("send_email"), 2, "max_steps(2) | tool_seen('send_email')"),
        (ms.tools.any_of(ms.max_steps(15), ms.tool_seen("search")), 1, "max_steps(15) | tool_seen('search')"),
        (ms.max_steps(2) & ms.tool_seen("send_email"), 3, "max_steps(2) & tool_seen('send_email')"),
        (ms.tools.all_of(ms.max_steps(4), ms.tool_seen("search")), 4, "max_steps(4) & tool_seen('search')"),
        (ms.max_steps(2) & ms.max_steps(3) | later, 3, "(max_steps(2) & max_steps(3)) | later"),
        (later | ms.max_steps(4), 3, "later | max_steps(4)"),
        (ms.max_steps(4) & later, 5, "answer"),
        (later & ms.max_steps(2), 3, "later & max_steps(2)"),
        (ms.tools.any_of(ms.max_steps(9), later, ms.max_steps(4)), 3, "max_steps(9) | later | max_steps(4)"),
    ],
    ids=repr,
)
async def test_r0115_r0118_joined(condition: Any, n: int, name: str) -> None:
    assert await steps(condition) == (n, name)


@pytest.mark.parametrize(
    ("condition", "n", "name"),
    [
        (lambda state: state.text.endswith("eight"), 3, "<lambda>"),
        (later, 3, "later"),
        (ms.tools.custom(lambda state: True, "at once"), 1, "at once"),
        (ms.tools.custom(later), 3, "later"),
        (lambda state: state.steps[-1].duration > 99, 5, "answer"),
    ],
    ids=repr,
)
async def test_r0119_any_callable(condition: Any, n: int, name: str) -> None:
    assert await steps(condition) == (n, name)


async def test_r0119_any_object_that_can_be_called() -> None:
    assert (await steps(Names()))[0] == 2


@pytest.mark.parametrize("n", [0, -1, HARD_CAP + 1])
def test_max_steps_is_between_one_and_the_cap(n: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100"):
        ms.max_steps(n)


def test_all_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a condition"):
        ms.tools.all_of()


def test_what_is_no_condition_is_refused_at_once() -> None:
    for make in (ms.tools.custom, ms.tools.any_of, ms.tools.all_of, lambda given: ms.max_steps(2) | given):
        with pytest.raises(TypeError, match=r"such as max_steps\(5\), not 5"):
            make(5)
