"""A body of bytes: four wires, errors in and around the body, and no read after the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import httpx2
import pytest
from anyio import CancelScope, create_task_group
from anyio.lowlevel import checkpoint

import millstream as ms
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

BODIES = {
    "openai": b'data: {"id":"r","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"id":"r","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "anthropic": b'data: {"type":"message_start","message":{"id":"r","model":"m"}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'data: {"type":"content_block_stop","index":0}\n\n'
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\ndata: {"type":"message_stop"}\n\n',
    "ollama": b'{"model":"m","message":{"content":"Hi"},"done":false}\n'
    b'{"model":"m","message":{"content":""},"done":true,"done_reason":"stop"}\n',
    "ollama-generate": b'{"model":"m","response":"Hi","done":false}\n{"response":"","done":true}\n',
}
BEGUN = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FAILED = BEGUN + b'data: {"error":{"type":"rate_limit_error","message":"slow down"}}\n\n'


async def chunks(*pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


def types(events: Iterable[ms.Event]) -> list[str]:
    return [str(event.type) for event in events]


@pytest.mark.parametrize("protocol", BODIES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_every_wire_and_kind_of_chunk(protocol: str, kind: Any) -> None:
    body = BODIES[protocol]
    pieces = [kind(b""), *(kind(body[i : i + 7]) for i in range(0, len(body), 7)), kind(b"")]
    events = await ms.stream(chunks(*pieces), protocol).collect()
    assert types(events) == ["start", "text_delta", "finish"]
    assert events[-1].reason == "stop"
    assert events == await ms.stream(chunks(body), protocol).collect() == list(ms.iter_events([body], protocol))


async def test_str_chunks_are_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="aiter_bytes"):
        await ms.stream(chunks("data: {}"), "openai").collect()


async def test_what_is_no_source_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="iter_events"):
        ms.stream([b"x"], "openai")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int"):
        ms.stream(1, "openai")  # type: ignore[arg-type]
    with pytest.raises(ms.errors.UnknownProtocol, match=r"anthropic-messages, .*openai-chat"):
        ms.stream(Probe(), "nonsense")


async def test_an_error_in_the_body_is_an_event_and_then_raised() -> None:
    source = Probe([FAILED])
    events: list[Any] = []
    with pytest.raises(ms.RateLimited, match="slow down") as caught:
        await drain(ms.stream(source, "openai", provider="acme"), events)
    assert types(events) == ["start", "text_delta", "error", "finish"]
    assert events[2].error is caught.value
    assert events[3].reason == "error"
    assert caught.value.provider == "acme"
    assert (source.pulls, source.closes) == (1, 1)


async def test_an_error_event_of_our_own_wire_counts_also_if_finish_comes_in_a_later_chunk() -> None:
    encoder = ms.encoder("millstream.events.v1")
    finish = ms.Finish(ms.FinishReason.ERROR)
    pieces = [encoder.encode(event) for event in (ms.Start(), ms.Error(ms.Overloaded("busy")), finish)]
    for body in (pieces, [b"".join(pieces)]):
        with pytest.raises(ms.Overloaded, match="busy"):
            await ms.stream(chunks(*body), "millstream.events.v1").collect()


async def test_a_body_that_stops_early() -> None:
    events = await ms.stream(chunks(BEGUN), "openai").collect()
    assert events[-1].reason == "incomplete"
    with pytest.raises(ms.IncompleteStream) as caught:
        await ms.stream(chunks(BEGUN), "openai", require_finish=True).collect()
    assert caught.value.partial == events
    assert (await ms.stream(chunks(BODIES["openai"]), "openai", require_finish=True).text()) == "Hi"


async def test_nothing_is_read_after_the_wire_has_ended() -> None:
    source = Probe([BODIES["openai"]], hang=True)
    assert await ms.stream(source, "openai").text() == "Hi"
    assert (source.pulls, source.closes) == (1, 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.ReadError("x"), ms.ConnectionFailed),
        (httpx.ReadError("x"), ms.ConnectionFailed),
        (httpx.RemoteProtocolError("x"), ms.ConnectionFailed),
        (ConnectionResetError("x"), ms.ConnectionFailed),
        (httpx.ReadTimeout("x"), ms.StreamTimeout),
        (httpx2.ReadTimeout("x"), ms.StreamTimeout),
        (TimeoutError("x"), ms.StreamTimeout),
    ],
    ids=repr,
)
async def test_a_failure_of_the_connection(error: Exception, expected: type[ms.StreamError]) -> None:
    source = Probe([BEGUN], error=error)
    events: list[Any] = []
    with pytest.raises(expected) as caught:
        await drain(ms.stream(source, "openai"), events)
    assert types(events) == ["start", "text_delta", "error", "finish"]
    assert events[2].error is caught.value
    assert caught.value.__cause__ is error
    assert caught.value.retryable
    assert source.closes == 1


async def test_any_other_exception_passes_unchanged() -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        await ms.stream(Probe([BEGUN], error=error), "openai").collect()
    assert caught.value is error
    assert types(error.partial) == ["start", "text_delta"]  # type: ignore[attr-defined]


async def test_an_endless_body_without_events_can_be_cancelled() -> None:
    def comments() -> Iterable[bytes]:
        for _ in range(10_000):
            yield b": keep-alive\n\n"
        raise AssertionError("never met a checkpoint")

    source = Probe(comments(), suspend=False)
    with CancelScope() as scope:
        async with create_task_group() as group:

            async def cancel() -> None:
                scope.cancel()

            group.start_soon(cancel)
            await ms.stream(source, "openai").collect()
    assert scope.cancelled_caught
    assert source.closes == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://x.test", r"client.stream\(\"POST\", url, ...\)"),
        (b"data: {}", r"iter_events\(\[data\], protocol\)"),
        (chunks, "function; call it"),
    ],
    ids=["address", "bytes", "function"],
)
def test_likely_mistakes_are_told_what_to_do(source: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        ms.stream(source, "openai")  # type: ignore[call-overload]


async def test_chunks_that_somebody_parsed_are_refused() -> None:
    with pytest.raises(TypeError, match="before anything has parsed it"):
        await ms.stream(chunks({"a": 1}), "openai").collect()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_a_large_chunk_is_decoded_in_slices(kind: Any) -> None:
    """Nobody else runs while a chunk is decoded: of 10 MB at once, that would be 0.2 s."""
    whole = BEGUN * 5000
    batches = [batch async for batch in ms.stream(chunks(kind(whole)), "openai").batches()]
    small = [event async for event in ms.stream(chunks(*[BEGUN] * 5000), "openai")]
    assert [event for batch in batches for event in batch] == small
    assert len(batches) >= len(whole) // (64 * 1024)
    assert max(map(len, batches)) <= 64 * 1024 // len(BEGUN) + 2


async def test_a_large_chunk_without_events_lets_others_run() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with create_task_group() as tasks:
        tasks.start_soon(others)
        assert await ms.stream(chunks(b"\n" * 20_000_000, BEGUN), "openai").text() == "Hi"
        tasks.cancel_scope.cancel()
    assert turns > 5


async def test_an_error_of_ours_in_the_body_is_not_wrapped() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield BEGUN
        raise error

    error = ms.LimitExceeded("too much", option="max_inflation", limit=1)
    got: list[Any] = []
    with pytest.raises(ms.LimitExceeded) as caught:
        await drain(ms.stream(body(), "openai"), got)
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert types(got)[1] == "text_delta"
