"""The watcher of a response on asyncio, where it is a bare task with one timer: `test_answers.py` has trio's clock."""

import asyncio

import anyio
import pytest

import millstream as ms
from millstream.relay import Hub, MemoryLog
from millstream.server import EventStreamResponse
from millstream.streams import Stream
from millstream.testing import HANG, ScriptedSource
from relay.counting import counting
from relay.engines import everybody
from relay.test_cost import InTurn
from server.asgi_harness import Client

pytestmark = pytest.mark.anyio

START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi"), ms.Finish(ms.FinishReason.STOP)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


class Hearing(Client):
    """Leaves after so many heartbeats."""

    def __init__(self, beats):
        super().__init__()
        self.missing = beats

    async def send(self, message):
        await super().send(message)
        self.missing -= message.get("body", b"").startswith(b":")
        if self.missing == 0:
            self.disconnect()


async def test_heartbeats_come_as_long_as_there_is_silence():
    source = ScriptedSource(START, HANG)
    client = Hearing(3)
    with anyio.fail_after(20):
        await client.run(EventStreamResponse(Stream(source), heartbeat=0.01))
    assert sorted(body[:2] for body in client.bodies) == [b": ", b": ", b": ", b"da"]
    assert source.closed


async def test_a_client_that_does_not_read_is_left():
    source = ScriptedSource(START, TEXT, STOP)
    with anyio.fail_after(20):
        await Client(stuck_after=1).run(EventStreamResponse(Stream(source), send_timeout=0.02))
    assert source.closed


async def test_an_answer_begins_before_its_upstream_does():
    opened = anyio.Event()

    class Late(ms.Stream):
        async def _open(self):
            await opened.wait()
            await super()._open()

    client = Hearing(1)
    client.disconnect = opened.set
    with anyio.fail_after(20):
        await client.run(EventStreamResponse(Late(ScriptedSource(STOP)), open_within=0.01))
    assert client.status == 200
    assert client.is_ended


async def test_an_upstream_that_opens_while_the_status_is_being_sent_sends_no_other():
    opened, sending, let = anyio.Event(), anyio.Event(), anyio.Event()

    class Late(ms.Stream):
        async def _open(self):
            await opened.wait()
            await super()._open()

    class Slow(Client):
        async def send(self, message):
            if message["type"] == "http.response.start":
                sending.set()
                await let.wait()
            await super().send(message)

    client = Slow()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run, EventStreamResponse(Late(ScriptedSource(STOP)), open_within=0.01))
            await sending.wait()
            opened.set()
            await anyio.wait_all_tasks_blocked()
            assert not client.received
            let.set()
    assert [message["type"] for message in client.received].count("http.response.start") == 1
    assert client.is_ended


async def test_what_receive_raises_ends_the_answer():
    source = ScriptedSource(START, HANG)

    async def receive():
        raise RuntimeError("the server has a bug")

    client = Client()
    with pytest.raises(RuntimeError, match="has a bug"), anyio.fail_after(20):
        await EventStreamResponse(Stream(source))(client.scope, receive, client.send)
    assert source.closed


@pytest.mark.parametrize("says", ["http.request", "http.disconnect"])
async def test_a_receive_that_gives_a_message_when_it_is_told_to_stop_is_heard(says):
    """Servers may have one at hand at that very moment."""
    source = ScriptedSource(START, HANG)
    client = Hearing(3)
    n_swallowed = 0

    async def receive():
        nonlocal n_swallowed
        try:
            return await Client.receive(client)
        except anyio.get_cancelled_exc_class():
            if n_swallowed:
                raise
            n_swallowed += 1
            return {"type": says}

    with anyio.fail_after(20):
        await EventStreamResponse(Stream(source), heartbeat=0.01)(client.scope, receive, client.send)
    assert source.closed
    assert n_swallowed == 1
    assert sum(body.startswith(b":") for body in client.bodies) == (3 if says == "http.request" else 0)


async def test_who_is_cancelled_from_outside_leaves_no_task(anyio_backend):
    source = ScriptedSource(START, HANG)
    client = Client()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run, EventStreamResponse(Stream(source)))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert source.closed
    if anyio_backend == "asyncio":
        assert len(asyncio.all_tasks()) <= 2  # this one, and the one that runs the fixtures


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancelled_task_takes_its_answer_with_it(anyio_backend):
    source = ScriptedSource(START, HANG)
    answering = asyncio.create_task(Client().run(EventStreamResponse(Stream(source))))
    await anyio.wait_all_tasks_blocked()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert source.closed


@pytest.mark.parametrize("relayed", [False, True])
async def test_an_event_makes_no_task_no_scope_and_no_timer(anyio_backend, monkeypatch, relayed):
    n = 500
    source = InTurn(n, 1)

    async def make():
        async for batch in source():
            yield [ms.TextDelta(item.decode()) for item in batch]

    class Turning(Client):
        async def send(self, message):
            await super().send(message)
            if b"text_delta" in message.get("body", b""):
                source.got()

    client = Turning()
    async with Hub(MemoryLog(), authorize=everybody) as hub:
        if relayed:
            await hub.publish("s", lambda: Stream.from_batches(make()))
        stream = hub.subscribe("s") if relayed else Stream.from_batches(make())
        counts = counting(monkeypatch)
        await client.run(EventStreamResponse(stream))
        monkeypatch.undo()
    got = ms.iter_events([client.body], "millstream.events.v1")
    assert [event.text for event in got if isinstance(event, ms.TextDelta)] == [str(i) for i in range(n)]
    assert counts["tasks"] < 20
    assert counts["timers"] < 40
    assert counts["scopes"] < (40 if anyio_backend == "asyncio" else (1 + relayed) * n + 40)  # trio: streams/_core.py


async def test_no_heartbeat_comes_into_the_middle_of_a_message():
    gate = anyio.Event()

    async def make():
        yield b"data: a\n\n"
        yield b"data: b"
        await gate.wait()
        yield b"\n\n"
        await anyio.sleep_forever()

    client = Hearing(1000)  # before the first message some may come, on a busy machine
    async with Hub(MemoryLog(), authorize=everybody) as hub, anyio.create_task_group() as tasks:
        await hub.publish("s", make, protocol=None, media_type="text/event-stream")
        response = EventStreamResponse(hub.subscribe("s"), heartbeat=0.01)
        tasks.start_soon(client.run, response)
        with anyio.fail_after(20):
            while not client.body.endswith(b"data: b"):  # noqa: ASYNC110 - there is no event for tests
                await anyio.sleep(0.001)
        missing = client.missing
        await anyio.sleep(0.1)  # ten heartbeats
        assert client.missing == missing
        client.missing = 1
        gate.set()
        with anyio.fail_after(20):
            await client._gone.wait()
        tasks.cancel_scope.cancel()
    assert client.body.endswith(b"data: b\n\n:\n")
