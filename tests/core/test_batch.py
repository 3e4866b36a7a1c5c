"""`Serving`: what is ready is served without a coroutine, and nobody can tell; `apply` and `select`: loops in C."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from millstream.core._batch import Serving, apply, select

BACKENDS = [
    pytest.param("asyncio", id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param("trio", id="trio"),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Lists(Serving[Any]):
    """Serves lists, after a checkpoint each if `wait`; then ends."""

    def __init__(self, *lists: list[Any], wait: bool = False) -> None:
        self._lists = list(lists)
        self._wait = wait
        self.refills = 0

    async def _refill(self) -> list[Any]:
        self.refills += 1
        if self._wait:
            await checkpoint()
        return self._lists.pop(0) if self._lists else []


def value_of(coroutine: Any) -> Any:
    """What it returns without a suspension."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


ODD: list[Any] = [
    None,
    (),
    (1, 2),
    ((1,),),
    ValueError("an item"),
    StopIteration(5),
    StopAsyncIteration(),
    ValueError,
    [],
    0,
]


@pytest.mark.anyio
@pytest.mark.parametrize("wait", [False, True])
async def test_every_item_comes_as_it_is_in_order(wait: bool) -> None:
    got = [item async for item in Lists(ODD, ODD[:1], ODD[2:5], wait=wait)]
    assert len(got) == len(ODD) + 4
    assert all(a is b for a, b in zip(got, [*ODD, *ODD[:1], *ODD[2:5]], strict=True))


@pytest.mark.parametrize("item", ODD, ids=repr)
@pytest.mark.parametrize("step", [lambda c: c.send(None), next], ids=["send", "next"])
def test_a_result_that_python_code_sees_is_wrapped_once(item: Any, step: Callable[[Any], Any]) -> None:
    stream = Lists([0, item])
    assert value_of(anext(stream)) == 0
    with pytest.raises(StopIteration) as stop:
        step(anext(stream))
    assert stop.value.value is item


@pytest.mark.anyio
async def test_anext_with_and_without_default() -> None:
    for wait in (False, True):
        stream = Lists([1, (2,)], [3], wait=wait)
        assert await anext(stream) == 1
        assert await anext(stream, "end") == (2,)
        assert await anext(stream, "end") == 3
        assert await anext(stream, "end") == "end"
        assert await anext(stream, None) is None
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


def test_items_of_a_batch_cost_one_refill() -> None:
    stream = Lists([1, 2, 3], [4])
    assert [value_of(anext(stream)) for _ in range(4)] == [1, 2, 3, 4]
    assert stream.refills == 2


def test_an_abandoned_await_loses_nothing() -> None:
    stream = Lists([1, 2, 3])
    assert value_of(anext(stream)) == 1
    _ = anext(stream)
    anext(stream).close()
    kept = anext(stream)
    assert value_of(anext(stream)) == 2
    assert value_of(kept) == 3


@pytest.mark.parametrize(
    "use", [lambda c: c.send(None), next, lambda c: c.throw(KeyError)], ids=["send", "next", "throw"]
)
def test_a_second_await_of_the_same_is_refused(use: Callable[[Any], Any]) -> None:
    stream = Lists([1, 2, 3])
    value_of(anext(stream))
    once = anext(stream)
    assert value_of(once) == 2
    with pytest.raises(RuntimeError, match="already awaited"):
        use(once)
    once.close()
    assert value_of(anext(stream)) == 3


def test_a_thrown_exception_comes_out_and_takes_no_item() -> None:
    stream = Lists([1, 2])
    value_of(anext(stream))
    pending = anext(stream)
    with pytest.raises(KeyError):
        pending.throw(KeyError("x"))
    with pytest.raises(RuntimeError, match="already awaited"):
        pending.send(None)
    assert value_of(anext(stream)) == 2


def test_sending_a_value_at_the_beginning_is_refused() -> None:
    stream = Lists([1, 2])
    value_of(anext(stream))
    with pytest.raises(TypeError, match="non-None"):
        anext(stream).send(5)
    assert value_of(anext(stream)) == 2


@pytest.mark.anyio
async def test_a_kept_await_waits_if_others_took_the_items() -> None:
    stream = Lists([1, 2], [3, 4], wait=True)
    assert await anext(stream) == 1
    kept, with_default = stream.__anext__(), anext(stream, None)
    assert await anext(stream) == 2
    assert await kept == 3
    assert await with_default == 4
    assert stream.refills == 2


@pytest.mark.anyio
async def test_cancellation_reaches_a_kept_await_and_takes_nothing() -> None:
    stream = Lists([1, 2], [3], wait=True)
    await anext(stream)
    kept = stream.__anext__()
    await anext(stream)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await kept
    assert scope.cancelled_caught
    assert await anext(stream) == 3


@pytest.mark.anyio
async def test_an_await_can_be_a_task() -> None:
    got = []

    async def read(awaitable: Coroutine[Any, Any, Any]) -> None:
        got.append(await awaitable)

    stream = Lists([1, 2], [3], wait=True)
    for _ in range(3):
        async with anyio.create_task_group() as group:
            awaitable = stream.__anext__()
            assert isinstance(awaitable, Coroutine)
            group.start_soon(read, awaitable)
    assert got == [1, 2, 3]


def test_asyncio_makes_a_task_of_it() -> None:
    async def main() -> list[Any]:
        stream = Lists([1, 2], [3])
        return [await asyncio.create_task(stream.__anext__()) for _ in range(3)]

    assert asyncio.run(main()) == [1, 2, 3]


@pytest.mark.anyio
async def test_what_refilling_raises_comes_unchanged() -> None:
    class Broken(Lists):
        async def _refill(self) -> list[Any]:
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await anext(Broken())
    with pytest.raises(NotImplementedError):
        await anext(Serving())


def test_the_rest_is_served_no_more() -> None:
    stream = Lists([1, 2, 3], [4])
    assert stream._rest() == []
    assert value_of(anext(stream)) == 1
    assert stream._rest() == [2, 3]
    assert stream._rest() == []
    assert value_of(anext(stream)) == 4


def test_a_batch_that_its_maker_shortens_is_not_read_beyond_its_end() -> None:
    batch = [1, 2, 3]
    stream = Lists(batch, [4])
    assert value_of(anext(stream)) == 1
    batch.clear()
    assert value_of(anext(stream)) == 4


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(TypeError):
        value_of(anext(Lists((1,))))  # type: ignore[arg-type]


def test_an_exception_that_somebody_keeps_is_not_used_again() -> None:
    stream = Lists(list(range(6)))
    value_of(anext(stream))
    kept = []
    for _ in range(3):
        try:
            next(anext(stream))  # type: ignore[call-overload]
        except StopIteration as stop:
            kept.append(stop)
    assert [stop.value for stop in kept] == [1, 2, 3]
    del kept
    with pytest.raises(StopIteration) as stop_:
        next(anext(stream))  # type: ignore[call-overload]
    assert (stop_.value.value, stop_.value.__context__) == (4, None)


def test_the_exception_that_carries_an_item_has_no_traceback_of_ours() -> None:
    """Which costs more than all else, and keeps the exception from being used again: `tp_iternext`, since 3.12."""
    stream = Lists([1, 2])
    assert value_of(anext(stream)) == 1
    try:
        next(anext(stream))  # type: ignore[call-overload]
    except StopIteration as stop:
        trace = stop.__traceback__
    assert trace is not None
    assert trace.tb_next is None


def test_no_reference_is_lost_or_kept() -> None:
    class Item:
        pass

    items = [Item() for _ in range(50)]
    seen = weakref.WeakSet(items)
    before = [sys.getrefcount(item) for item in items]
    steps: list[Any] = [lambda c: c.send(None), next]
    for step in steps:
        stream = Lists(list(items))
        value_of(anext(stream))
        for _ in range(1, len(items)):
            with pytest.raises(StopIteration):
                step(anext(stream))
        kept = anext(stream)
        kept.close()
        del stream, kept
        gc.collect()
        assert [sys.getrefcount(item) for item in items] == before
    del items
    gc.collect()
    assert len(seen) == 0


def test_a_cycle_through_a_kept_await_is_collected() -> None:
    stream: Any = Lists([1, 2])
    value_of(anext(stream))
    stream.me = anext(stream)
    stream.items = [stream]
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None


def test_a_subclass_keeps_its_type_parameters() -> None:
    class Mine(Lists):
        pass

    assert Mine([1])._rest() == []
    assert Serving[int].__origin__ is Serving  # type: ignore[attr-defined]


# --- loops -----------------------------------------------------------------------------------------------------------


def test_apply_stops_at_another_type_and_leaves_the_rest() -> None:
    items, out = iter([1, 2, 3, 4]), list[Any]()
    assert apply(lambda item: "three" if item == 3 else item * 2, items, out, int) == (3, "three")
    assert (out, list(items)) == ([2, 4], [4])
    assert apply(str, iter([1, 2]), out, str) is None
    assert out == [2, 4, "1", "2"]


def test_select_takes_bools_and_one_more_type() -> None:
    items, out = iter([1, 2, 3, 4, 5, 6]), list[Any]()
    answers = {1: True, 2: False, 3: 0, 4: 7, 5: "odd", 6: True}
    assert select(answers.__getitem__, items, out, int) == (5, "odd")
    assert (out, list(items)) == ([1, 4], [6])
    assert select(bool, iter([0, 8]), out, bool) is None
    assert out == [1, 4, 8]


@pytest.mark.parametrize("loop", [apply, select])
def test_what_came_before_an_exception_is_there(loop: Any) -> None:
    out: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        loop(lambda item: bool(1 // (3 - item)) or True, count(1), out, bool)
    assert len(out) == 2
    with pytest.raises(TypeError):
        loop(str, 5, out, str)


def test_a_source_that_awaits_who_waits_for_it_is_refused_and_goes_on() -> None:
    class Itself(Serving[int]):
        async def _refill(self) -> list[int]:
            with pytest.raises(ValueError, match="already executing"):
                waiting.send(None)
            return [1]

    waiting = anext(Itself())
    assert value_of(waiting) == 1
