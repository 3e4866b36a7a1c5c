"""The first five lines that a user writes, over real HTTP: text as it arrives, and all of it at the end."""

from __future__ import annotations

import threading
from typing import Any

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
        if shown.wait(5):
            connection.send(b"".join(chunk(event(one)) for one in (delta("lo"), END, b"[DONE]")) + b"0\r\n\r\n")

    order = []
    with Scripted(gated) as server:
        async with model(server).stream_text("hi") as events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    order.append(one.text)
                    shown.set()
    assert order == ["Hel", "lo"]


def test_r0069_a_long_text_is_put_together_once() -> None:
    collector = Collector()
    for _ in range(100_000):
        collector.add(ms.TextDelta("ab"))
    assert collector.result().text == "ab" * 100_000


async def test_r0070_the_length_counts_characters_and_bytes_apart() -> None:
    body = head() + b"".join(chunk(event(one)) for one in (delta("é"), END, b"[DONE]")) + b"0\r\n\r\n"
    with Scripted(body) as server:
        result = await model(server).generate_text("hi")
    assert (len(result.text), len(result.text.encode())) == (1, 2)


async def test_r0071_text_after_an_error_that_is_not_fatal_still_arrives() -> None:
    async def recovered(provider: ms.Provider) -> Any:
        async with provider.stream_text("hi") as events:
            async for one in events:
                yield one
                if isinstance(one, ms.TextDelta) and one.text == "Hel":
                    yield ms.Error(ms.ProviderError("hiccup"), fatal=False)

    with Scripted(GOOD) as server:
        errors, text = 0, ""
        async with ms.Stream(recovered(model(server))) as events:
            async for one in events:
                errors += isinstance(one, ms.Error)
                text += one.text if isinstance(one, ms.TextDelta) else ""
    assert (errors, text) == (1, "Hello")


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
