"""Faults 1 to 6 and 40: the answer is cut, broken off or damaged: at every byte in memory, at many over sockets."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import anyio.lowlevel
import pytest

import millstream as ms
from faults.invariants import Seen, read
from faults.layers import LAYERS, Layer, Served, over
from faults.proxy import Hurt, Proxy

pytestmark = [
    pytest.mark.anyio,
    # httpx2 leaves its inner generators to the garbage collector if a body is not read to its end; trio warns of that.
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2.*garbage collected:ResourceWarning"),
]

LONG = os.environ.get("MILLSTREAM_LONG") == "1"
EDGE = 250  # so many places at both ends of a body, in the short form ...
STRIDE = 61  # ... and one in so many between them
N_OVER_SOCKETS = 2000 if LONG else 12


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest) -> Layer:
    return request.param


def places(body: bytes) -> list[int]:
    """In the long form, and of small bodies, all of them."""
    n = len(body)
    if LONG or n <= 2 * EDGE:
        return list(range(n + 1))
    return [*range(EDGE), *range(EDGE, n - EDGE, STRIDE), *range(n - EDGE, n + 1)]


def some(n: int, seed: str) -> list[int]:
    """Places on the wire, HTTP head and framing included."""
    middle = random.Random(seed).sample(range(2, n - 1), min(n - 3, N_OVER_SOCKETS))
    return sorted({1, *middle, n - 1})


async def wire_length(url: str, proxy: Proxy, served: Served) -> int:
    """How many bytes an undisturbed answer has on the wire, learned by asking for it."""
    seen = await over(LAYERS["stream"], url, served)
    seen.check(served.truth, "Completed")
    connection = proxy.connections[-1]
    while connection.n_bytes < len(served.body):  # noqa: ASYNC110 - it counts in a thread, after it has sent
        await anyio.sleep(0.001)
    return connection.n_bytes


async def chunks(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        await anyio.lowlevel.checkpoint()
        yield piece
    if error is not None:
        raise error


async def decoded(served: Served, *pieces: bytes, error: Exception | None = None) -> Seen:
    return await read(ms.stream(chunks(*pieces, error=error), served.api))


# --- in memory: every byte -------------------------------------------------------------------------------------------


async def test_fault_01_every_single_cut_gives_the_same_events(served: Served) -> None:
    for at in places(served.body):
        (await decoded(served, served.body[:at], served.body[at:])).check(served.truth, "Completed")


async def test_fault_02_any_cuts_give_the_same_events(served: Served) -> None:
    rng = random.Random(served.name)
    for _ in range(2000 if LONG else 30):
        at = [0, *sorted(rng.sample(range(len(served.body)), rng.randrange(2, 40))), len(served.body)]
        pieces = [served.body[a:b] for a, b in pairwise(at)]
        (await decoded(served, *pieces)).check(served.truth, "Completed")


SMALL = (
    b'\xef\xbb\xbfdata: {"id":"r","choices":[{"index":0,"delta":{"content":"\xc3\xa9\xe2\x80\xa8"}}]}\r\n\r\n'
    b': ping\r\rdata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


async def test_fault_02_all_pairs_of_cuts_of_a_small_body() -> None:
    assert len(SMALL) <= 512
    served = Served("small", "openai-chat", "", SMALL, 0)
    assert [event.type for event in served.truth] == ["start", "text_delta", "finish"]
    step = 1 if LONG else 4
    for a in range(0, len(SMALL), step):
        for b in range(a, len(SMALL), step):
            (await decoded(served, SMALL[:a], SMALL[a:b], SMALL[b:])).check(served.truth, "Completed")


async def test_fault_03_one_byte_at_a_time_gives_the_same_events(served: Served) -> None:
    pieces = [served.body[at : at + 1] for at in range(len(served.body))]
    (await decoded(served, *pieces)).check(served.truth, "Completed")


async def test_fault_04_the_end_at_every_byte_gives_a_prefix_and_says_so(served: Served) -> None:
    for at in places(served.body):
        seen = await decoded(served, served.body[:at])
        whole = seen.events[:-1] == served.truth[:-1] and seen.events[-1].reason == served.truth[-1].reason
        seen.check(served.truth, "Completed" if whole else "Truncated")


async def test_fault_05_a_reset_at_every_byte_gives_a_prefix_and_a_retryable_error(served: Served) -> None:
    for at in places(served.body):
        seen = await decoded(served, served.body[:at], error=ConnectionResetError("reset"))
        seen.check(served.truth, "Completed", "TransportError")
        if seen.error is not None:
            assert isinstance(seen.error, ms.ConnectionFailed)
            assert seen.error.retryable
            assert isinstance(seen.error.__cause__, ConnectionResetError)


# --- over real sockets, behind the proxy -----------------------------------------------------------------------------


async def test_fault_01_03_split_and_dripping_over_sockets(layer: Layer, served: Served) -> None:
    with Proxy(served.port) as proxy:
        n = await wire_length(proxy.url, proxy, served)
        for at in some(n, served.name)[:: 1 if LONG else 3]:
            proxy.hurt(Hurt("split", at, 0.001))
            (await over(layer, proxy.url, served)).check(served.truth, "Completed")
        proxy.hurt(Hurt("drip", 0))
        (await over(layer, proxy.url, served)).check(served.truth, "Completed")


@pytest.mark.parametrize("kind", ["cut", "half_close", "reset"])
async def test_fault_04_05_cut_half_closed_or_reset_over_sockets(layer: Layer, served: Served, kind: Any) -> None:
    with Proxy(served.port) as proxy:
        n = await wire_length(proxy.url, proxy, served)
        for at in some(n, served.name + kind):
            proxy.hurt(Hurt(kind, at))
            seen = await over(layer, proxy.url, served)
            seen.check(served.truth, "Completed", "TransportError")
            if seen.error is not None:
                assert isinstance(seen.error, ms.ConnectionFailed)
                assert seen.error.retryable


@pytest.mark.parametrize("kind", ["cut", "reset"])
async def test_fault_05_62_63_it_is_tried_again_only_before_content(served: Served, kind: Any) -> None:
    at_once = ms.RetryPolicy(connection=lambda n: 0.0, backoff=lambda n: 0.0, budget=None)
    with Proxy(served.port) as proxy:
        n = await wire_length(proxy.url, proxy, served)
        for at in some(n, served.name + kind)[::4]:
            proxy.hurt(Hurt(kind, at), Hurt())
            before = len(proxy.connections)
            seen = await over(LAYERS["provider"], proxy.url, served, retry=at_once)
            tries = len(proxy.connections) - before
            if seen.outcome == "Completed":
                assert tries in (1, 2)
            else:
                assert tries == 1, "what the consumer has seen is not asked for again"
                assert any(not isinstance(e, (ms.Start, ms.Error, ms.Usage, ms.Finish)) for e in seen.events)
            seen.check(served.truth, "Completed", "TransportError")


async def test_fault_40_damaged_framing_never_gives_events_that_were_not_sent(layer: Layer, served: Served) -> None:
    """A flipped byte in the HTTP head, in the framing of chunks or in the JSON: typed, bounded, nothing made up."""
    texts = {event.text for event in served.truth if isinstance(event, ms.TextDelta)}
    with Proxy(served.port) as proxy:
        n = await wire_length(proxy.url, proxy, served)
        for at in some(n, served.name + "flip"):
            proxy.hurt(Hurt("corrupt", at))
            seen = await over(layer, proxy.url, served)
            new = {e.text for e in seen.events if isinstance(e, ms.TextDelta)} - texts
            assert len(new) <= 1, "one byte is in one event"
            assert seen.seconds < 10
