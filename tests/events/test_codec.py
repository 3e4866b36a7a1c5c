"""Events as JSON, there and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream import errors

USAGE = ms.Usage(1, 2, 3, 4, 5, 6, {"a": [1, None, "é"]})
EVENTS = [
    ms.Start("m", "i"), ms.TextDelta("x", 1, 2, stream_id="s"), ms.ReasoningDelta("x", 1, 2, "sig", "enc"),
    ms.ObjectDelta(("a", 0), "set", [1]), ms.ToolCallDelta("a", "f", "{", 1, 2),
    ms.ToolCall("a", "f", b"\x00\xff", None, ms.events.Validity.INVALID, 1, 2), ms.ToolResult("a", "f", {"x": 1}, "no"),
    ms.Citations((ms.Citation("u", "t", "s", "x", 0, 1),), 2), ms.Safety("c", "block", 0.5, "n", 1), USAGE,
    ms.Finish(ms.FinishReason.LENGTH, "max", USAGE, 2, {0: "a", 1: "b"}), ms.Handoff("t", [1]), ms.Data({"x": 1}, "n"),
    ms.StepStart(1), ms.StepFinish(1, ms.FinishReason.STOP, USAGE, 0.5), ms.File("image/png", b"\x89PNG", "u", 1),
    ms.Raw("{", "odd"), ms.ProviderToolCall("a", "search", {"q": [1]}, 2),
    ms.ProviderToolResult("a", "search", [1], "no", 2),
]  # fmt: skip
FACTS = {
    "retryable": True, "retry_after": 1.5, "provider": "p", "offset": 0, "reason": "r", "snippet": b"\xff", "line": 3,
    "option": "max_line_bytes", "limit": 9, "content_type": "text/html", "status": 400, "code": "c", "request_id": "q",
}  # fmt: skip
STREAM_ERRORS = [cls for name in errors.__all__ if issubclass(cls := getattr(errors, name), errors.StreamError)]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_round_trip(event: ms.Event) -> None:
    line = ms.events.encode_event(event)
    assert b"\n" not in line
    assert ms.events.decode_event(line) == event
    assert ms.events.decode_event(line.decode()) == event
    assert json.loads(line)["type"] == event.type


def test_every_kind_is_covered() -> None:
    assert {event.type for event in EVENTS} | {ms.EventType.ERROR} == set(ms.EventType)


text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text,
    lambda v: st.lists(v) | st.dictionaries(text, v),
)


@given(text)
def test_any_text(text: str) -> None:
    assert ms.events.decode_event(ms.events.encode_event(ms.TextDelta(text))) == ms.TextDelta(text)


@given(values, st.binary())
def test_any_payload(value: object, data: bytes) -> None:
    for event in (ms.Data(value), ms.ToolCall("a", "f", data, value), ms.File("x", data)):
        assert ms.events.decode_event(ms.events.encode_event(event)) == event


def test_defaults_are_left_out() -> None:
    assert ms.events.encode_event(ms.TextDelta("x")) == b'{"type":"text_delta","text":"x"}'


def test_the_live_object_does_not_travel() -> None:
    event = ms.ObjectDelta((), "set", 1, object())
    assert ms.events.decode_event(ms.events.encode_event(event)) == ms.ObjectDelta((), "set", 1)
    assert event.object is not None


@pytest.mark.parametrize("cls", STREAM_ERRORS)
def test_errors_keep_their_class_and_facts(cls: type[ms.StreamError]) -> None:
    must = {"option": "o", "limit": 1} if cls is ms.LimitExceeded else {}
    own = {name: value for name, value in FACTS.items() if hasattr(cls("m", **must), name)}
    back = ms.events.decode_event(ms.events.encode_event(ms.Error(cls("why", **own), fatal=False)))
    assert type(back.error) is cls
    assert (back.error.message, back.fatal) == ("why", False)
    assert {name: getattr(back.error, name) for name in own} == own


def test_an_error_that_is_worth_no_retry_stays_so() -> None:
    back = ms.events.decode_event(ms.events.encode_event(ms.Error(ms.RateLimited("no", retryable=False))))
    assert back.retryable is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_after", "soon"),
        ("retry_after", {}),
        ("retry_after", True),
        ("retry_after", -1),
        ("retry_after", 10**400),
        ("retry_after", 1e300),
        ("retryable", "no"),
        ("retryable", 0),
        ("provider", 5),
        ("status", "429"),
        ("status", 10**30),
        ("code", {"a": 1}),
        ("request_id", []),
    ],
    ids=str,
)
def test_a_fact_of_another_type_than_it_has_is_passed_over(name: str, value: object) -> None:
    """Whoever acts on it, such as a retry that waits, would fail at what somebody has sent."""
    error = {"kind": "rate_limited", "message": "m", name: value}
    back = ms.events.decode_event(json.dumps({"type": "error", "error": error}))
    assert type(back) is ms.Error
    assert type(back.error) is ms.RateLimited
    assert getattr(back.error, name) == getattr(ms.RateLimited("m"), name)


def test_an_unknown_kind_of_error_becomes_a_stream_error() -> None:
    back = ms.events.decode_event(
        '{"type":"error","error":{"kind":"later","message":"why","retryable":true,"offset":3}}'
    )
    assert type(back.error) is ms.StreamError
    assert (back.error.message, back.retryable) == ("why", True)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"1", b"[]", b"{}", b'{"type":"odd"}', b'{"type":"text_delta"}', b'{"type":"text_delta","text":1}',
     b"\xff", b'{"type":"error","error":[]}', b'{"type":"error","error":{"kind":"parse","snippet":"%"}}',
     b'{"type":"finish","reason":"odd"}', b'{"type":"data","payload":' + b"[" * 99_999 + b"]" * 99_999 + b"}"],
    ids=lambda data: data[:60].decode("ascii", "replace"),
)  # fmt: skip
def test_what_is_no_event_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ms.errors.ProtocolError):
        ms.events.decode_event(data)


def test_what_cannot_be_sent_raises() -> None:
    with pytest.raises(TypeError):
        ms.events.encode_event(ms.Data(object()))
    with pytest.raises(ValueError, match="surrogate"):
        ms.events.encode_event(ms.TextDelta("\ud800"))


@pytest.mark.parametrize("kind", ["idle", "total", "first_event"])
def test_a_timeout_tells_which_one_it_was(kind: str) -> None:
    data = ms.events.encode_event(ms.Error(ms.StreamTimeout("slow", kind=kind)))
    assert f'"kind":"timeout.{kind}"'.encode() in data
    back = ms.events.decode_event(data)
    assert (type(back.error), back.error.kind, back.error.message) == (ms.StreamTimeout, kind, "slow")
