"""The contract of streams, as a check that any producer can be put to."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio import CancelScope

__all__ = ["assert_stream_conformance"]


async def assert_stream_conformance(factory: Callable[[], AsyncIterator[Any]], *, max_steps: int = 1000) -> None:
    """Check that a producer keeps the rules of streams. Give it one that ends, soon and without error.

    The end is final; closing works before, in the middle and after, twice; nothing is left running when the consumer
    stops; cancelling the consumer at its first, second, third, ... wait ends it there, and never looks like the end of
    the stream.

    Args:
        factory: makes a fresh stream with the same items at each call; an async context manager is entered.
        max_steps: at how many waits to cancel, at most.

    Raises: AssertionError: says which rule was broken, and where.
    """
    items: list[Any] = []
    with _no_task_left("read to its end"):
        await _read(factory(), math.inf, items)
    for n_items in {0, 1, len(items) // 2}:
        got: list[Any] = []
        with _no_task_left(f"left after {n_items} items"):
            await _read(factory(), n_items, got)
        _check(got == items[:n_items], f"one run gave {items[:n_items]!r}, another one {got!r}")
    for step in range(1, max_steps + 1):
        got = []
        with _no_task_left(f"cancelled at wait {step}"), CancelScope() as scope:
            await _CancelAt(_read(factory(), math.inf, got), scope, step)
        if not scope.cancel_called:
            return  # it ran to its end before that step
        _check(got == items[: len(got)], f"cancelled at wait {step}: {got!r} is no beginning of {items!r}")
        ended = not scope.cancelled_caught
        _check(not ended or got == items, f"cancelled at wait {step}: after {len(got)} items it ended as if complete")


def _check(ok: bool, said: str) -> None:
    if not ok:
        raise AssertionError(said)


async def _read(stream: Any, n_items: float, got: list[Any]) -> None:
    entered = hasattr(stream, "__aenter__")
    if entered:
        stream = await stream.__aenter__()
    try:
        while len(got) < n_items:
            try:
                got.append(await anext(stream))
            except StopAsyncIteration:
                await _stays_ended(stream)
                break
    finally:
        try:
            with CancelScope(shield=True):
                for _ in range(2):
                    if hasattr(stream, "aclose"):
                        await stream.aclose()
        finally:
            if entered:  # outside the shield: a stream with tasks leaves its task group here
                await stream.__aexit__(None, None, None)


async def _stays_ended(stream: Any) -> None:
    try:
        item = await anext(stream)
    except StopAsyncIteration:
        return
    raise AssertionError(f"after its end it gave {item!r}")


@contextmanager
def _no_task_left(said: str) -> Iterator[None]:
    before = {task.id for task in anyio.get_running_tasks()}
    yield
    left = [task.name or "?" for task in anyio.get_running_tasks() if task.id not in before]
    _check(not left, f"{said}: tasks still run: {', '.join(left)}")


class _CancelAt:
    """Await something, and cancel a scope when it suspends for the nth time. The same on asyncio and trio."""

    def __init__(self, work: Awaitable[Any], scope: CancelScope, step: int) -> None:
        self._work = work
        self._scope = scope
        self._step = step

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._work.__await__()
        resume = steps.send
        value: Any = None
        left = self._step
        while True:
            try:
                waited_for = resume(value)
            except StopIteration as end:
                return end.value
            left -= 1
            if left == 0:
                self._scope.cancel()
            try:
                value, resume = (yield waited_for), steps.send
            except BaseException as error:
                value, resume = error, steps.throw
