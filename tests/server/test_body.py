import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.protocols import encoder_names
from millstream.server._body import Body, is_sse

NASTY = [
    'data: {"type":"finish"}\n\n',
    "a\rb\r\nc\nd",
    "\0",
    "\u2028\u2029\x85\x0b\x1c",
    ": ping\n\nevent: x\nid: 7\nretry: 1\ndata: y\n\n",
    "[DONE]",
    "data: [DONE]\n\n",
    "\ufeff",
    "\U0001f600",
]
SSE = [name for name in encoder_names() if is_sse(ms.encoder(name).media_type)]
TEXT_SSE = [name for name in SSE if name != "mcp-sse"]


def _written(name, text, ids=None):
    body, out = Body(ms.encoder(name), ids), []
    body.encode([ms.Start("m", "1"), ms.TextDelta(text), ms.Finish(ms.FinishReason.STOP)], out)
    return b"".join(out) + body.finish()


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("name", TEXT_SSE)
def test_no_text_breaks_out_of_its_message(name, text):
    """As many messages, of the same names, as harmless text makes; and the text arrives whole."""
    parse = lambda data: ms.SSEParser().feed(data)  # noqa: E731
    got, plain = parse(_written(name, text)), parse(_written(name, "plain"))
    assert [(m.event, m.id) for m in got] == [(m.event, m.id) for m in plain]
    if name in ms.protocols.decoder_names():
        decoder = ms.decoder(name)
        events = decoder.feed(_written(name, text)) + decoder.close()
        assert "".join(event.text for event in events if isinstance(event, ms.TextDelta)) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_line_of_ndjson(text):
    data = _written("millstream.events.v1+ndjson", text)
    assert data.count(b"\n") == 3
    assert ms.NDJSONParser().feed(data)[1]["text"] == text


@pytest.mark.parametrize("name", TEXT_SSE)
def test_an_id_stands_on_the_last_message_of_its_event(name):
    numbers = iter(range(10))
    data = _written(name, "x", ids=lambda event: str(next(numbers)))
    bare = _written(name, "x")
    assert b"".join(line for line in data.splitlines(True) if not line.startswith(b"id: ")) == bare
    seen = [m.id for m in ms.SSEParser().feed(data) if m.id]
    assert seen == sorted(seen)
    assert seen[-1] in "12"  # ui-message says nothing of the end until it is closed


def test_events_may_have_no_id_and_other_wires_have_none():
    ids = lambda event: "7" if isinstance(event, ms.TextDelta) else None  # noqa: E731
    assert _written("millstream.events.v1", "x", ids).count(b"id: ") == 1
    assert _written("millstream.events.v1+ndjson", "x", ids) == _written("millstream.events.v1+ndjson", "x")


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "\0"])
def test_an_id_that_would_break_out_is_refused_and_what_came_before_it_is_kept(bad):
    body, out = Body(ms.encoder("millstream.events.v1"), lambda e: bad if isinstance(e, ms.Finish) else "1"), []
    with pytest.raises(ms.errors.EncodeError):
        body.encode([ms.TextDelta("a"), ms.Finish(ms.FinishReason.STOP)], out)
    assert len(out) == 1


def test_the_time_to_reconnect_stands_in_the_first_message():
    body, out = Body(ms.encoder("millstream.events.v1"), retry=2500), []
    body.encode([ms.TextDelta("a")], out)
    (message,) = ms.SSEParser().feed(b"".join(out))
    assert message.retry == 2500
    assert message.data.startswith('{"type":"text_delta"')
    assert Body(ms.encoder("millstream.events.v1+ndjson"), retry=2500).heartbeat == b""


@pytest.mark.parametrize("retry", [-1, 2**31, 1.5, True])
def test_the_time_to_reconnect_is_whole_milliseconds(retry):
    with pytest.raises(ms.errors.EncodeError):
        Body(ms.encoder("millstream.events.v1"), retry=retry)


@pytest.mark.parametrize("ids", [None, lambda event: "1"])
def test_a_heartbeat_is_nothing_to_any_client(ids):
    """Not even to one that takes a block without data for an event once it has seen an id, as the OpenAI SDK does."""
    from openai._streaming import SSEDecoder

    body, out = Body(ms.encoder("millstream.events.v1"), ids), []
    body.encode([ms.TextDelta("a"), ms.TextDelta("b")], out)
    data = out[0] + body.heartbeat + body.heartbeat + out[1]
    assert [m.data for m in ms.SSEParser().feed(data)] == [m.data for m in ms.SSEParser().feed(b"".join(out))]
    assert len(list(SSEDecoder().iter_bytes(iter([data])))) == 2


def test_an_error_is_told_once():
    error = ms.Overloaded("later")
    body, out = Body(ms.encoder("millstream.events.v1")), []
    body.encode([ms.Start(), ms.Error(error), ms.Finish(ms.FinishReason.ERROR)], out)
    assert body.fail(error) == b""


def test_a_foreign_exception_is_told_without_its_words():
    assert b"secret" not in Body(ms.encoder("millstream.events.v1")).fail(KeyError("secret"))
