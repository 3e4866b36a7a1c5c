"""Faults 60 to 67: merged sources, one of which fails, stalls or floods; attempts that fail alone and all at once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import millstream as ms
from millstream.streams import Stream
from millstream.streams.retry import Retries, exponential, jittered
from providers.test_errors import END, delta, event
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bad", range(4))
@pytest.mark.parametrize("how", ["fails", "stalls", "floods"])
async def test_fault_60_one_of_four_sources_misbehaves(bad: int, how: str) -> None:
    """Isolated, the three others are delivered whole and in order, and soon."""

    def source(k: int) -> Probe:
        items = [(k, i) for i in range(50)]
        if k != bad:
            return Probe(items)
        return {
            "fails": lambda: Probe(items[:7], error=ms.ConnectionFailed("gone")),
            "stalls": lambda: Probe(items[:7], hang=True),
            "floods": lambda: Probe(((k, i) for i in count()), suspend=False),
        }[how]()

    sources = [source(k) for k in range(4)]
    got: dict[int, list[int]] = {k: [] for k in range(4)}
    n = n_foul = 0
    others = 3 * 50
    with anyio.fail_after(10):
        merged = Stream(sources[0]).merge(*map(Stream, sources[1:]), buffer=1, on_error="isolate")
        async with merged as events:
            while n - n_foul < others:
                one = await anext(events)
                if isinstance(one, ms.Error):
                    assert isinstance(one.error, ms.ConnectionFailed)
                    continue
                k, i = one
                got[k].append(i)
                n += 1
                n_foul += k == bad
                assert n_foul < 20 * 50, "the flood starves the others"
    for k in range(4):
        assert got[k] == list(range(len(got[k])))
        assert k == bad or len(got[k]) == 50
    assert [one.closes for one in sources] == [1] * 4


async def test_fault_60_fail_fast_closes_all() -> None:
    sources = [Probe(range(3), hang=True), Probe(range(3), error=ms.ConnectionFailed("gone")), Probe(hang=True)]
    got: list[Any] = []
    with pytest.raises(ms.ConnectionFailed):
        async with Stream(sources[0]).merge(*map(Stream, sources[1:])) as events:
            await drain(events, got)
    assert [one.closes for one in sources] == [1] * 3


async def test_fault_61_full_buffers_of_one_slot_never_lock_each_other() -> None:
    """Two streams, split and merged crosswise, each place for one item: everything gets through."""
    for turn in range(20):
        rng = random.Random(turn)

        async def numbers(begin: int, rng: random.Random = rng) -> AsyncIterator[int]:
            for i in range(begin, begin + 40):
                for _ in range(rng.randrange(3)):
                    await anyio.lowlevel.checkpoint()
                yield i

        got: list[int] = []
        with anyio.fail_after(20):
            one, two = Stream(numbers(0)).buffer(1), Stream(numbers(1000)).buffer(1)
            async with one.merge(two, buffer=1).buffer(1).map_ordered(_later, 1).buffer(1) as events:
                async for item in events:
                    got.append(item)
        assert sorted(got) == [*range(40), *range(1000, 1040)]
        assert [item for item in got if item < 1000] == list(range(40))


async def _later(item: int) -> int:
    await anyio.lowlevel.checkpoint()
    return item


async def test_fault_66_an_event_over_the_limit_is_the_end_whatever_the_policy() -> None:
    """Opening again would bring the same event again, for ever (MCP python-sdk#3338)."""
    opened = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal opened
        opened += 1
        yield event(delta("Hel")) + event(delta("x" * 5000)) + event(END)

    def make(*_: Any) -> Stream[Any]:
        return ms.stream(body(), "openai-chat", limits=ms.Limits(max_event_bytes=1000))

    policy = ms.RetryPolicy(max_attempts=50, backoff=lambda n: 0.0, connection=lambda n: 0.0)
    for options in ({}, {"replay": "restart"}, {"resume": lambda last: make()}):
        opened = 0
        with pytest.raises(ms.LimitExceeded):
            await make().retry(make, policy, **options).collect()  # type: ignore[call-overload]
        assert opened == 1


@pytest.mark.parametrize("asked", [None, 7.0, 600.0])
def test_fault_67_a_thousand_clients_do_not_come_back_together(asked: float | None) -> None:
    """Kolmogorov-Smirnov against the uniform distribution over the spread that the policy promises."""
    policy = ms.RetryPolicy(rate_limit=jittered(exponential(4.0)), budget=None)
    n = 1000
    error = ms.RateLimited("slow down", retry_after=asked)
    waits = sorted(Retries(policy).failed(error) for _ in range(n))
    begin, end = (8.0 * 0.75, 8.0 * 1.25) if asked is None else (min(asked, 60.0), min(asked, 60.0) * 1.25)
    assert begin <= waits[0]
    assert waits[-1] <= end
    distance = max(abs((i + 0.5) / n - (wait - begin) / (end - begin)) for i, wait in enumerate(waits))
    assert distance < 1.95 / n**0.5, "p < 0.001"
