"""The life of a decoder: what holds for every protocol, whatever the bytes and however they are cut."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from protocols import test_bedrock as bedrock
from protocols.decoding import (
    check_lifecycle,
    decode,
    errors_of,
    random_cuts,
    sse,
    text_of,
    wire,
)
from protocols.test_recordings import read, recordings
from strategies import chunkings, ndjson_streams, sse_streams

protocols = pytest.mark.parametrize("protocol", ms.protocols.decoder_names())

HELLO = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

# Pieces of all wires, so that generated streams get past the first message.
FRAGMENTS = [
    sse(HELLO),
    sse(STOP),
    sse("[DONE]"),
    sse(
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}}]}
    ),
    sse({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
    sse({"error": {"message": "no", "code": 429}}),
    b'error: {"message":"no"}\n\n',
    sse({"type": "message_start", "message": {"model": "m", "id": "i", "usage": {"input_tokens": 1}}}),
    sse({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a", "name": "f"}}),
    sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hé"}}),
    sse({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
    sse({"type": "content_block_stop", "index": 0}),
    sse({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}),
    sse({"type": "message_stop"}),
    sse({"type": "start"}),
    sse({"type": "finish", "reason": "stop"}),
    b'{"model":"m","message":{"content":"hi","tool_calls":[{"function":{"name":"f","arguments":{}}}]}}\n',
    b'{"response":"hi"}\n',
    b'{"done":true,"eval_count":1}\n',
    b'{"error":"no"}\n',
    b'{"type":"start"}\n{"type":"text_delta","text":"x"}\n',
    b'{"type":"finish","reason":"stop"}\n',
    b'data: {"choices":',
    b"\n\n",
    b"data: 1\n\n",
    b"[1]\n",
]
streams = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=8).map(b"".join),
    sse_streams(),
    ndjson_streams(),
    st.binary(max_size=80),
)


@protocols
@given(data=st.data())
def test_any_bytes_under_any_cuts(protocol: str, data: st.DataObject) -> None:
    body = data.draw(streams)
    events = decode(protocol, body)
    check_lifecycle(events, protocol)
    assert wire(decode(protocol, *data.draw(chunkings(body)))) == wire(events)


def damage(body: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(body)) for _ in range(2))
    match rng.choice(["flip", "delete", "double", "swap", "cut"]):
        case "flip":
            return body[:a] + bytes([body[a] ^ 1 << rng.randrange(8)]) + body[a + 1 :]
        case "delete":
            return body[:a] + body[min(b, a + rng.randrange(1, 60)) :]
        case "double":
            return body[:b] + body[max(a, b - 200) :]
        case "swap":
            return body[:a] + body[b : b + 1] + body[a + 1 : b] + body[a : a + 1] + body[b + 1 :]
        case _:
            return body[:a]


@recordings
def test_damaged_recordings(name: str) -> None:
    api, body = read(name)
    rng = random.Random(name)
    for n in range(60):
        bad = damage(body, rng)
        events = decode(api, bad)
        check_lifecycle(events)
        for cuts in random_cuts(bad, f"{name}{n}", 1):
            assert wire(decode(api, *cuts)) == wire(events)


@recordings
def test_a_truncated_body_gives_a_prefix(name: str) -> None:
    api, body = read(name)
    full = decode(api, body)
    for cut in range(0, len(body), max(1, len(body) // 300)):
        events = decode(api, body[:cut])
        check_lifecycle(events)
        assert text_of(full).startswith(text_of(events))
        assert errors_of(events) == [], "a cut is a truncation, not an error"


@protocols
def test_an_empty_body_is_incomplete(protocol: str) -> None:
    assert [event.type for event in decode(protocol)] == ["start", "finish"]
    assert decode(protocol)[-1].reason == "incomplete"
    assert wire(decode(protocol, b"", b"\n", b"")) == wire(decode(protocol))


@protocols
def test_fail_ends_with_the_given_error(protocol: str) -> None:
    decoder = ms.decoder(protocol, provider="here")
    error = ms.ConnectionFailed("gone")
    events = decoder.fail(error)
    assert [event.type for event in events] == ["start", "error", "finish"]
    assert events[1].error is error
    assert error.provider == "here"
    assert events[-1].reason == "error"
    assert decoder.close() == decoder.fail(error) == []
    with pytest.raises(ms.errors.ParserClosed):
        decoder.feed(b"")


def test_fail_marks_calls_under_way() -> None:
    decoder = ms.decoder("openai")
    decoder.feed(FRAGMENTS[3])
    events = decoder.fail(ms.ConnectionFailed("gone"))
    assert [event.type for event in events] == ["tool_call", "error", "finish"]
    assert events[0].validity == "incomplete"


def test_fail_after_the_end_adds_nothing() -> None:
    decoder = ms.decoder("openai")
    decoder.feed(sse(HELLO, STOP, "[DONE]"))
    assert decoder.ended
    assert decoder.fail(ms.ConnectionFailed("gone")) == []


@protocols
def test_close_twice_and_feed_after(protocol: str) -> None:
    decoder = ms.decoder(protocol)
    assert decoder.close()
    assert decoder.close() == []
    with pytest.raises(ms.errors.ParserClosed, match="reset"):
        decoder.feed(b"x")


@recordings
def test_reset_forgets_everything(name: str) -> None:
    api, body = read(name)
    decoder = ms.decoder(api)
    for used in (body[: len(body) // 2], body, b"data: {\n\n"):
        decoder.feed(used)
        decoder.reset()
        assert not decoder.ended
        assert wire(decoder.feed(body) + decoder.close()) == wire(decode(api, body))
        decoder.reset()


@protocols
def test_concurrent_use_is_refused(protocol: str) -> None:
    decoder = ms.decoder(protocol)
    error = ms.StreamError("gone")
    caught = []

    class OneMessage:
        error = None
        complete = False

        def feed(self, _: bytes) -> list[object]:
            return [object()]

    def message(_: object) -> None:
        for misuse in (lambda: decoder.feed(b"x"), decoder.close, decoder.reset, lambda: decoder.fail(error)):
            with pytest.raises(ms.errors.ConcurrentUseError):
                misuse()
            caught.append(misuse)

    decoder._parser, decoder._reader = OneMessage(), None
    decoder._message = message
    decoder.feed(b"")
    assert len(caught) == 4


def test_unknown_protocol_lists_the_known_ones() -> None:
    for make, names in ((ms.decoder, ms.protocols.decoder_names()), (ms.encoder, ms.protocols.encoder_names())):
        with pytest.raises(ms.errors.UnknownProtocol) as caught:
            make("telex")
        assert all(name in str(caught.value) for name in ["telex", *names])
        assert isinstance(caught.value, LookupError)
        assert names == sorted(names)


@pytest.mark.parametrize(
    ("alias", "name"), [("openai", "openai-chat"), ("anthropic", "anthropic-messages"), ("ollama", "ollama-chat")]
)
def test_aliases(alias: str, name: str) -> None:
    assert ms.decoder(alias).name == name
    assert name in ms.protocols.decoder_names()
    assert alias not in ms.protocols.decoder_names()


@protocols
@pytest.mark.parametrize(
    ("data", "said"),
    [("text", "iter_bytes"), (5, r"pass \[data\]"), ({}, "before anything"), (None, r"call close\(\)")],
)
def test_what_is_no_bytes_is_a_type_error_that_says_what_to_pass(protocol: str, data: object, said: str) -> None:
    with pytest.raises(TypeError, match=f"^decoders read .*{said}"):
        ms.decoder(protocol).feed(data)


@protocols
def test_a_buffer_that_cannot_be_read_is_refused_as_python_does_and_nothing_is_lost(protocol: str) -> None:
    released = memoryview(b"a")
    released.release()
    decoder = ms.decoder(protocol)
    for unreadable in (released, memoryview(b"abcd")[::2]):
        with pytest.raises((BufferError, TypeError, ValueError), match="memoryview"):
            decoder.feed(unreadable)
    assert wire(decoder.feed(b"") + decoder.close()) == wire(decode(protocol))


@pytest.mark.parametrize("limits", [{"max_event_bytes": 5}, None, 5])
def test_limits_are_limits(limits: object) -> None:
    with pytest.raises(TypeError, match=r"must be a millstream\.Limits"):
        ms.decoder("openai", limits=limits)


def test_stats_count_how_messages_were_read_and_are_zero_where_there_are_no_frames() -> None:
    message = b'data: {"id":"i","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    decoder = ms.decoder("openai-chat")
    decoder.feed(message * 5)
    assert decoder.stats.hits + decoder.stats.misses == 5
    assert decoder.stats.hits > 0
    assert ms.decoder("bedrock-converse").stats == type(decoder.stats)()


@pytest.mark.parametrize("protocol", ["bedrock-converse", "bedrock-invoke", "gemini-json-array"])
def test_reset_takes_back_what_a_parser_in_python_had_begun(protocol: str) -> None:
    body = b"[{" if protocol == "gemini-json-array" else b"\0\0\1\0\0\0"
    decoder = ms.decoder(protocol)
    assert [event.type for event in decoder.feed(body) + decoder.close()][-1] == "finish"
    decoder.reset()
    assert not any(event.type == "error" for event in decoder.feed(body))


@pytest.mark.parametrize("protocol", ["bedrock-converse", "gemini-json-array"])
def test_after_an_interruption_a_decoder_is_closed_until_it_is_reset(protocol: str, monkeypatch: Any) -> None:
    """Ctrl-C in the middle of a chunk: what had been read of it is lost, and that must not go unnoticed."""
    decoder = ms.decoder(protocol)
    good = {
        "bedrock-converse": bedrock.event(*bedrock.delta(text="a")),
        "gemini-json-array": b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}',
    }[protocol]

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(decoder), "_message", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoder.feed(good)
    with pytest.raises(ms.errors.ParserClosed, match="reset"):
        decoder.feed(good)
    decoder.reset()
    assert text_of(decoder.feed(good)) == "a"
