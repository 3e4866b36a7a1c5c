import hashlib
import math

import anyio
import httpx2
import orjson
import pytest
import trio.testing

import millstream as ms
from millstream.server.replay import PACKAGED, RECORDING_HEADER, Recording, ReplayApp, load_recordings
from server.asgi_harness import Client
from server.serving import serving

NAMES = [
    *[
        "chat-json-schema",
        "chat-text",
        "chat-text-usage",
        "chat-tool-call",
        "demo-chat",
        "demo-messages",
        "demo-object",
    ],
    *["messages-text", "messages-thinking"],
]
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"

on_both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(scope="module")
def recordings():
    return load_recordings()


@pytest.fixture
def frozen_clock():
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def anyio_backend(frozen_clock):
    """trio with a clock that jumps to the next deadline: recorded time passes at once, and exactly."""
    return "trio", {"clock": frozen_clock}


def test_the_packaged_recordings_are_whole(recordings):
    assert sorted(recordings) == NAMES
    for recording in recordings.values():
        body = b"".join(data for _, data in recording.chunks)
        assert hashlib.sha256(body).hexdigest() == recording.info["sha256"]
        assert len(recording.chunks) == recording.info["n_chunks"]


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_recordings_mean_what_their_truth_says(recordings, name):
    recording = recordings[name]
    truth = orjson.loads((PACKAGED / f"{name}.sse.truth.json").read_bytes())
    events = list(ms.iter_events((data for _, data in recording.chunks), recording.info["api"]))
    assert "".join(e.text for e in events if isinstance(e, ms.TextDelta)) == truth["text"]
    assert "".join(e.text for e in events if isinstance(e, ms.ReasoningDelta)) == truth["reasoning"]
    assert [e.name for e in events if isinstance(e, ms.ToolCall)] == [call["name"] for call in truth["tool_calls"]]
    assert events[-1].raw_reason == truth["finish_reason"]


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "name"), [(CHAT, "demo-chat"), (MESSAGES, "demo-messages")])
async def test_plays_at_the_recorded_pace_without_drift(recordings, path, name):
    begun = anyio.current_time()
    client = await Client(path).run(ReplayApp(recordings))
    recording = recordings[name]
    assert client.status == 200
    assert client.headers["content-type"] == recording.info["content_type"]
    assert client.bodies == [data for _, data in recording.chunks] + [b""]
    assert client.is_ended
    expected = [recording.headers_at, *(at for at, _ in recording.chunks)]
    assert [at - begun for at in client.times[:-1]] == pytest.approx(expected, abs=1e-9)


@pytest.mark.anyio
async def test_speed_divides_the_delays(recordings):
    begun = anyio.current_time()
    client = await Client(CHAT).run(ReplayApp(recordings, speed=10))
    assert client.times[-2] - begun == pytest.approx(recordings["demo-chat"].chunks[-1][0] / 10)


@pytest.mark.anyio
async def test_infinite_speed_waits_for_nothing_and_keeps_the_chunks(recordings):
    begun = anyio.current_time()
    client = await Client(CHAT).run(ReplayApp(recordings, speed=math.inf))
    assert client.times[-1] == begun
    assert client.bodies[:-1] == [data for _, data in recordings["demo-chat"].chunks]


@pytest.mark.anyio
async def test_a_slow_client_is_caught_up_with(recordings):
    """Chunks that are late go out at once; the next one that is in time is in time again."""
    client = Client(CHAT)
    begun = anyio.current_time()

    async def send(message):
        if len(client.received) == 10:
            await anyio.sleep(1)
        await client.send(message)

    await ReplayApp(recordings)(client.scope, client.receive, send)
    assert client.times[-2] - begun == pytest.approx(recordings["demo-chat"].chunks[-1][0])


@pytest.mark.anyio
@on_both
async def test_the_header_chooses(recordings, anyio_backend):
    client = await Client(CHAT, headers={RECORDING_HEADER: "chat-text"}).run(ReplayApp(recordings, speed=math.inf))
    assert client.body == b"".join(data for _, data in recordings["chat-text"].chunks)


@pytest.mark.anyio
@on_both
async def test_recordings_of_one_endpoint_answer_in_turn_and_begin_again(recordings, anyio_backend):
    turns = ["chat-tool-call", "messages-thinking", "chat-text", "chat-text", "chat-json-schema"]
    app = ReplayApp(recordings, speed=math.inf, turns=turns)

    async def answers(path, **headers):
        client = await Client(path, headers=headers).run(app)
        bodies = {b"".join(data for _, data in item.chunks): name for name, item in recordings.items()}
        return bodies[client.body]

    assert [await answers(CHAT) for _ in range(2)] == ["chat-tool-call", "chat-text"]
    assert await answers(MESSAGES) == "messages-thinking"
    assert await answers(CHAT, **{RECORDING_HEADER: "chat-text-usage"}) == "chat-text-usage"  # is nobody's turn
    assert [await answers(CHAT) for _ in range(3)] == ["chat-text", "chat-json-schema", "chat-tool-call"]
    assert await answers(MESSAGES) == "messages-thinking"


def test_a_turn_that_nobody_has_recorded_is_refused(recordings):
    with pytest.raises(ms.UsageError, match="no recording 'nothing'; there are: chat-text, "):
        ReplayApp(recordings, turns=["chat-text", "nothing"])


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["nothing", "messages-text", "../messages-text"])
async def test_a_recording_that_the_endpoint_does_not_have_is_404(recordings, name):
    client = await Client(CHAT, headers={RECORDING_HEADER: name}).run(ReplayApp(recordings))
    assert client.status == 404
    assert "chat-text, chat-text-usage, chat-tool-call" in orjson.loads(client.body)["error"]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/none", 404), ("GET", "/", 404), ("GET", CHAT, 405), ("POST", "/recordings", 405)],
)
async def test_other_paths_and_methods_are_refused(recordings, method, path, status):
    client = await Client(path, method).run(ReplayApp(recordings))
    assert client.status == status
    assert client.headers["content-type"] == "application/json"
    assert int(client.headers["content-length"]) == len(client.body)
    assert path in orjson.loads(client.body)["error"]["message"]
    assert ("allow" in client.headers) == (status == 405)


@pytest.mark.anyio
async def test_lists_the_recordings(recordings):
    client = await Client("/recordings", "GET").run(ReplayApp(recordings))
    assert sorted(item["name"] for item in orjson.loads(client.body)) == NAMES


@pytest.mark.anyio
async def test_stops_at_once_when_the_client_leaves_while_it_waits(recordings):
    client = Client(CHAT)
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run, ReplayApp(recordings, speed=0.001))
        await trio.testing.wait_all_tasks_blocked()
        client.disconnect()
    assert anyio.current_time() == begun
    assert client.received == []


@pytest.mark.anyio
async def test_stops_when_the_client_leaves_a_replay_that_never_waits(recordings):
    client = await Client(CHAT, leave_after=3).run(ReplayApp(recordings, speed=math.inf))
    assert 3 <= len(client.bodies) < 10
    assert not client.is_ended


@pytest.mark.anyio
async def test_other_kinds_of_scope_are_not_served(recordings):
    with pytest.raises(ms.UsageError, match="lifespan"):
        await ReplayApp(recordings)({"type": "lifespan"}, None, None)


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_the_speed_must_be_above_0(recordings, speed):
    with pytest.raises(ms.UsageError, match="speed"):
        ReplayApp(recordings, speed=speed)


def _folder(path, chunks):
    info = {
        "file": "x.sse",
        "endpoint": "/x",
        "content_type": "text/event-stream",
        "timing": chunks and "x.timing.json",
    }
    (path / "INDEX.json").write_bytes(orjson.dumps([info]))
    (path / "x.sse").write_bytes(b"data: 1\n\n")
    (path / "x.timing.json").write_bytes(orjson.dumps({"headers_at": 0.5, "chunks": chunks}))
    return path


@pytest.mark.anyio
async def test_any_folder_of_recordings_is_served_under_its_own_endpoints(tmp_path):
    client = await Client("/x").run(ReplayApp(_folder(tmp_path, [[1, 4], [2, 5]])))
    assert client.bodies == [b"data", b": 1\n\n", b""]


def test_without_timing_the_body_is_one_chunk(tmp_path):
    assert load_recordings(_folder(tmp_path, None))["x"].chunks == ((0.0, b"data: 1\n\n"),)


def test_timing_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ms.UsageError, match="describes 5 bytes, its body has 9"):
        load_recordings(_folder(tmp_path, [[1, 5]]))


@pytest.mark.anyio
@on_asyncio
@pytest.mark.parametrize("name", NAMES)
async def test_over_real_http(recordings, name, anyio_backend):
    info = recordings[name].info
    async with serving(ReplayApp(recordings, speed=math.inf)) as url, httpx2.AsyncClient(trust_env=False) as client:
        request = client.stream("POST", url + info["endpoint"], json=info["request"], headers={RECORDING_HEADER: name})
        async with ms.stream(request, protocol=info["api"]) as stream:
            events = await stream.collect()
    assert events == list(ms.iter_events([b"".join(data for _, data in recordings[name].chunks)], info["api"]))


@pytest.mark.anyio
@on_asyncio
async def test_a_client_that_hangs_up_over_real_http_ends_the_replay(anyio_backend):
    ended = anyio.Event()
    endless = Recording(
        "x", {"endpoint": "/x", "content_type": "text/event-stream"}, 0.0, ((0.0, b": hi\n\n"), (1e9, b"late"))
    )
    app = ReplayApp({"x": endless})

    async def watched(scope, receive, send):
        await app(scope, receive, send)
        ended.set()

    async with serving(watched) as url:
        async with httpx2.AsyncClient(trust_env=False) as client, client.stream("POST", url + "/x") as response:
            async for data in response.aiter_bytes():
                assert data == b": hi\n\n"
                break
        with anyio.fail_after(10):
            await ended.wait()


class Uploading(Client):
    """A client whose request comes in two pieces, the second when `more` is set."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pieces = 0
        self.more = anyio.Event()

    async def receive(self):
        self.pieces += 1
        if self.pieces == 1:
            return {"type": "http.request", "body": b"{", "more_body": True}
        if self.pieces == 2 and not self._gone.is_set():
            await self.more.wait()
            if not self._gone.is_set():
                return {"type": "http.request", "body": b"}", "more_body": False}
        return await super().receive() if self._asked else {"type": "http.disconnect"}


@pytest.mark.anyio
@on_both
@pytest.mark.parametrize(("path", "status"), [(CHAT, 200), ("/nowhere", 404)])
async def test_a_request_is_read_before_it_is_answered(path, status):
    """Servers close a connection whose request was not read: a client that still sends sees that, not the answer."""
    client = Uploading(path)
    client._asked = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run, ReplayApp(speed=math.inf))
        await anyio.wait_all_tasks_blocked()
        assert (client.received, client.pieces) == ([], 2)
        client.more.set()
    assert client.received[0]["status"] == status


@pytest.mark.anyio
@on_both
async def test_a_client_that_leaves_while_it_asks_gets_nothing():
    client = Uploading(CHAT)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.run, ReplayApp(speed=math.inf))
        await anyio.wait_all_tasks_blocked()
        client.disconnect()
        client.more.set()
    assert client.received == []
