import anyio
import httpx2
import pytest

import millstream as ms
from millstream.protocols import Encoder, encoder_names
from millstream.server import responses
from millstream.server.responses import EventStreamResponse
from server.asgi_harness import Client
from server.serving import serving

EVENTS = [ms.Start("m", "1"), ms.TextDelta("Hé\n"), ms.TextDelta("you"), ms.Finish(ms.FinishReason.STOP, "stop")]
NATIVE = ["millstream.events.v1", "millstream.events.v1+ndjson"]

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Scripted:
    """A stream that gives lists of events, raises exceptions, and waits for anyio events."""

    def __init__(self, *script):
        self._script = script
        self.calls = []

    async def __aenter__(self):
        self.calls.append("open")
        return self

    async def __aexit__(self, *exc):
        await self.aclose()

    async def aclose(self):
        self.calls.append("close")

    async def batches(self):
        for item in self._script:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, anyio.Event):
                await item.wait()
            else:
                yield item


def decoded(client, protocol=NATIVE[0]):
    decoder = ms.decoder(protocol)
    return decoder.feed(client.body) + decoder.close()


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", NATIVE)
async def test_sends_each_batch_as_one_message(protocol):
    stream = Scripted(EVENTS[:1], EVENTS[1:3], EVENTS[3:])
    client = await Client().run(EventStreamResponse(stream, protocol))
    assert client.status == 200
    assert client.headers["content-type"] == ms.encoder(protocol).media_type
    assert client.headers["x-accel-buffering"] == "no"
    assert len(client.bodies) == 3 + 1
    assert client.is_ended
    assert decoded(client, protocol) == EVENTS
    assert stream.calls == ["open", "close"]


@pytest.mark.anyio
async def test_status_and_headers_can_be_set():
    response = EventStreamResponse(Scripted(EVENTS), status=203, headers={"X-Mine": "1", "Cache-Control": "private"})
    client = await Client().run(response)
    assert client.status == 203
    assert client.headers["x-mine"] == "1"
    assert client.headers["cache-control"] == "private"
    assert len(client.received[0]["headers"]) == len(client.headers)


@pytest.mark.anyio
async def test_head_is_headers_only_and_opens_nothing():
    stream = Scripted(EVENTS)
    client = await Client(method="HEAD").run(EventStreamResponse(stream))
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.bodies == [b""]
    assert client.is_ended
    assert stream.calls == ["close"]


@pytest.mark.anyio
async def test_closes_the_stream_when_the_client_leaves_a_silent_one():
    stream = Scripted(EVENTS[:2], anyio.Event())
    client = await Client(leave_after=1).run(EventStreamResponse(stream))
    assert len(client.bodies) == 1
    assert not client.is_ended
    assert stream.calls == ["open", "close"]


@pytest.mark.anyio
async def test_an_error_that_was_encoded_ends_the_body_cleanly():
    error = ms.Overloaded("later", provider="p")
    events = [EVENTS[0], ms.Error(error), ms.Finish(ms.FinishReason.ERROR)]
    client = await Client().run(EventStreamResponse(Scripted(events, error)))
    assert client.is_ended
    assert [event.type for event in decoded(client)] == ["start", "error", "finish"]


@pytest.mark.anyio
async def test_an_error_that_was_not_encoded_reaches_the_client_as_an_event():
    client = await Client().run(EventStreamResponse(Scripted(EVENTS[:2], ms.ConnectionFailed("reset"))))
    assert client.is_ended
    *before, error, finish = decoded(client)
    assert before == EVENTS[:2]
    assert isinstance(error.error, ms.ConnectionFailed)
    assert finish.reason is ms.FinishReason.ERROR


@pytest.mark.anyio
async def test_a_warning_does_not_stand_for_the_error():
    warned = ms.Error(ms.StreamError("careful"), fatal=False)
    client = await Client().run(EventStreamResponse(Scripted([EVENTS[0], warned], ms.StreamTimeout("late"))))
    assert [event.kind for event in decoded(client) if isinstance(event, ms.Error)] == ["stream", "timeout"]


@pytest.mark.anyio
async def test_other_exceptions_go_to_the_server_after_the_client_was_told_without_their_words():
    stream = Scripted(EVENTS[:2], ZeroDivisionError("mine"))
    client = Client()
    with pytest.raises(ZeroDivisionError, match="mine"):
        await client.run(EventStreamResponse(stream))
    assert client.is_ended
    assert [event.type for event in decoded(client)] == ["start", "text_delta", "error", "finish"]
    assert b"mine" not in client.body
    assert stream.calls == ["open", "close"]


@pytest.mark.anyio
async def test_what_the_wire_cannot_express_makes_no_message_and_the_terminator_is_sent(monkeypatch):
    class Picky(Encoder):
        name, media_type = "picky", "text/plain"

        def encode(self, event):
            return event.text.encode() if isinstance(event, ms.TextDelta) else b""

        def close(self):
            return b"END"

    monkeypatch.setattr(responses, "encoder", lambda name: Picky())
    client = await Client().run(EventStreamResponse(Scripted(EVENTS[:1], EVENTS[1:3], EVENTS[3:]), "picky"))
    assert client.bodies == ["Hé\nyou".encode(), b"END"]


def test_no_protocol_at_all_is_refused_at_once():
    with pytest.raises(ms.UsageError, match="at least one protocol"):
        EventStreamResponse(Scripted(), [])


def test_an_unknown_protocol_is_refused_at_once():
    with pytest.raises(ms.errors.UnknownProtocol):
        EventStreamResponse(Scripted(), "nothing")


@pytest.mark.anyio
async def test_a_real_stream_is_closed_when_the_client_leaves():
    closed = anyio.Event()

    async def body():
        try:
            yield b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
            await anyio.sleep_forever()
        finally:
            closed.set()

    stream = ms.stream(body(), protocol="openai-chat")
    client = await Client(leave_after=1).run(EventStreamResponse(stream))
    assert [event.type for event in decoded(client)][:2] == ["start", "text_delta"]
    assert closed.is_set()


@pytest.mark.anyio
@on_asyncio
@pytest.mark.parametrize("protocol", [name for name in encoder_names() if name in NATIVE])
async def test_over_real_http(protocol, anyio_backend):
    async def app(scope, receive, send):
        await EventStreamResponse(Scripted(EVENTS[:1], EVENTS[1:]), protocol)(scope, receive, send)

    async with serving(app) as url, httpx2.AsyncClient(trust_env=False) as client:
        async with ms.stream(client.stream("POST", url), protocol=protocol) as stream:
            assert await stream.collect() == EVENTS
        assert (await client.head(url)).content == b""


@pytest.mark.anyio
@on_asyncio
async def test_a_client_that_hangs_up_over_real_http_closes_the_stream(anyio_backend):
    ended = anyio.Event()
    stream = Scripted(EVENTS[:1], anyio.Event())

    async def app(scope, receive, send):
        await EventStreamResponse(stream)(scope, receive, send)
        ended.set()

    async with serving(app) as url:
        async with httpx2.AsyncClient(trust_env=False) as client, client.stream("POST", url) as response:
            async for _ in response.aiter_bytes():
                break
        with anyio.fail_after(10):
            await ended.wait()
    assert stream.calls == ["open", "close"]
