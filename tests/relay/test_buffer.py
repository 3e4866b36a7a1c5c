"""What stands between a source and its log is bounded, and leaves in batches."""

from __future__ import annotations

import anyio
import pytest

from millstream.relay import _buffer
from millstream.relay._buffer import Buffer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([1] * 7, [3, 3, 1]),
        ([4, 4, 4], [2, 1]),
        ([50, 1, 1], [1, 2]),  # one that is too large goes alone
        ([1, 50, 1], [1, 1, 1]),
    ],
)
async def test_a_batch_is_bounded_in_items_and_bytes(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch, sizes: list[int], batches: list[int]
) -> None:
    monkeypatch.setattr(_buffer, "BATCH_ITEMS", 3)
    monkeypatch.setattr(_buffer, "BATCH_BYTES", 10)
    buffer = Buffer()
    items = [b"%d" % i * n for i, n in enumerate(sizes)]
    await buffer.put(items)
    taken = []
    while buffer:
        taken.append(buffer.take())
    assert [len(batch) for batch in taken] == batches
    assert [item for batch in taken for item in batch] == items
    assert buffer.take() == []


@pytest.mark.parametrize(("items", "n_bytes"), [(2, 100), (100, 2)])
async def test_who_fills_it_waits_for_room(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch, items: int, n_bytes: int
) -> None:
    monkeypatch.setattr(_buffer, "BUFFER_ITEMS", items)
    monkeypatch.setattr(_buffer, "BUFFER_BYTES", n_bytes)
    buffer = Buffer()
    put = 0

    async def fill() -> None:
        nonlocal put
        for i in range(5):
            await buffer.put([b"%d" % i])
            put += 1
        buffer.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fill)
        await anyio.wait_all_tasks_blocked()
        assert put == 1
        got = []
        while not buffer.closed or buffer:
            await buffer.wait()
            got += buffer.take()
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        await buffer.wait()  # nothing more comes


async def test_who_waits_can_be_woken_without_an_item(anyio_backend: str) -> None:
    buffer = Buffer()
    woken = anyio.Event()

    async def wait() -> None:
        await buffer.wait()
        woken.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not woken.is_set()
        buffer.wake()
        await woken.wait()
    assert buffer.take() == []
