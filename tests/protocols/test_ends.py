"""How a body ends: terminators, truncations, limits and what lingers after."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import calls_of, check_lifecycle, decode, errors_of, lines, pieces, sse, text_of, wire

HELLO = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
CALL = {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}]}

LIMITED = [
    ("openai-chat", "max_event_bytes", sse(HELLO), sse({"choices": [{"delta": {"content": "x" * 500}}]})),
    ("ollama-chat", "max_line_bytes", lines({"message": {"content": "Hello"}}), lines({"response": "x" * 500})),
    ("millstream.events.v1", "max_event_bytes", sse({"type": "text_delta", "text": "Hello"}), sse("x" * 500)),
    ("millstream.events.v1+ndjson", "max_line_bytes", lines({"type": "text_delta", "text": "Hello"}), b"x" * 500),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "option", "small", "large"), LIMITED, ids=[case[0] for case in LIMITED])
def test_limits_end_the_stream_and_keep_what_came_before(protocol, option, small, large) -> None:
    limits = ms.Limits(**{option: 200})
    whole = decode(protocol, small + large + small, limits=limits)
    check_lifecycle(whole)
    (error,) = errors_of(whole)
    assert isinstance(error, ms.LimitExceeded)
    assert (error.option, error.limit, error.retryable) == (option, 200, False)
    assert text_of(whole) == "Hello"
    for size in (1, 7, 100):
        assert wire(decode(protocol, *pieces(small + large + small, size), limits=limits)) == wire(whole)
    assert errors_of(decode(protocol, small, limits=limits)) == []


def test_a_limit_passed_by_the_unfinished_last_line() -> None:
    events = decode(
        "ollama", lines({"message": {"content": "Hello"}}), b"x" * 300, limits=ms.Limits(max_line_bytes=200)
    )
    assert [event.type for event in events] == ["start", "text_delta", "error", "finish"]


def test_done_ends_the_stream() -> None:
    decoder = ms.decoder("openai")
    assert decoder.feed(sse(HELLO, STOP, "[DONE]"))[-1] == ms.Finish(ms.FinishReason.STOP, "stop")
    assert decoder.ended


@pytest.mark.parametrize("almost", ["[DONE", "[done]", "DONE", "[DONE] x", "[ DONE ]"])
def test_only_done_itself_is_done(almost: str) -> None:
    events = decode("openai", sse(HELLO, almost))
    (error,) = errors_of(events)
    assert isinstance(error, ms.errors.InvalidJSON)
    assert error.offset == len(sse(HELLO))
    assert events[-1].reason == "error"


def test_done_as_json_text_is_not_done() -> None:
    events = decode("openai", sse(HELLO, '"[DONE]"', HELLO, STOP))
    assert text_of(events) == "HelloHello"
    assert ms.Raw('"[DONE]"') in events


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" ", b"\r"])
def test_done_without_blank_line(end: bytes) -> None:
    events = decode("openai", sse(HELLO), b"data: [DONE]" + end)
    assert events[-1].reason == "stop"
    assert errors_of(events) == []


def test_done_without_finish_reason_is_complete() -> None:
    assert decode("openai", sse(HELLO, "[DONE]"))[-1] == ms.Finish(ms.FinishReason.STOP)
    events = decode("openai", sse(CALL, "[DONE]"))
    assert events[-1].reason == "tool_calls"
    assert [call.validity for call in calls_of(events)] == ["valid"]


def test_a_finish_reason_without_done_is_complete() -> None:
    assert decode("openai", sse(HELLO, STOP))[-1] == ms.Finish(ms.FinishReason.STOP, "stop")


def test_neither_is_incomplete() -> None:
    events = decode("openai", sse(HELLO))
    assert [event.type for event in events] == ["start", "text_delta", "finish"]
    assert events[-1].reason == "incomplete"


def test_a_cut_message_is_a_truncation() -> None:
    cut = sse(HELLO)[:-9]
    assert decode("openai", sse(HELLO), cut)[-1].reason == "incomplete"
    assert decode("openai", sse(HELLO, STOP), cut)[-1].reason == "stop"


def test_the_same_cut_message_with_more_after_it_is_an_error() -> None:
    events = decode("openai", sse(HELLO), sse(HELLO)[:-9], b"\n\n", sse(STOP))
    assert isinstance(errors_of(events)[0], ms.errors.InvalidJSON)


def test_what_lingers_after_the_end_is_ignored() -> None:
    decoder = ms.decoder("openai")
    body = sse(HELLO, STOP, "[DONE]")
    events = decoder.feed(body + sse(HELLO) + b"data: {bad\n\n")
    assert events == decode("openai", body)
    for more in (b"data: {bad\n\n", b"\xff", sse({"error": "late"})):
        assert decoder.feed(more) == []
    assert decoder.close() == []


def test_a_message_of_an_unexpected_shape_is_a_protocol_error_with_its_offset() -> None:
    events = decode("openai", sse(HELLO, {"choices": [{"delta": {"content": 5}}]}, HELLO))
    (error,) = errors_of(events)
    assert isinstance(error, ms.errors.ProtocolError)
    assert (error.offset, error.reason, error.provider) == (len(sse(HELLO)), "shape", "openai-chat")
    assert text_of(events) == "Hello"


def test_the_same_at_the_end_of_the_body_does_not_raise() -> None:
    body = b'data: {"type":"message_delta","delta":{"stop_reason":[1]}}'
    assert [event.type for event in decode("anthropic", body)] == ["start", "finish"]
    assert decode("anthropic", body, b"\n\n")[-1] == ms.Finish(ms.FinishReason.ERROR)


@pytest.mark.parametrize("data", [bytes, bytearray, memoryview], ids=lambda cls: cls.__name__)
def test_any_buffer(data) -> None:
    assert decode("openai", data(sse(HELLO, STOP))) == decode("openai", sse(HELLO, STOP))


def test_a_fed_buffer_may_be_reused() -> None:
    decoder = ms.decoder("openai")
    body = bytearray(sse(HELLO))
    events = decoder.feed(memoryview(body)[:20]) + decoder.feed(memoryview(body)[20:])
    body[:] = b"x" * len(body)
    assert text_of(events + decoder.close()) == "Hello"
