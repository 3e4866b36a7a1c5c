"""Faults 3 and 12: what it costs. Processor time of this thread, so that a loaded machine does not count."""

from __future__ import annotations

import gc
import time
import tracemalloc
import weakref
from collections.abc import AsyncIterator

import anyio.lowlevel
import pytest

import millstream as ms
from providers.test_errors import delta, event


def seconds(n: int, size: int) -> float:
    """To decode one event of `n` bytes, fed in pieces of `size`; the best of three."""
    body = event(delta("x" * n))
    best = float("inf")
    for _ in range(3):
        parser = ms.SSEParser()
        feed = parser.feed
        begun = time.thread_time()
        for at in range(0, len(body), size):
            feed(body[at : at + size])
        best = min(best, time.thread_time() - begun)
    return best


def test_fault_03_dripping_is_linear() -> None:
    """Eight times the bytes of one event, one by one, take about eight times as long: no search begins anew."""
    small, large = seconds(20_000, 1), seconds(160_000, 1)
    assert large / small < 8 * 4, f"{small:.4f} s, {large:.4f} s"  # 64 times, if it did


@pytest.mark.parametrize("filler", [b":\n", b"id: 7\n", b"retry: 7\n", b"event: a\n", b": " + b"x" * 1000 + b"\n"])
def test_fault_03_11_what_is_not_kept_takes_no_memory(filler: bytes) -> None:
    """M2: sixteen megabytes of them, byte-exact memory of a parser that has seen them all."""
    parser = ms.SSEParser()
    block = filler * (65536 // len(filler))
    parser.feed(block)
    tracemalloc.start()
    try:
        for _ in range(256):
            parser.feed(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024


@pytest.mark.anyio
async def test_fault_05_a_failure_that_is_over_is_forgotten() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield event(delta("a"))
        await anyio.lowlevel.checkpoint()
        raise ConnectionResetError("reset")

    async def fail() -> weakref.ref[BaseException]:
        with pytest.raises(ms.ConnectionFailed) as caught:
            await ms.stream(body(), "openai-chat").collect()
        return weakref.ref(caught.value)

    kept = [await fail() for _ in range(5)]
    gc.collect(1)
    assert [one() for one in kept] == [None] * 5
