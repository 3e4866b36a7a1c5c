"""The first five lines that a user writes, over real HTTP: text as it arrives, and all of it at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import millstream as ms
from millstream.providers._result import Collector
from providers.live import KEY, Connection, Scripted, chunk, head
from providers.test_errors import END, GOOD, delta, event

pytestmark = pytest.mark.anyio


def model(server: Scripted) -> ms.Provider:
    return ms.provider("openai:m", base_url=server.url, api_key=KEY, retry=None)


async def test_r0002_r0003_both_forms_give_the_same() -> None:
    with Scripted(GOOD) as server:
        async with model(server).stream_text("hi") as events:
            seen = await events.collect()
        result = await model(server).generate_text("hi")
        assert server.asked[0] == server.asked[1]
    assert result.text == "".join(one.text for one in seen if isinstance(one, ms.TextDelta)) == "Hello"
    assert result.finish == seen[-1]
    assert result.start == seen[0]


async def test_r0068_text_is_shown_before_the_rest_is_sent() -> None:
    shown = threading.Event()

    def gated(connection: Connection) -> None:
        connection.send(head() + chunk(event(delta("Hel"))))
        if shown.wait(20):
            connection.send(b"".join(chunk(event(one)) for one in (delta("lo"), END, b"[DONE]")) + b"0\r\n\r\n")

    order = []
    with Scripted(gated) as server:
        async with model(server).stream_text("hi") as events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    order.append(one.text)
                    shown.set()
    assert order == ["Hel", "lo"]


def _seconds(collect: Callable[[int], object], n: int) -> float:
    """The best of a few runs: what else the machine does only adds to it."""

    def once() -> float:
        begun = time.thread_time()
        collect(n)
        return time.thread_time() - begun

    return min(once() for _ in range(5))


def _collected(n: int) -> object:
    collector = Collector()
    for _ in range(n):
        collector.add(PIECE)
    return collector.result()


def _accumulated(n: int) -> object:
    accumulator = ms.streams.TextAccumulator()
    for _ in range(n):
        accumulator.add(PIECE)
    return accumulator.text


PIECE = ms.TextDelta("abcdefgh" * 4)


@pytest.mark.parametrize("collect", [_collected, _accumulated])
def test_r0069_a_text_of_many_pieces_takes_linear_time(collect: Callable[[int], object]) -> None:
    found = collect(100_000)
    assert getattr(found, "text", found) == PIECE.text * 100_000
    # Four times as many pieces: 4 times as long if each is copied a few times, 16 times if all of it is each time.
    assert _seconds(collect, 100_000) < 10 * _seconds(collect, 25_000)


async def test_r0070_the_length_counts_characters_and_bytes_apart() -> None:
    parts = (delta("é"), delta("日本"), END, b"[DONE]")
    with Scripted(head() + b"".join(chunk(event(one)) for one in parts) + b"0\r\n\r\n") as server:
        collected = ms.streams.TextAccumulator()
        told = []
        async with model(server).stream_text("hi") as events:
            async for one in events:
                collected.add(one)
                if isinstance(one, ms.Finish):
                    told.append((len(collected), collected.n_bytes))
    assert told == [(3, 8)]


async def test_r0071_text_after_an_error_that_is_not_fatal_still_arrives() -> None:
    """Of two answers that are merged one breaks off: its error is an event, and the other one goes on."""
    seen = threading.Event()

    def breaks(connection: Connection) -> None:
        connection.send(head() + chunk(event(delta("Hel"))))
        connection.hang_up()

    def waits(connection: Connection) -> None:
        connection.send(head())
        if seen.wait(5):
            connection.send(b"".join(chunk(event(one)) for one in (delta("after"), END, b"[DONE]")) + b"0\r\n\r\n")

    with Scripted(breaks) as one, Scripted(waits) as other:
        answers = [model(server).stream_text("hi") for server in (one, other)]
        order = []
        async with ms.merge(*answers, on_error="isolate") as events:
            async for event_ in events:
                match event_:
                    case ms.Error(error=error):
                        order.append(type(error).__name__)
                        seen.set()
                    case ms.TextDelta(text=text):
                        order.append(text)
    assert order == ["Hel", "ConnectionFailed", "after"]


async def test_other_choices_do_not_mix_into_the_text() -> None:
    def other(text: str, index: int) -> dict[str, object]:
        return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}

    parts = (other("a", 0), other("x", 1), other("b", 0), END, b"[DONE]")
    with Scripted(head() + b"".join(chunk(event(one)) for one in parts) + b"0\r\n\r\n") as server:
        result = await model(server).generate_text("hi", extra={"n": 2})
    assert result.text == result.messages[0].text == "ab"


async def test_a_stream_can_be_timed_retried_and_piped_like_any_other() -> None:
    with Scripted(GOOD) as server:
        stream = (
            model(server).stream_text("hi").filter(lambda one: isinstance(one, ms.TextDelta)).map(lambda one: one.text)
        )
        async with stream as words:
            assert await words.collect() == ["Hel", "lo"]
