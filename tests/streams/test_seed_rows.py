"""Rows of the seeds that speak of streams as such: laziness, one end, closing, cancelling, what the API shows."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream import streams
from millstream.streams import Stream
from millstream.testing import HANG, FakeClock, ScriptedSource

pytestmark = pytest.mark.anyio

BODY = b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\ndata: {"choices":[{"delta":{"content":"lo"}}]}\n\n'
END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def opened(*steps: Any) -> tuple[Stream[Any], ScriptedSource[Any]]:
    source = ScriptedSource(*steps)
    return Stream(source), source


async def test_r0001_events_are_delivered_as_they_arrive() -> None:
    stream = ms.stream(ScriptedSource(BODY, HANG), protocol="openai-chat")
    async with stream as events:
        got = [await anext(events) for _ in range(3)]
    assert [event.text for event in got if isinstance(event, ms.TextDelta)] == ["Hel", "lo"]


class Refused:
    async def __aenter__(self) -> Any:
        raise ConnectionRefusedError

    async def __aexit__(self, *exc_info: object) -> None:
        pass


async def test_r0004_a_failure_to_open_is_raised_before_the_body() -> None:
    entered = False
    with pytest.raises(ms.ConnectionFailed):
        async with ms.stream(Refused(), protocol="openai-chat"):
            entered = True
    assert not entered
    async with ms.stream(ScriptedSource(BODY, ConnectionResetError()), protocol="openai-chat") as events:
        entered = True
        with pytest.raises(ms.ConnectionFailed):
            await events.collect()
    assert entered


async def test_r0005_r0184_the_block_owns_the_stream_also_when_its_body_fails() -> None:
    stream, source = opened(1, 2)
    with pytest.raises(KeyError, match="body"):
        async with stream:
            raise KeyError("body")
    assert source.closed


async def test_r0016_the_consumer_cannot_write() -> None:
    stream, _ = opened()
    assert not {"send", "put", "put_nowait", "send_nowait", "asend"} & set(dir(stream))


async def test_r0017_closing_is_done_when_it_returns() -> None:
    before = {task.id for task in anyio.get_running_tasks()}
    stream, source = opened(1, HANG)
    async with stream.monitor(ms.StreamMonitor(), every=60.0) as events:
        await anext(events)
        await events.aclose()
        assert source.closed
    assert {task.id for task in anyio.get_running_tasks()} == before


async def test_r0018_closing_may_be_repeated_and_come_from_another_task() -> None:
    stream, source = opened(1, HANG)
    await anext(stream)
    async with anyio.create_task_group() as tasks:

        async def close() -> None:
            await FakeClock().settle()
            await stream.aclose()
            await stream.aclose()

        tasks.start_soon(close)
        with pytest.raises(ms.StreamClosed):
            await anext(stream)
    assert source.closed
    ended, _ = opened(1)
    await ended.collect()
    await ended.aclose()


def test_r0019_r0022_each_layer_works_alone_and_without_an_event_loop() -> None:
    messages = ms.SSEParser().feed(BODY)
    assert [message.data[:10] for message in messages] == ['{"choices"'] * 2
    decoder = ms.decoder("openai-chat")
    events = [*decoder.feed(BODY), *decoder.feed(END), *decoder.close()]
    assert "".join(event.text for event in events if isinstance(event, ms.TextDelta)) == "Hello"


async def test_r0020_r0021_both_framings_at_every_cut() -> None:
    ndjson = b'{"message":{"content":"Hel"}}\n{"message":{"content":"lo"},"done":true,"done_reason":"stop"}'
    for body, protocol in ((BODY + END, "openai-chat"), (ndjson, "ollama")):
        for i in range(len(body) + 1):
            stream = ms.stream(ScriptedSource(body[:i], body[i:]), protocol=protocol)
            assert await stream.text() == "Hello", f"{protocol} cut at {i}"


async def test_r0023_events_are_consumed_by_plain_code() -> None:
    said = []
    async with ms.stream(ScriptedSource(BODY, END), protocol="openai-chat") as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    said.append(text)
                case ms.Finish(reason=reason):
                    said.append(str(reason))
    assert said == ["Hel", "lo", "stop"]


async def test_r0024_a_slow_consumer_slows_the_producer() -> None:
    stream, source = opened(*range(100))
    for n in range(1, 10):
        await anext(stream)
        await FakeClock().settle()
        assert source.pulls == n
    await stream.aclose()


async def test_r0025_r0187_cancelling_goes_through_the_whole_chain() -> None:
    source = ScriptedSource(1, HANG)
    clock = FakeClock()
    async with clock.autojump():
        with clock.move_on_at(0.1) as scope:
            await Stream(source).map(str).filter(bool).collect()
    assert scope.cancelled_caught
    assert source.cancelled
    assert source.closed


async def test_r0054_after_finish_nothing_is_pulled() -> None:
    stream, source = opened(ms.Finish(ms.FinishReason.STOP), ms.TextDelta("late"))
    await stream.process({})
    assert source.pulls == 1


async def test_r0055_a_missing_finish_is_an_end_unless_one_is_required() -> None:
    assert await ms.stream(ScriptedSource(BODY), protocol="openai-chat").text() == "Hello"
    with pytest.raises(ms.IncompleteStream):
        await ms.stream(ScriptedSource(BODY), protocol="openai-chat", require_finish=True).collect()


@pytest.mark.parametrize("end", [ms.Finish(ms.FinishReason.STOP), ms.Error(ms.StreamError("x")), None])
async def test_r0056_processing_closes_the_stream_on_every_way(end: Any) -> None:
    stream, source = opened(*[step for step in (ms.TextDelta("x"), end) if step is not None])
    try:
        await stream.process({})
    except ms.StreamError:
        assert isinstance(end, ms.Error)
    assert source.closed


async def test_r0186_r0190_a_deadline_around_the_loop_is_a_timeout_and_closes() -> None:
    stream, source = opened(1, HANG)
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await stream.collect()
    assert source.closed


async def test_r0188_r0245_an_error_ends_the_loop_once_and_unchanged() -> None:
    error = ms.StreamError("third")
    stream, source = opened(1, 2, error)
    seen: list[int] = []
    with pytest.raises(ms.StreamError) as caught:
        await stream.run(seen.append)
    assert caught.value is error
    assert (seen, source.pulls) == ([1, 2], 3)


async def test_r0189_r0240_the_end_of_the_source_is_the_normal_end() -> None:
    stream, _ = opened(1, 2, 3)
    assert [item async for item in stream] == [1, 2, 3]
    assert stream.state == "finished"


async def test_r0234_r0215_nothing_happens_before_the_first_pull() -> None:
    stream, source = opened(1)
    chain = stream.map(str).filter(bool)
    await FakeClock().settle()
    assert source.pulls == 0
    assert aiter(chain) is chain
    await chain.aclose()


async def test_r0236_r0241_an_error_comes_once_and_then_the_end() -> None:
    stream, _ = opened(1, ConnectionError("x"))
    assert await anext(stream) == 1
    with pytest.raises(ConnectionError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize("how", ["end", "error", "break", "cancel"])
async def test_r0237_the_source_is_closed_on_every_exit(how: str) -> None:
    steps = {"end": [1], "error": [1, KeyError("x")], "break": [1, 2], "cancel": [1, HANG]}[how]
    stream, source = opened(*steps)
    with anyio.CancelScope() as scope:
        try:
            async with stream:
                async for _ in stream:
                    if how == "break":
                        break
                    if how == "cancel":
                        scope.cancel()
        except KeyError:
            assert how == "error"
    assert source.closed


async def test_r0238_a_source_that_never_waits_can_be_cancelled() -> None:
    class Endless:
        n = 0

        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            self.n += 1
            return self.n

    source = Endless()
    with anyio.CancelScope() as scope:
        async for n in Stream(source):
            if n == 10:
                scope.cancel()
    assert scope.cancelled_caught
    assert source.n <= 10 + 64


async def test_r0239_cancelling_is_never_taken_for_an_end() -> None:
    stream, _ = opened(1, HANG)
    ended = False
    with anyio.CancelScope() as scope:
        async for _ in stream:
            scope.cancel()
        ended = True
    assert not ended
    assert scope.cancelled_caught


async def test_r0242_an_error_comes_without_an_item() -> None:
    stream, source = opened("a", "b", ValueError("x"))
    got: list[str] = []
    with pytest.raises(ValueError, match="x"):
        await stream.run(got.append)
    assert got == source.given == ["a", "b"]


async def test_r0244_who_stops_pulls_no_more() -> None:
    stream, source = opened(*range(9))
    async with stream:
        async for item in stream:
            if item == 3:
                break
    await FakeClock().settle()
    assert source.pulls == 4


async def test_r0247_any_async_iterable_will_do() -> None:
    async def generator() -> AsyncIterator[int]:
        for i in range(4):
            await checkpoint()
            yield i

    assert await Stream(generator()).map(lambda i: i * 2).filter(lambda i: i > 2).collect() == [4, 6]


def public_signatures() -> list[tuple[str, str]]:
    found = []
    for name in {*ms.__all__, *streams.__all__}:
        thing = getattr(ms, name, None) or getattr(streams, name, None)
        members = [thing, *(member for key, member in inspect.getmembers(thing) if not key.startswith("_"))]
        for member in members:
            if callable(member):
                try:
                    found.append((name, str(inspect.signature(member))))
                except (TypeError, ValueError):
                    continue
    return found


def test_r0233_r0297_r0298_no_channel_is_public() -> None:
    signatures = public_signatures()
    assert len(signatures) > 100
    bad = [(name, text) for name, text in signatures if "Queue" in text or "MemoryObject" in text]
    assert bad == []
    assert not {"Queue", "Buffer", "Channel"} & {*ms.__all__, *streams.__all__}


def wire(*messages: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(message) + b"\n\n" for message in messages)


def test_r0042_citations_on_the_wire_are_an_event_at_their_place() -> None:
    cited = {"type": "char_location", "cited_text": "green", "document_title": "Notes", "start_char_index": 0}
    block = {"type": "text", "text": ""}
    body = wire(
        {"type": "message_start", "message": {"id": "m", "model": "x", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grass."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": cited}},
    )
    _, text, citations = ms.decoder("anthropic-messages").feed(body)
    assert isinstance(text, ms.TextDelta)
    assert citations.type is ms.EventType.CITATIONS
    assert isinstance(citations, ms.Citations)
    assert [(one.title, one.text, one.start) for one in citations.citations] == [("Notes", "green", 0)]


def test_r0043_a_refusal_on_the_wire_is_a_safety_event() -> None:
    _, safety = ms.decoder("openai-chat").feed(wire({"choices": [{"delta": {"refusal": "No."}}]}))
    assert safety.type is ms.EventType.SAFETY
    assert safety == ms.Safety("refusal", "refuse", note="No.")


async def test_r0045_a_recoverable_error_is_seen_and_the_text_goes_on() -> None:
    busy = ms.Error(ms.Overloaded("busy"), fatal=False)
    stream, _ = opened(ms.TextDelta("a"), busy, ms.TextDelta("b"))
    assert await stream.collect() == [ms.TextDelta("a"), busy, ms.TextDelta("b")]
    assert busy.type is ms.EventType.ERROR
