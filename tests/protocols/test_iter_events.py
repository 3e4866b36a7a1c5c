"""The synchronous way in."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import pieces, sse

HELLO = sse({"choices": [{"delta": {"content": "Hello"}}]})
BODY = HELLO + sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]")


def test_any_iterable_of_bytes() -> None:
    kinds = ["start", "text_delta", "finish"]
    for chunks in ([BODY], pieces(BODY, 1), iter([memoryview(BODY)]), (b"", BODY)):
        assert [event.type for event in ms.iter_events(chunks, "openai")] == kinds


def test_events_come_as_soon_as_their_bytes() -> None:
    def chunks():
        yield HELLO
        pytest.fail("asked for more bytes than the first event needs")

    events = ms.iter_events(chunks(), "openai")
    assert [next(events).type, next(events).type] == ["start", "text_delta"]


def test_nothing_is_read_after_the_end() -> None:
    def chunks():
        yield BODY
        pytest.fail("read on after the end")

    assert list(ms.iter_events(chunks(), "openai"))[-1].reason == "stop"


def test_what_is_left_after_the_end_stays_in_the_source() -> None:
    def chunks():
        yield BODY
        yield b"the next one"

    source = chunks()
    assert list(ms.iter_events(source, "openai"))[-1].reason == "stop"
    assert list(source) == [b"the next one"]


def test_leaving_leaves_the_source_open() -> None:
    def chunks():
        yield HELLO
        yield BODY

    source = chunks()
    events = ms.iter_events(source, "openai")
    assert next(events).type == "start"
    events.close()
    assert list(source) == [BODY]


def test_none_among_the_chunks_is_no_end() -> None:
    events = ms.iter_events([HELLO, None, BODY], "openai")
    assert [next(events).type, next(events).type] == ["start", "text_delta"]
    with pytest.raises(TypeError, match="decoders read bytes, not None"):
        next(events)


def test_an_unknown_protocol_raises_at_the_call() -> None:
    with pytest.raises(ms.errors.UnknownProtocol):
        ms.iter_events([], "telex")


def test_a_fatal_error_is_raised_after_finish() -> None:
    seen = []
    with pytest.raises(ms.RateLimited) as caught:
        seen.extend(ms.iter_events([HELLO, sse({"error": {"code": 429}})], "openai", provider="here"))
    assert caught.value.provider == "here"
    seen = []
    with pytest.raises(ms.RateLimited):  # noqa: PT012
        for event in ms.iter_events([HELLO, sse({"error": {"code": 429}})], "openai"):
            seen.append(event.type)
    assert seen == ["start", "text_delta", "error", "finish"]


def test_a_truncation_is_told_by_finish_not_raised() -> None:
    assert list(ms.iter_events([HELLO], "openai"))[-1].reason == "incomplete"


def test_what_the_source_raises_comes_through() -> None:
    def chunks():
        yield HELLO
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(ms.iter_events(chunks(), "openai"))


def test_limits_are_passed_on() -> None:
    with pytest.raises(ms.LimitExceeded):
        list(ms.iter_events([HELLO], "openai", limits=ms.Limits(max_event_bytes=10)))


async def later():
    yield BODY


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (BODY, r"bytes: pass \[data\]"),
        ("text", "str, such as"),
        (None, "NoneType, such as"),
        (later, "function: call it"),
        (later(), "millstream.stream"),
    ],
    ids=["bytes", "str", "None", "function", "async"],
)
def test_what_is_no_iterable_of_bytes_is_a_type_error_at_the_call(chunks: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        ms.iter_events(chunks, "openai")
