"""What an item is taken to weigh, and the budget of all buffers."""

from __future__ import annotations

import dataclasses
import sys
import threading
from typing import Any

import pydantic
import pytest

import millstream as ms
from millstream.streams._weight import ITEM_BYTES, MAX_PARTS, BufferBudget, weigh, weight

MiB = 1 << 20


class Client:
    """An object of the application that leads to much."""

    def __init__(self) -> None:
        self.cache = ["x" * MiB]


@dataclasses.dataclass
class Row:
    text: str


class Model(pydantic.BaseModel):
    text: str


def with_meta(text: str) -> ms.TextDelta:
    event = ms.TextDelta("a")
    event.meta["logprobs"] = [text]
    return event


@pytest.mark.parametrize(
    "item",
    [
        ms.TextDelta("x" * MiB),
        with_meta("x" * MiB),
        ms.ReasoningDelta("", encrypted="x" * MiB),
        ms.ToolCallDelta(id="1", name="f", arguments="x" * MiB),
        ms.ToolCall(id="1", name="f", input=b"x" * (MiB // 2), arguments={"a": [{"b": "x" * (MiB // 2)}]}),
        ms.ToolResult(id="1", name="f", result={"x" * MiB: 1}),
        ms.Raw(data=b"x" * MiB),
        ms.File("image/png", data=b"x" * MiB),
        ms.Data(payload=Row("x" * MiB)),
        ms.Data(payload=Model(text="x" * MiB)),
        ms.Data(payload=[bytearray(MiB)]),
        ms.SSEParser().feed(b"data: " + b"x" * MiB + b"\n\n")[0],
        b"x" * MiB,
        memoryview(b"x" * MiB),
        {"a": {"b": ("x" * MiB,)}},
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_an_item_holds_is_counted_wherever_it_is(item: Any) -> None:
    assert MiB <= weight(item) < MiB + 2000
    assert weigh([item]) == [weight(item)]


def test_a_string_counts_what_it_takes_not_its_characters() -> None:
    assert weight(ms.TextDelta("\N{GRINNING FACE}" * 1000)) - weight(ms.TextDelta("x" * 1000)) > 2900


@pytest.mark.parametrize("item", [0, None, "", ms.TextDelta("a"), ms.Usage(), object(), len, Client])
def test_everything_weighs_something(item: Any) -> None:
    assert ITEM_BYTES <= weight(item) < 4000


def test_what_objects_of_the_application_lead_to_is_not_looked_at() -> None:
    assert weight(ms.Data(payload=Client())) < 1000


def test_the_value_that_the_deltas_of_an_object_share_is_not_counted_with_each() -> None:
    assert weight(ms.ObjectDelta(("a",), "set", "b", object={"a": "x" * MiB})) < 1000


def test_what_leads_to_itself_is_counted_once() -> None:
    loop: list[Any] = ["x" * MiB]
    loop.append(loop)
    assert MiB <= weight(loop) < MiB + 2000


def test_a_value_of_millions_of_parts_is_estimated_from_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    class Part(str):
        __slots__ = ()

        def __sizeof__(self) -> int:
            nonlocal looked_at
            looked_at += 1
            return 50

    n = 10 * MAX_PARTS
    estimate = weight(ms.Data(payload=[Part(i) for i in range(n)]))
    assert looked_at <= MAX_PARTS
    assert n * 50 < estimate < n * 2 * ITEM_BYTES


def test_depth_needs_no_recursion() -> None:
    deep: list[Any] = []
    for _ in range(5 * sys.getrecursionlimit()):
        deep = [deep]
    assert weight(deep) > 5 * sys.getrecursionlimit() * 30


# --- the budget ------------------------------------------------------------------------------------------------------


def test_the_budget_takes_what_has_room_and_refuses_the_rest() -> None:
    budget = BufferBudget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.take(40)
    assert (budget.held_bytes, budget.left_bytes) == (100, 0)
    budget.free(100)
    assert budget.take(100)


def test_always_is_counted_beyond_the_bound() -> None:
    budget = BufferBudget(100)
    assert budget.take(150, always=True)
    assert budget.left_bytes == -50
    budget.free(150)
    assert budget.held_bytes == 0


def test_what_was_left_behind_comes_back_at_the_next_look() -> None:
    budget = BufferBudget(100)
    assert budget.take(100)
    budget.leave(100)
    assert budget.take(100)
    assert budget.held_bytes == 100


def test_threads_lose_no_count() -> None:
    budget = BufferBudget()

    def work() -> None:
        for _ in range(2000):
            budget.take(7)
            budget.free(7)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.held_bytes == 0
