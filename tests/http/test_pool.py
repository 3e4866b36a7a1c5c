"""The pool alone: a place is never lost, whoever leaves and whenever."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from millstream.http._pool import Pool

pytestmark = pytest.mark.anyio

A, B = ("a",), ("b",)


class Wire:
    """What the pool knows of a connection. Closing it takes a turn of the event loop."""

    expires_at = 0.0
    stale = False
    closes = 0

    def is_stale(self) -> bool:
        return self.stale

    async def aclose(self) -> None:
        self.closes += 1
        await anyio.lowlevel.checkpoint()


async def opened(pool: Pool, origin: Any, seconds: float | None = 0.5) -> Wire:
    wire = await pool.acquire(origin, seconds)
    if wire is None:
        wire = Wire()
        pool.opened(wire)
    return wire


async def all_places_are_free(pool: Pool, n: int = 1) -> None:
    for _ in range(n):
        await opened(pool, ("another",))
    with pytest.raises(httpx2.PoolTimeout):
        await pool.acquire(A, 0.01)


async def test_who_waits_for_another_origin_gets_the_place_and_the_connection_is_closed() -> None:
    pool = Pool(1, None, None)
    wire = await opened(pool, A)
    got: list[Wire] = []

    async def ask() -> None:
        got.append(await opened(pool, B))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await pool.release(wire, A)
    assert wire.closes == 1
    assert got != [wire]


async def test_what_is_released_after_the_end_is_closed() -> None:
    pool = Pool(1, None, None)
    wire = await opened(pool, A)
    await pool.aclose()
    assert wire.closes == 1
    await pool.release(wire, A)
    assert wire.closes == 2


@pytest.mark.parametrize("reusable", [True, False])
async def test_a_place_that_was_given_to_somebody_who_left_goes_on(reusable: bool, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("who has been given something is not cancelled there, nor by anyio: only by asyncio itself")
    pool = Pool(1, None, None)
    wire = await opened(pool, A)
    task = asyncio.create_task(pool.acquire(A, None))
    await anyio.wait_all_tasks_blocked()
    await (pool.release(wire, A) if reusable else pool.discard(None))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await opened(pool, A) is wire) is reusable


async def test_who_leaves_while_an_idle_one_is_closed_for_his_place_gives_it_back() -> None:
    pool = Pool(1, None, None)
    await pool.release(await opened(pool, A), A)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await pool.acquire(B, None)
    assert scope.cancelled_caught
    await all_places_are_free(pool)


async def test_a_stale_one_is_closed_once_though_several_find_it() -> None:
    pool = Pool(4, None, None)
    wires = [await opened(pool, A) for _ in range(4)]
    for wire in wires:
        await pool.release(wire, A)
        wire.stale = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, pool, B)
        tasks.start_soon(opened, pool, B)
    assert [wire.closes for wire in wires] == [1] * 4
    await all_places_are_free(pool, 2)


async def test_one_that_becomes_stale_while_another_is_closed_is_not_given_away() -> None:
    class Last(Wire):
        stale = True

        async def aclose(self) -> None:
            await super().aclose()
            first.stale = True

    pool = Pool(4, None, None)
    first = await opened(pool, A)
    last = Last()
    assert await pool.acquire(A, None) is None
    pool.opened(last)
    await pool.release(first, A)
    await pool.release(last, A)
    assert await opened(pool, A) not in (first, last)
    assert (first.closes, last.closes) == (1, 1)
    await all_places_are_free(pool, 3)


async def test_one_that_becomes_stale_on_its_way_to_somebody_who_waits_is_replaced() -> None:
    pool = Pool(1, None, None)
    wire = await opened(pool, A)
    got: list[Wire] = []

    async def ask() -> None:
        got.append(await opened(pool, A))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await pool.release(wire, A)
        wire.stale = True
    assert (got == [wire], wire.closes) == (False, 1)
    await pool.discard(got[0])
    await pool.aclose()
    assert wire.closes == 1
    assert await pool.acquire(A, 0.01) is None
