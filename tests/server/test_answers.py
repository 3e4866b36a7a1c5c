"""What clients, clocks and failures do to an `EventStreamResponse`, on a bare ASGI harness; time is trio's mock."""

import anyio
import orjson
import pytest
import trio.testing

import millstream as ms
from millstream.relay import Hub, MemoryLog
from millstream.server import Drain, EventStreamResponse
from millstream.testing import HANG, ScriptedSource, Wait
from server.asgi_harness import Client

pytestmark = pytest.mark.anyio

START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi"), ms.Finish(ms.FinishReason.STOP)
NDJSON = "millstream.events.v1+ndjson"
BEAT = b": \n\n"


@pytest.fixture
def anyio_backend():
    """A clock that jumps to the next deadline: what takes a minute passes at once, and exactly."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


on_both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def scripted(*steps):
    source = ScriptedSource(*steps)
    return source, ms.Stream(source)


def events(client, protocol="millstream.events.v1"):
    decoder = ms.decoder(protocol)
    return decoder.feed(client.body) + decoder.close()


class Opening(ms.Stream):
    """A stream that takes its time to open, or fails to."""

    def __init__(self, seconds, *steps, error=None):
        super().__init__(ScriptedSource(*steps))
        self._seconds, self._error = seconds, error

    async def _open(self):
        await anyio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        await super()._open()


# --- leaving -------------------------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize(("spec", "deaf"), [("2.1", False), ("2.3", False), ("2.4", False), ("2.5", False)])
async def test_a_client_that_leaves_a_silent_stream_is_noticed(anyio_backend, spec, deaf):
    source, stream = scripted(START, HANG)
    client = Client(leave_after=1, spec=spec, deaf=deaf)
    with anyio.fail_after(20):
        await client.run(EventStreamResponse(stream))
    assert source.closed
    assert source.cancelled
    assert not client.is_ended


@on_both
async def test_a_send_that_raises_oserror_is_a_client_that_left(anyio_backend):
    source, stream = scripted(START, *[TEXT] * 5, HANG)
    with anyio.fail_after(20):
        client = await Client(leave_after=2, spec="2.4", deaf=True).run(EventStreamResponse(stream))
    assert source.closed
    assert len(client.bodies) == 2
    assert client.n_refused == 1  # nor is it told of an error


async def test_a_heartbeat_that_raises_oserror_is_a_client_that_left():
    source, stream = scripted(START, HANG)
    client = Client(leave_after=1, spec="2.4", deaf=True)
    await client.run(EventStreamResponse(stream))
    assert source.closed
    assert anyio.current_time() == pytest.approx(15)


async def test_a_client_that_leaves_before_the_upstream_is_open_gets_nothing():
    stream = Opening(10, START)
    client = Client()
    client.disconnect()
    await client.run(EventStreamResponse(stream))
    assert client.received == []
    assert stream.state in ("closed", "failed")
    assert anyio.current_time() == 0


async def test_an_oserror_of_the_stream_is_not_the_client():
    _, stream = scripted(START, OSError("disk"))
    client = Client()
    with pytest.raises(OSError, match="disk"):
        await client.run(EventStreamResponse(stream))
    assert [event.type for event in events(client)] == ["start", "error", "finish"]


async def test_what_receive_raises_ends_the_response():
    async def receive():
        raise RuntimeError("server")

    source, stream = scripted(START, HANG)
    with pytest.raises(RuntimeError, match="server"):
        await EventStreamResponse(stream)(Client().scope, receive, Client().send)
    assert source.closed


async def test_a_client_that_never_reads_is_left_after_the_send_timeout():
    source, stream = scripted(START, TEXT, TEXT, HANG)
    client = Client(stuck_after=2)
    await client.run(EventStreamResponse(stream, send_timeout=7))
    assert anyio.current_time() == pytest.approx(7)
    assert source.closed
    assert len(client.bodies) == 2


async def test_a_client_that_does_not_read_a_heartbeat_is_left_too():
    source, stream = scripted(START, HANG)
    await Client(stuck_after=1).run(EventStreamResponse(stream, send_timeout=7, heartbeat=15))
    assert anyio.current_time() == pytest.approx(15 + 7)
    assert source.closed


async def test_a_client_that_does_not_read_a_refusal_is_left_too():
    def refuse(last):
        raise ms.RateLimited("later")

    with anyio.fail_after(20):
        await Client(stuck_after=0).run(EventStreamResponse(refuse, send_timeout=5))
    assert anyio.current_time() == pytest.approx(5)


async def test_a_slow_client_is_waited_for():
    _, stream = scripted(START, TEXT, STOP)
    client = Client()

    async def send(message):
        await anyio.sleep(6)
        await client.send(message)

    await EventStreamResponse(stream, send_timeout=7)(client.scope, client.receive, send)
    assert events(client) == [START, TEXT, STOP]


# --- signs of life -------------------------------------------------------------------------------------------------


async def test_silence_is_broken_by_comments_and_only_silence():
    _, stream = scripted(START, Wait(40), TEXT, Wait(10), STOP)
    client = await Client().run(EventStreamResponse(stream, heartbeat=15))
    assert [b[:2] for b in client.bodies if b] == [b"da", b": ", b": ", b"da", b"da"]
    assert client.times[2:4] == pytest.approx([15, 30])
    assert BEAT in client.bodies
    assert events(client) == [START, TEXT, STOP]


@pytest.mark.parametrize("options", [{"heartbeat": None}, {"protocol": NDJSON}])
async def test_no_heartbeat_where_there_is_none_to_be(options):
    _, stream = scripted(START, Wait(100), STOP)
    client = await Client().run(EventStreamResponse(stream, **options))
    assert len(client.bodies) == 3


async def test_a_heartbeat_and_an_event_are_never_sent_at_once():
    _, stream = scripted(START, Wait(15.5), TEXT, Wait(15), STOP)
    client = Client()
    busy = False

    async def send(message):
        nonlocal busy
        assert not busy
        busy = True
        await anyio.sleep(1)
        await client.send(message)
        busy = False

    await EventStreamResponse(stream)(client.scope, client.receive, send)
    assert events(client) == [START, TEXT, STOP]
    assert BEAT in client.bodies


# --- opening before status 200 -------------------------------------------------------------------------------------


async def test_what_keeps_the_upstream_from_opening_is_a_status():
    stream = Opening(3, error=ms.RateLimited("account 4711", status=429, retry_after=8))
    client = await Client().run(EventStreamResponse(stream))
    assert client.status == 429
    assert client.headers["retry-after"] == "8"
    assert client.headers["content-type"] == "application/json"
    assert int(client.headers["content-length"]) == len(client.body)
    assert b"4711" not in client.body
    assert client.is_ended


async def test_the_words_of_the_refusal_are_told_if_asked_for():
    stream = Opening(0, error=ms.RateLimited("slow down"))
    client = await Client().run(EventStreamResponse(stream, expose_errors=True))
    assert orjson.loads(client.body)["error"]["message"] == "slow down"


async def test_other_exceptions_before_the_status_are_left_to_the_framework():
    client = Client()
    with pytest.raises(ZeroDivisionError):
        await client.run(EventStreamResponse(Opening(0, error=ZeroDivisionError())))
    assert client.received == []


async def test_an_upstream_that_is_slow_to_open_does_not_hold_the_status_back_for_ever():
    client = await Client().run(EventStreamResponse(Opening(40, START, STOP), open_within=10))
    assert client.times[:4] == pytest.approx([10, 10, 25, 40])
    assert client.status == 200
    assert events(client) == [START, STOP]


async def test_what_fails_after_the_early_status_is_an_event():
    stream = Opening(20, error=ms.Overloaded("account 4711"))
    client = await Client().run(EventStreamResponse(stream, open_within=10, expose_errors=False))
    assert client.status == 200
    assert [event.type for event in events(client)] == ["error", "finish"] or events(client)[1].type == "error"
    assert b"4711" not in client.body
    assert client.is_ended


@pytest.mark.parametrize(("within", "at"), [(0, 0), (None, 90)])
async def test_the_time_to_open_can_be_nothing_or_unlimited(within, at):
    client = await Client().run(EventStreamResponse(Opening(90, STOP), open_within=within))
    assert client.times[0] == pytest.approx(at)


# --- what goes wrong later -----------------------------------------------------------------------------------------


async def test_a_value_that_cannot_be_sent_ends_the_answer_after_what_came_before_it():
    stream = ms.Stream.from_batches(ScriptedSource([START, TEXT, ms.TextDelta("\ud800")]))
    client = Client()
    with pytest.raises(ms.errors.EncodeError):
        await client.run(EventStreamResponse(stream))
    got = events(client)
    assert got[:2] == [START, TEXT]
    assert [event.type for event in got[2:]] == ["error", "finish"]


@pytest.mark.parametrize("name", [name for name in ms.protocols.encoder_names() if name != "mcp-sse"])
async def test_an_error_after_the_status_is_told_on_every_wire_without_its_words(name):
    _, stream = scripted(START, TEXT, ms.ConnectionFailed("host 10.1.2.3 reset"))
    client = await Client().run(EventStreamResponse(stream, name, expose_errors=False))
    _, whole = scripted(START, TEXT, STOP)
    good = await Client().run(EventStreamResponse(whole, name))
    assert client.is_ended
    assert b"error" in client.body
    assert b"10.1.2.3" not in client.body
    assert not client.body.startswith(good.body)
    if name in ms.protocols.decoder_names():
        assert ms.EventType.ERROR in [event.type for event in events(client, name)]


# --- the request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/event-stream; charset=utf-8"),
        ("text/event-stream", "text/event-stream; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_client_chooses_between_sse_and_ndjson(accept, media_type, method):
    _, stream = scripted(START, STOP)
    client = await Client(method=method, headers={"accept": accept}).run(EventStreamResponse(stream))
    assert client.headers["content-type"] == media_type
    assert client.headers["vary"] == "accept"
    assert stream.state == ("closed" if method == "HEAD" else "finished")
    assert (client.body == b"") == (method == "HEAD")


async def test_one_protocol_is_served_whatever_the_client_accepts():
    _, stream = scripted(START, STOP)
    client = await Client(headers={"accept": "application/x-ndjson"}).run(EventStreamResponse(stream, "ui-message"))
    assert client.headers["content-type"].startswith("text/event-stream")
    assert "vary" not in client.headers


async def test_the_headers_keep_browsers_proxies_and_middleware_from_harm():
    _, stream = scripted(STOP)
    client = await Client().run(EventStreamResponse(stream, "openai-chat"))
    assert client.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "content-encoding": "identity",
    }


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"a b": "c"}, {"x\n": ""}, {"": "c"}, {"x": "\0"}, {"x": "ü"}])
async def test_a_header_that_could_end_early_is_refused(headers):
    with pytest.raises(ms.UsageError, match="HTTP does not allow"):
        EventStreamResponse(ms.Stream(ScriptedSource()), headers=headers)


@pytest.mark.parametrize("options", [{"heartbeat": -1}, {"send_timeout": float("nan")}, {"open_within": -0.1}])
async def test_times_below_zero_are_refused(options):
    with pytest.raises(ms.UsageError, match="seconds"):
        EventStreamResponse(ms.Stream(ScriptedSource()), **options)


async def test_a_response_answers_once_and_only_http():
    _, stream = scripted(STOP)
    response = EventStreamResponse(stream)
    with pytest.raises(ms.UsageError, match="websocket"):
        await response({"type": "websocket"}, None, None)
    await Client().run(response)
    second = Client()
    with pytest.raises(ms.UsageError, match="has been sent"):
        await second.run(response)
    assert second.received == []


async def test_an_encoder_with_options_can_be_given():
    _, stream = scripted(ms.Error(ms.Overloaded("told")), STOP)
    client = await Client().run(EventStreamResponse(stream, ms.encoder("ui-message", expose_errors=True)))
    assert b"told" in client.body


@pytest.mark.parametrize("leave", [None, 1])
async def test_the_background_work_is_done_whatever_became_of_the_answer(leave):
    done = []

    async def work():
        done.append(True)

    _, stream = scripted(START, TEXT, STOP) if leave is None else scripted(START, HANG)
    await Client(leave_after=leave).run(EventStreamResponse(stream, background=work))
    assert done == [True]


# --- resuming ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query", "after"),
    [({}, b"", None), ({"last-event-id": "1"}, b"last_event_id=7", "1"), ({}, b"last_event_id=2", "2")],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_makes_the_stream_from_the_place_to_resume(headers, query, after, is_async):
    asked = []
    numbers = iter("123")

    def make(last):
        asked.append(last)
        return ms.Stream(ScriptedSource(START, TEXT, STOP))

    async def make_async(last):
        return make(last)

    response = EventStreamResponse(make_async if is_async else make, ids=lambda event: next(numbers))
    client = await Client(headers=headers, query=query).run(response)
    assert asked == [after]
    assert [m.id for m in ms.SSEParser().feed(client.body)] == ["1", "2", "3"]


async def test_nothing_more_to_tell_is_204_so_that_browsers_stop_asking():
    client = await Client(headers={"last-event-id": "3"}).run(EventStreamResponse(lambda last: None))
    assert client.status == 204
    assert client.body == b""
    assert "content-type" not in client.headers


async def test_an_event_id_that_nobody_gave_is_400_and_the_function_is_not_called():
    client = await Client(headers={"last-event-id": "1" * 2000}).run(EventStreamResponse(lambda last: 1 / 0))
    assert client.status == 400


async def test_head_does_not_call_the_function():
    client = await Client(method="HEAD").run(EventStreamResponse(lambda last: 1 / 0))
    assert client.status == 200


@on_both
async def test_a_relayed_stream_is_resumed_at_every_event_and_outlives_its_readers(anyio_backend):
    gate = anyio.Event()

    async def make():
        yield START
        yield TEXT
        await gate.wait()
        yield TEXT
        yield STOP

    async with Hub(MemoryLog(), authorize=lambda *_: True) as hub:
        run = await hub.publish("s", make)
        serve = lambda: EventStreamResponse(lambda last: hub.subscribe("s", after=last))  # noqa: E731
        first = Client(leave_after=1)
        with anyio.fail_after(10):
            await first.run(serve())
        ids = [m.id for m in ms.SSEParser().feed(first.body)]
        assert run.status is ms.relay.Status.OPEN
        gate.set()
        whole = await Client().run(serve())
        messages = ms.SSEParser().feed(whole.body)
        assert ids == [m.id for m in messages[: len(ids)]]
        assert events(whole) == [START, TEXT, TEXT, STOP]
        for i, message in enumerate(messages):
            rest = await Client(headers={"last-event-id": message.id}).run(serve())
            assert ms.SSEParser().feed(rest.body) == messages[i + 1 :]
            assert rest.status == (200 if i + 1 < len(messages) else 204)


@on_both
@pytest.mark.parametrize(
    ("stream_id", "after", "status"),
    [
        ("unknown", None, 404),
        ("foreign", None, 404),
        ("s", "1.1", 400),
        ("s", "1.1." + "0" * 24, 400),
        ("s", "x" * 300, 400),
    ],
)
async def test_bad_places_to_resume_have_a_status(anyio_backend, stream_id, after, status):
    async def make():
        yield STOP

    async with Hub(MemoryLog(), authorize=lambda scope, name: name != "foreign") as hub:
        for name in ("s", "foreign"):
            await (await hub.publish(name, make)).wait()
        headers = {} if after is None else {"last-event-id": after}
        response = EventStreamResponse(lambda last: hub.subscribe(stream_id, after=last))
        client = await Client(headers=headers).run(response)
    assert client.status == status
    assert "error" in orjson.loads(client.body)


@pytest.mark.parametrize("protocol", [NDJSON, "openai-chat"])
async def test_a_relayed_stream_is_served_on_its_own_wire(protocol):
    async def make():
        yield START
        yield TEXT
        yield STOP

    async with Hub(MemoryLog(), authorize=lambda *_: True) as hub:
        await (await hub.publish("s", make, protocol=protocol)).wait()
        client = await Client().run(EventStreamResponse(hub.subscribe("s")))
    assert client.headers["content-type"] == ms.encoder(protocol).media_type
    assert "".join(event.text for event in events(client, protocol) if isinstance(event, ms.TextDelta)) == "Hi"


async def test_bytes_of_the_application_get_ids_only_as_whole_messages():
    async def make():
        yield b"data: a\n\ndata: b\n\n"
        yield b"data: c"
        yield b"\n\n"
        yield b"data: d\n\n"

    async with Hub(MemoryLog(), authorize=lambda *_: True) as hub:
        await (await hub.publish("s", make, protocol=None, media_type="text/event-stream")).wait()
        client = await Client().run(EventStreamResponse(hub.subscribe("s")))
    messages = ms.SSEParser().feed(client.body)
    assert [m.data for m in messages] == ["a", "b", "c", "d"]
    assert [bool(m.id) for m in messages] == [False, True, True, True]
    assert client.body.count(b"id: ") == 2


async def test_the_time_to_reconnect_comes_first_in_a_relayed_stream_too():
    async def make():
        yield START
        yield STOP

    async with Hub(MemoryLog(), authorize=lambda *_: True) as hub:
        await (await hub.publish("s", make)).wait()
        client = await Client().run(EventStreamResponse(hub.subscribe("s"), retry=3000))
    assert [m.retry for m in ms.SSEParser().feed(client.body)] == [3000, None]
    assert events(client) == [START, STOP]


# --- shutting down -------------------------------------------------------------------------------------------------


async def test_a_draining_server_lets_streams_finish_and_ends_the_others():
    async with Drain(grace=10) as drain:
        quick, slow = Client(), Client()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(quick.run, EventStreamResponse(scripted(START, Wait(5), STOP)[1], drain=drain))
            tasks.start_soon(slow.run, EventStreamResponse(scripted(START, HANG)[1], drain=drain))
            await trio.testing.wait_all_tasks_blocked()
            assert drain.open == 2
            drain.begin()
            drain.begin()
        assert anyio.current_time() == pytest.approx(10)
        assert drain.open == 0
        assert events(quick) == [START, STOP]
        start, error, finish = events(slow)
        assert (start, error.retryable, finish.reason) == (START, True, ms.FinishReason.ERROR)
        assert slow.is_ended
        late = await Client().run(EventStreamResponse(scripted(START, STOP)[1], drain=drain))
        assert late.status == 503


class Slow(Client):
    """Takes no message of a kind before `gate` is set."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.gate = anyio.Event()

    async def send(self, message):
        if message["type"] == self.kind:
            await self.gate.wait()
        await super().send(message)


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
async def test_a_message_that_is_being_sent_is_sent_to_its_end_when_the_server_stops(kind):
    client = Slow(kind)
    steps = [START, HANG] if kind == "http.response.body" else [HANG]
    async with anyio.create_task_group() as tasks, Drain(grace=0) as drain:
        tasks.start_soon(client.run, EventStreamResponse(scripted(*steps)[1], drain=drain))
        await trio.testing.wait_all_tasks_blocked()
        drain.begin()
        await anyio.sleep(1)
        assert client.bodies == []
        client.gate.set()
        await anyio.sleep(1)
        assert client.is_ended
    assert [event.type for event in events(client)] == ["start", "error", "finish"]


async def test_a_client_that_can_resume_is_not_told_of_the_shutdown_as_an_error():
    client = Client()
    async with anyio.create_task_group() as tasks, Drain(grace=0) as drain:
        stream = scripted(START, HANG)[1]
        tasks.start_soon(client.run, EventStreamResponse(stream, ids=lambda event: "1", drain=drain))
        await trio.testing.wait_all_tasks_blocked()
        drain.begin()
        await anyio.sleep(1)
        assert client.is_ended
        assert [event.type for event in events(client)] == ["start", "finish"]  # the decoder's own: incomplete
        assert b"error" not in client.body
