"""Our own wire: what is encoded comes back."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import decode, errors_of, pieces, wire

NATIVE = pytest.mark.parametrize("protocol", ["millstream.events.v1", "millstream.events.v1+ndjson"])
EVENTS = [
    ms.Start("m", "i"),
    ms.TextDelta("Hé\n\u2028\r\n\0"),
    ms.ToolCall("a", "f", b"\xff{}", {}, ms.events.Validity.VALID),
    ms.Data({"x": [1]}, "mine"),
    ms.Usage(1, 2, 3),
    ms.Finish(ms.FinishReason.STOP, "stop", ms.Usage(1, 2, 3)),
]


def encode(protocol: str, events) -> bytes:
    encoder = ms.encoder(protocol)
    return b"".join(encoder.encode(event) for event in events) + encoder.close()


@NATIVE
def test_round_trip(protocol: str) -> None:
    body = encode(protocol, EVENTS)
    assert decode(protocol, body) == EVENTS
    assert decode(protocol, *pieces(body, 1)) == EVENTS


@NATIVE
def test_missing_ends_are_added(protocol: str) -> None:
    events = decode(protocol, encode(protocol, EVENTS[1:3]))
    assert [event.type for event in events] == ["start", "text_delta", "tool_call", "finish"]
    assert events[-1].reason == "incomplete"


@NATIVE
def test_nothing_comes_after_finish(protocol: str) -> None:
    assert decode(protocol, encode(protocol, [*EVENTS, EVENTS[1]])) == EVENTS


@NATIVE
def test_a_second_start_is_an_error(protocol: str) -> None:
    events = decode(protocol, encode(protocol, [EVENTS[0], EVENTS[0]]))
    assert [event.type for event in events] == ["start", "error", "finish"]


@NATIVE
@pytest.mark.parametrize(
    "bad", [b"{}", b"1", b'{"type":"odd"}', b'{"type":"data","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_what_is_no_event_is_a_protocol_error(protocol: str, bad: bytes) -> None:
    body = b"data: " + bad + b"\n\n" if protocol == "millstream.events.v1" else bad + b"\n"
    (error,) = errors_of(decode(protocol, body))
    assert isinstance(error, ms.errors.ProtocolError)


@NATIVE
def test_errors_travel(protocol: str) -> None:
    events = [
        ms.Start(),
        ms.Error(ms.RateLimited("slow", status=429, retry_after=2.5)),
        ms.Finish(ms.FinishReason.ERROR),
    ]
    assert wire(decode(protocol, encode(protocol, events))) == wire(events)


@NATIVE
def test_errors_and_words_of_failed_tools_are_masked_on_request(protocol: str) -> None:
    secret = "postgres://user:password@db"
    events = [
        ms.ToolResult("a", "f", error=secret), ms.ToolResult("b", "g", result=1),
        ms.ProviderToolResult("c", "h", None, error=secret), ms.Error(ms.StreamError(secret)),
    ]  # fmt: skip
    encoder = ms.encoder(protocol, expose_errors=False)
    body = b"".join(map(encoder.encode, events))
    assert secret.encode() not in body
    failed, worked, *_ = decode(protocol, body)[1:]
    assert failed.error
    assert worked == events[1]
    assert secret.encode() in encode(protocol, events)


@NATIVE
@pytest.mark.parametrize(
    ("given", "said"), [("Hi", "not str; text goes in a TextDelta"), (None, "not NoneType"), (1, "not int")]
)
def test_what_is_no_event_is_not_encoded(protocol: str, given: object, said: str) -> None:
    with pytest.raises(TypeError, match=f"an encoder takes an event, {said}"):
        ms.encoder(protocol).encode(given)


@NATIVE
def test_what_cannot_be_sent_is_an_encode_error(protocol: str) -> None:
    with pytest.raises(ms.errors.EncodeError, match="this data event cannot be sent as JSON"):
        ms.encoder(protocol).encode(ms.Data(object()))
