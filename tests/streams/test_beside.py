"""`Beside`: one task beside the current one, which has ended when the block has."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, get_running_tasks, move_on_after, sleep_forever
from anyio.lowlevel import checkpoint

from millstream.streams._beside import Beside

pytestmark = pytest.mark.anyio


class Work:
    """Attributes: began, ended: whether it did."""

    def __init__(self, *, hangs: bool) -> None:
        self.began = Event()
        self.ended = False
        self._hangs = hangs

    async def __call__(self) -> None:
        self.began.set()
        try:
            if self._hangs:
                await sleep_forever()
        finally:
            self.ended = True


@pytest.mark.parametrize("hangs", [True, False])
async def test_it_runs_beside_and_has_ended_after_the_block(hangs: bool) -> None:
    before = len(get_running_tasks())
    work = Work(hangs=hangs)
    beside = Beside(work)
    await beside.enter()
    await work.began.wait()
    await checkpoint()
    await beside.leave()
    assert work.ended
    assert len(get_running_tasks()) == before


async def test_a_block_that_is_cancelled_waits_for_it_all_the_same() -> None:
    class Slow(Work):
        async def __call__(self) -> None:
            try:
                await super().__call__()
            finally:
                for _ in range(5):
                    with move_on_after(1, shield=True):
                        await checkpoint()
                self.left: Any = True

    work = Slow(hangs=True)
    beside = Beside(work)
    with move_on_after(0.01) as scope:
        await beside.enter()
        try:
            await sleep_forever()
        finally:
            await beside.leave()
            assert work.left
    assert scope.cancelled_caught


async def test_a_block_that_is_left_at_once_leaves_nothing() -> None:
    before = len(get_running_tasks())
    beside = Beside(Work(hangs=True))
    await beside.enter()
    await beside.leave()
    assert len(get_running_tasks()) == before
