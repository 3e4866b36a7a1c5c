"""What all encoders have in common: what they tell of errors, and how they begin."""

from __future__ import annotations

import pytest

import millstream as ms
from millstream.errors import EncodeError
from protocols.decoding import decode
from protocols.encoders.expressible import encode

NAMES = ms.protocols.encoder_names()
READ = sorted({*NAMES} & {*ms.protocols.decoder_names()})
START = ms.Start("m", "r")
SECRET = "secret-project"
ERROR = ms.RateLimited(SECRET, code=SECRET, request_id=SECRET, body=b"secret-body", provider=SECRET, retry_after=3)
FAILED = [ms.ToolCall("a", "f", b"{}", {}), ms.ToolResult("a", "f", error=SECRET),
          ms.ProviderToolCall("p", "web_search"), ms.ProviderToolResult("p", "web_search", error=SECRET)]  # fmt: skip


def told(name: str, **options) -> bytes:
    if name == "mcp-sse":
        options["request_id"] = 1
    return encode(name, [START, *FAILED, ms.Error(ERROR), ms.Finish(ms.FinishReason.ERROR)], **options)


@pytest.mark.parametrize("name", NAMES)
def test_words_of_errors_are_for_servers_unless_it_is_said_otherwise(name) -> None:
    assert SECRET.encode() in told(name, expose_errors=True)
    assert SECRET.encode() not in told(name, expose_errors=False)
    assert told(name) == told(name, expose_errors=name != "ui-message")
    assert b"secret-body" not in told(name, expose_errors=True)


@pytest.mark.parametrize("name", READ)
def test_a_client_that_is_not_told_the_words_still_knows_what_to_do(name) -> None:
    (error,) = (event.error for event in decode(name, told(name, expose_errors=False)) if isinstance(event, ms.Error))
    assert error.message.endswith("Too many requests at the moment.")
    assert name == "mcp-sse" or isinstance(error, ms.RateLimited)


def test_a_masked_error_of_our_own_wire_keeps_its_class_and_when_to_retry() -> None:
    for given in (ERROR, ms.StreamTimeout(SECRET, kind="total"), ms.LimitExceeded(SECRET, option="max_x", limit=5)):
        events = [START, ms.Error(given), ms.Finish(ms.FinishReason.ERROR)]
        (error,) = (
            event.error
            for event in decode("millstream.events.v1", encode("millstream.events.v1", events, expose_errors=False))
            if isinstance(event, ms.Error)
        )
        assert (type(error), error.kind, error.retryable, error.retry_after) == (
            type(given), given.kind, given.retryable, given.retry_after,
        )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_first_event_that_cannot_be_written_takes_nothing_with_it(name) -> None:
    """A stream that is joined late begins with an empty `Start`, even if its first event is refused."""
    bad, rest = ms.TextDelta("\ud800"), [ms.TextDelta("a"), ms.Finish(ms.FinishReason.STOP)]
    options = {"request_id": 1} if name == "mcp-sse" else {}
    encoder = ms.encoder(name, **options)
    for _ in range(2):
        with pytest.raises(EncodeError):
            encoder.encode(bad)
    assert b"".join(map(encoder.encode, rest)) + encoder.close() == encode(name, rest, **options)
    begun, empty = ms.encoder(name, **options), ms.encoder(name, **options)
    with pytest.raises(EncodeError):
        begun.encode(bad)
    begins = b"" if name.startswith("millstream") else empty.encode(ms.Start())
    assert begun.close() == begins + empty.close()


def test_the_metadata_of_a_first_event_is_told_once() -> None:
    events = [ms.TextDelta("a"), ms.Finish(ms.FinishReason.STOP)]
    body = encode("ui-message", events, metadata=lambda event: {"seen": 1} if isinstance(event, ms.TextDelta) else None)
    assert body.count(b'"message-metadata"') == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("given", ["hello", b"hello", {"type": "text_delta", "text": "a"}, None])
def test_what_is_no_event_is_a_type_error(name: str, begun: bool, given: object) -> None:
    encoder = ms.encoder(name, **({"request_id": 1} if name == "mcp-sse" else {}))
    if begun:
        encoder.encode(START)
    with pytest.raises(TypeError, match=f"takes an event, not {type(given).__name__}"):
        encoder.encode(given)
