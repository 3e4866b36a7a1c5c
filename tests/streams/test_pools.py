"""Byte buffers that are used again: bounded, never two owners, nothing left out, no view that changes."""

from __future__ import annotations

import threading

import anyio
import pytest

import millstream as ms
from millstream.streams.pools import BufferPool, Lease
from millstream.streams.processor import StreamProcessor
from millstream.testing import HANG, FakeClock, ScriptedSource

pytestmark = pytest.mark.anyio

FINISH = ms.Finish(ms.FinishReason.STOP)


def test_r0163_events_are_not_pooled() -> None:
    """Event pool creates empty events."""
    kept = [ms.TextDelta(f"text {i}") for i in range(10)]
    for i in range(100_000):
        ms.TextDelta(f"other {i}")
    assert [event.text for event in kept] == [f"text {i}" for i in range(10)]


def test_r0164_slabs_have_1024_bytes_by_default() -> None:
    """Buffer pool creates buffers of capacity 1024."""
    pool = BufferPool()
    assert len(pool.acquire()) == 1024
    with BufferPool(size=4096).lease() as buffer:
        assert buffer.capacity == 4096


def test_r0165_a_fresh_lease_is_empty_and_shows_no_old_bytes() -> None:
    """Buffer taken per event and reset to length 0."""
    pool = BufferPool(16)
    with pool.lease() as buffer:
        buffer.extend(b"secret")
    with pool.lease() as buffer:
        assert pool.free == 0, "it is the same slab"
        assert (len(buffer), bytes(buffer), bytes(buffer.view())) == (0, b"", b"")
        buffer.extend(b"x")
        assert bytes(buffer.view()) == b"x"
        with pytest.raises(TypeError, match="read-only"):
            buffer.view()[0] = 1
        buffer.clear()
        assert len(buffer) == 0


async def test_r0166_the_handler_sees_the_right_bytes() -> None:
    """Text bytes appended to the pooled buffer and processed."""
    seen: list[bytes] = []
    processor = StreamProcessor(lambda view: seen.append(bytes(view)))
    await processor.process(ScriptedSource(ms.TextDelta("é"), ms.Usage(), ms.TextDelta("b" * 2000), FINISH))
    assert seen == ["é".encode(), b"b" * 2000]


@pytest.mark.parametrize("end", ["finish", "end", "error", "handler", "cancel"])
async def test_r0167_nothing_is_left_out_on_any_path(end: str) -> None:
    """Buffer returned on every path (also on finish and error)."""
    last = {"finish": FINISH, "error": ConnectionError("x"), "cancel": HANG}.get(end, ms.Usage())
    source = ScriptedSource(ms.TextDelta("a"), ms.TextDelta("b"), last)
    seen: list[memoryview] = []

    async def handler(view: memoryview) -> None:
        seen.append(view)
        if len(seen) == 2 and end == "handler":
            raise KeyError("handler")
        if len(seen) == 2 and end == "cancel":
            await anyio.sleep_forever()

    processor = StreamProcessor(handler)
    expected: tuple[type[Exception], ...] = {"error": (ConnectionError,), "handler": (KeyError,)}.get(end, ())
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            try:
                await processor.process(source)
            except expected:
                pass
            else:
                assert not expected

        tasks.start_soon(run)
        await FakeClock().settle()
        tasks.cancel_scope.cancel()
    assert processor.buffer_pool.outstanding == 0
    assert processor.buffer_pool.free == 1
    assert source.closed
    with pytest.raises(ValueError, match="released"):
        bytes(seen[0])


def test_r0168_it_is_safe_across_threads() -> None:
    """Pool is bounded and safe across threads and free-threaded builds."""
    pool, wrong = BufferPool(64, max_buffers=3), []

    def work(me: int) -> None:
        mark = bytes([me]) * 64
        for _ in range(2000):
            with pool.lease() as buffer:
                buffer.extend(mark)
                if bytes(buffer) != mark:
                    wrong.append(me)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert pool.outstanding == 0
    assert pool.free <= 3


def test_r0168_what_comes_back_beyond_the_bound_is_dropped() -> None:
    pool = BufferPool(8, max_buffers=2)
    slabs = [pool.acquire() for _ in range(5)]
    assert pool.outstanding == 5
    for slab in slabs:
        pool.release(slab)
    assert (pool.outstanding, pool.free) == (0, 2)


def test_r0162_the_processor_owns_its_pool() -> None:
    """`StreamProcessor` owns an event pool and a buffer pool."""
    pool = BufferPool()
    assert StreamProcessor(print, buffer_pool=pool).buffer_pool is pool
    assert isinstance(StreamProcessor(print).buffer_pool, BufferPool)


async def test_r0169_processing_closes_the_stream() -> None:
    """`process_stream` closes the stream."""
    source = ScriptedSource(FINISH, ms.TextDelta("late"))
    await StreamProcessor(print).process(source)
    assert source.closed
    assert source.pulls == 1


# --- views -------------------------------------------------------------------------------------------------------


def test_a_slab_that_is_looked_at_is_not_used_again() -> None:
    pool = BufferPool(8)
    with pool.lease() as buffer:
        buffer.extend(b"keep")
        view = buffer.view()
        part = view[1:3]
    view.release()
    assert (pool.outstanding, pool.free) == (0, 0)
    with pool.lease() as buffer:
        buffer.extend(b"others")
    assert bytes(part) == b"ee"


def test_a_view_that_was_let_go_pins_nothing() -> None:
    pool = BufferPool(8)
    with pool.lease() as buffer:
        buffer.extend(b"gone")
        with buffer.view() as view:
            assert len(view) == 4
    assert pool.free == 1


def test_a_buffer_grows_beyond_its_slab_and_the_slab_comes_back() -> None:
    pool = BufferPool(4, max_bytes=64)
    with pool.lease() as buffer:
        buffer.extend(b"abcd")
        view = buffer.view()
        buffer.extend(memoryview(b"efgh"))
        buffer.extend(bytearray(b"ijkl"))
        assert bytes(buffer) == b"abcdefghijkl"
        assert bytes(view) == b"abcd"
        view.release()
        assert buffer.capacity == 16
        with pytest.raises(ms.LimitExceeded, match="65 bytes") as caught:
            buffer.extend(b"x" * 53)
        assert (caught.value.option, caught.value.limit) == ("max_bytes", 64)
        assert len(buffer) == 12
    assert pool.free == 1
    assert len(pool.acquire()) == 4


# --- wiping ------------------------------------------------------------------------------------------------------


def test_a_wiping_pool_overwrites_what_was_written() -> None:
    for secret in (b"hunter2", b"x" * 40):
        pool = BufferPool(16, wipe=True)
        with pool.lease() as buffer:
            buffer.extend(secret[:7])
            buffer.extend(secret[7:])
            larger = buffer._data
        assert pool.acquire() == bytes(16)
        assert larger == bytes(len(larger))


def test_without_wiping_it_is_left_as_it_is() -> None:
    pool = BufferPool(16)
    with pool.lease() as buffer:
        buffer.extend(b"hunter2")
    assert pool.acquire().startswith(b"hunter2")


# --- misuse ------------------------------------------------------------------------------------------------------


def test_a_slab_cannot_come_back_twice() -> None:
    pool = BufferPool(8)
    slab = pool.acquire()
    pool.release(slab)
    with pytest.raises(ms.UsageError, match="released already, or belongs to another pool"):
        pool.release(slab)
    with pytest.raises(ms.UsageError, match="another pool"):
        pool.release(bytearray(8))
    resized = pool.acquire()
    resized.append(0)
    pool.release(resized)
    assert pool.free == 0


def test_a_lease_is_over_when_it_is_over() -> None:
    lease = Lease(BufferPool(8))
    lease.release()
    lease.release()
    for use in (lease.view, lease.clear, lease.__enter__, lambda: lease.extend(b"x"), lambda: bytes(lease)):
        with pytest.raises(ms.UsageError, match="given back"):
            use()
    assert len(lease) == 0


@pytest.mark.parametrize("wrong", [{"size": 0}, {"max_buffers": 0}, {"max_bytes": 1}])
def test_nonsense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="need size >= 1"):
        BufferPool(**wrong)


def test_a_wiping_pool_overwrites_what_a_buffer_has_outgrown() -> None:
    pool = BufferPool(4, wipe=True)
    with pool.lease() as buffer:
        buffer.extend(b"secret")
        larger = buffer._data
        buffer.extend(b" and much, much more")
        assert bytes(buffer) == b"secret and much, much more"
        assert set(larger) == {0}
