"""The table of operators for the contract suite: a line for each, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from anyio.lowlevel import checkpoint

from millstream.streams import Stream
from millstream.streams.monitor import StreamMonitor
from millstream.streams.retry import RetryPolicy
from streams.probe import Probe

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """One operator as it is tested. The source gives integers.

    Attributes:
        name: the test's id.
        build: puts the operator on a stream.
        out: what comes out for the items that go in.
        ahead: how many items of the source may be pulled beyond those that the consumed output was made of.
        needed: how many items of the source `n` items of output are made of.
        eager: it may pull before the first item is asked for, up to `ahead`.
        needs_tasks: it works only inside `async with`.
        before_error: what comes out before an error that follows the items; by default the same as before the end.
    """

    name: str
    build: Callable[[Stream[Any]], Stream[Any]]
    out: Callable[[Sequence[int]], list[Any]] = list
    ahead: int = 0
    needed: Callable[[int], int] = lambda n: n
    eager: bool = False
    needs_tasks: bool = False
    before_error: Callable[[Sequence[int]], list[Any]] | None = None

    def __str__(self) -> str:
        return self.name


def fn(item: int) -> int:
    return item * 10


async def fn_later(item: int) -> int:
    await checkpoint()
    return item * 10


async def even_later(item: int) -> bool:
    await checkpoint()
    return item % 2 == 0


async def even_or_odd(item: int) -> bool:
    await checkpoint()
    return True


def never(older: int, newer: int) -> None:
    return None


def tens(items: Sequence[int]) -> list[int]:
    return [item * 10 for item in items]


def evens(items: Sequence[int]) -> list[int]:
    return [item for item in items if item % 2 == 0]


def threes(items: Sequence[int]) -> list[list[int]]:
    return [list(items[i : i + 3]) for i in range(0, len(items), 3)]


def again() -> Stream[int]:
    raise AssertionError("an error that is not worth a retry, or comes after items, must not open a second attempt")


CASES = [
    Case("none", lambda s: s),
    Case("batched", lambda s: s.batched(3), threes, needed=lambda n: 3 * n),
    Case("batched timed", lambda s: s.batched(3, 60.0), threes, needed=lambda n: 3 * n, needs_tasks=True),
    Case("buffer", lambda s: s.buffer(3), ahead=4, eager=True, needs_tasks=True),
    Case("buffer of one", lambda s: s.buffer(1), ahead=2, eager=True, needs_tasks=True),
    Case("buffer conflate", lambda s: s.buffer(3, overflow="conflate"), ahead=4, eager=True, needs_tasks=True),
    Case("buffer drop_after", lambda s: s.buffer(3, overflow="drop_after"), ahead=4, eager=True, needs_tasks=True),
    Case("concat", lambda s: s.concat(Probe([100, 101])), lambda items: [*items, 100, 101], before_error=list),
    Case("debounce", lambda s: s.debounce(0.001, merge=never), ahead=1, needs_tasks=True),
    Case("filter", lambda s: s.filter(lambda item: item % 2 == 0), evens, needed=lambda n: 2 * n - 1),
    Case("filter async", lambda s: s.filter(even_later), evens, needed=lambda n: 2 * n - 1),
    Case("filter many", lambda s: s.filter(bool, even_later), lambda i: evens(i)[1:], needed=lambda n: 2 * n + 1),
    Case("flat_map", lambda s: s.flat_map(lambda i: [i, i]), lambda i: sorted([*i, *i]), needed=lambda n: (n + 1) // 2),
    Case("keep_alive", lambda s: s.keep_alive(60.0), needs_tasks=True),
    Case("map", lambda s: s.map(fn), tens),
    Case("map async", lambda s: s.map(fn_later), tens),
    Case("map_ordered", lambda s: s.map_ordered(fn_later, 2), tens, ahead=3, eager=True, needs_tasks=True),
    Case("map_ordered sync", lambda s: s.map_ordered(fn, 3), tens, ahead=4, eager=True, needs_tasks=True),
    Case("map_unordered", lambda s: s.map_unordered(fn_later, 1), tens, ahead=2, eager=True, needs_tasks=True),
    Case("merge", lambda s: s.merge(Probe(), buffer=3), ahead=4, eager=True, needs_tasks=True),
    Case("monitor", lambda s: s.monitor(StreamMonitor())),
    Case("monitor watched", lambda s: s.monitor(StreamMonitor(), every=60.0), needs_tasks=True),
    Case("on_event", lambda s: s.on_event(int, lambda item: None)),
    Case("pipe", lambda s: s.pipe(fn, fn_later, lambda item: item // 10), tens),
    Case("retry", lambda s: s.retry(again, RetryPolicy(budget=None))),
    Case(
        "scan",
        lambda s: s.scan(lambda total, item: total + item, 0),
        lambda i: [sum(i[: n + 1]) for n in range(len(i))],
    ),
    Case("skip", lambda s: s.skip(2), lambda items: list(items[2:]), needed=lambda n: n + 2),
    Case("smooth", lambda s: s.smooth()),
    Case("take", lambda s: s.take(1000)),
    Case("take_until", lambda s: s.take_until(lambda item: item == 1000)),
    Case("take_while", lambda s: s.take_while(even_or_odd)),
    Case("tap", lambda s: s.tap(fn_later)),
    Case("throttle", lambda s: s.throttle(1e6)),
    Case("zip", lambda s: s.zip(Probe(count())), lambda items: [(item, i) for i, item in enumerate(items)]),
    Case("timeout", lambda s: s.timeout(first=60.0, idle=60.0, progress=60.0, total=60.0)),
    Case(
        "pipeline of five",
        lambda s: s.map(fn_later).filter(lambda item: item >= 0).tap(fn).batched(2).flat_map(list).take(1000),
        tens,
        ahead=1,
    ),
    Case(
        "pipeline of buffers",
        lambda s: s.buffer(2).map(fn_later).buffer(2).filter(lambda item: True).keep_alive(60.0).buffer(1),
        tens,
        ahead=9,
        eager=True,
        needs_tasks=True,
    ),
]
