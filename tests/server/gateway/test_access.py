"""Who may ask, from where and how much; what strangers learn, which is nothing."""

from contextlib import asynccontextmanager
from hashlib import sha256

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import millstream as ms
from millstream.errors import UsageError
from millstream.server.gateway import Gateway, GatewayLimits, Keys
from millstream.testing import ScriptedSource
from server.gateway.kit import (
    ALICE,
    BOB,
    UPSTREAM_KEY,
    Model,
    body,
    client,
    gateway,
    messages_of,
    said,
    settled,
    text_of,
)
from server.serving import serving

pytestmark = pytest.mark.anyio

PATHS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/chat"),
    ("GET", "/v1/chat/c/stream"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/m"),
    ("GET", "/v1/streams/s"),
    ("GET", "/v1/streams/s/status"),
    ("DELETE", "/v1/streams/s"),
    ("POST", "/v1/streams/s/cancel"),
    ("GET", "/metrics"),
]
ASK = {"x-millstream-resume": "1"}


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {ALICE}x", f"Basic {ALICE}", ALICE, "Bearer \xff"])
async def test_without_a_key_there_is_nothing(given):
    model = Model(*said("Hi"))
    async with gateway(model, keys=[ALICE]) as (url, _), client(url) as http:
        for method, path in PATHS:
            answer = await http.request(method, path, json=body(), headers={"authorization": given.encode("latin-1")})
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert ALICE not in answer.text
        health = await http.get("/health")
    assert health.json() == {"status": "ok"}  # for load balancers; figures are not for everybody
    assert model.bodies == []


async def test_with_a_key_all_is_there_and_the_upstream_gets_its_own():
    model = Model(*said("Hi"))
    async with gateway(model, keys=[ALICE, BOB]) as (url, _), client(url, BOB) as http:
        answer = await http.post("/v1/chat/completions", json=body())
        models = (await http.get("/v1/models")).json()["data"]
        one = (await http.get("/v1/models/m")).json()
        assert "streams" in (await http.get("/health")).json()
    assert answer.json()["choices"][0]["message"]["content"] == "Hi"
    assert model.keys == [f"Bearer {UPSTREAM_KEY}"]
    assert models == [one]
    assert (one["id"], one["object"]) == ("m", "model")


def test_keys_are_hashed_and_never_shown():
    keys = Keys([ALICE, BOB])
    assert ALICE not in repr(keys) + str(vars(keys))
    owner = keys.owner(f"Bearer {ALICE}")
    assert owner == Keys([ALICE]).owner(f"bearer {ALICE}") != keys.owner(f"Bearer {BOB}")
    assert Keys([f"sha256:{sha256(ALICE.encode()).hexdigest()}"]).owner(f"Bearer {ALICE}") == owner
    assert Keys([ALICE]).owner("Bearer sha256:" + sha256(ALICE.encode()).hexdigest()) is None


@pytest.mark.parametrize(
    "bad", [[], ["short"], [""], ["a key with some spaces"], ["kéy-0123456789-0123"], ["sha256:12"]]
)
def test_a_key_that_could_be_guessed_is_refused(bad):
    with pytest.raises(UsageError) as caught:
        Keys(bad)
    assert "".join(bad) == "" or bad[0] not in str(caught.value)


async def test_metrics_may_have_keys_of_their_own():
    async with gateway(Model(), keys=[ALICE], watchers=Keys([BOB])) as (url, _):
        async with client(url, ALICE) as http:
            assert (await http.get("/metrics")).status_code == 401
            assert "streams" not in (await http.get("/health")).json()
        async with client(url, BOB) as http:
            assert (await http.get("/metrics")).status_code == 200
            assert (await http.get("/v1/models")).status_code == 401


# --- streams belong to keys ------------------------------------------------------------------------------------------


async def test_a_stream_of_another_key_is_as_one_that_never_was():
    async with gateway(Model(*said("Hi")), keys=[ALICE, BOB]) as (url, _):
        async with client(url, ALICE) as http:
            answer = await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK)
            mine = answer.headers["x-millstream-stream-id"]
            last = answer.text.rpartition("id: ")[2].split("\n")[0]
            assert (await http.get(f"/v1/streams/{mine}/status")).json()["status"] == "done"
        async with client(url, BOB) as http:
            for method, path in (
                ("GET", "/v1/streams/{}"),
                ("GET", "/v1/streams/{}/status"),
                ("DELETE", "/v1/streams/{}"),
                ("POST", "/v1/streams/{}/cancel"),
            ):
                his, none = [
                    await http.request(method, path.format(one), headers={"last-event-id": last})
                    for one in (mine, "AAAAAAAAAAAAAAAAAAAAAA")
                ]
                assert (his.status_code, his.content) == (none.status_code, none.content)
                assert (his.status_code, his.json()["error"]["code"]) == (404, "not_found")
                assert his.headers.keys() == none.headers.keys()


async def test_the_chat_of_another_key_is_another_chat():
    hold = anyio.Event()
    async with gateway(Model(*said("Hi")[:2], hold), keys=[ALICE, BOB]) as (url, app):
        chat = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
        async with client(url, ALICE) as http, http.stream("POST", "/v1/chat", json=chat, headers=ASK) as answer:
            assert answer.status_code == 200
            async with client(url, BOB) as other:
                assert (await other.get("/v1/chat/c/stream")).status_code == 204
            hold.set()
            await answer.aread()
        await settled(app)


async def test_a_chat_is_found_by_its_id_as_the_path_writes_it():
    hold = anyio.Event()
    async with gateway(Model(*said("Hi")[:2], hold), keys=[ALICE]) as (url, app), client(url, ALICE) as http:
        chat = {"id": "50%41", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
        async with http.stream("POST", "/v1/chat", json=chat, headers=ASK) as answer:
            assert (await http.get("/v1/chat/50%41/stream")).status_code == 204  # this is 50A
            async with http.stream("GET", "/v1/chat/50%2541/stream") as again:
                assert again.status_code == 200
            hold.set()
            await answer.aread()
        await settled(app)


async def test_an_owner_has_so_many_streams_at_once_and_others_still_have_theirs():
    hold = anyio.Event()
    limits = GatewayLimits(max_streams=2)
    async with gateway(Model(*said("Hi")[:2], hold), keys=[ALICE, BOB], limits=limits) as (url, app):
        async with client(url, ALICE) as http, client(url, BOB) as other, anyio.create_task_group() as tasks:

            async def ask(headers):
                async with http.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=headers) as it:
                    await it.aread()

            tasks.start_soon(ask, {})
            tasks.start_soon(ask, ASK)
            while app.figures.running < 2:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            refused = await http.post("/v1/chat/completions", json=body(stream=True))
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
            assert refused.headers["retry-after"] == "1"
            async with other.stream("POST", "/v1/chat/completions", json=body(stream=True)) as his:
                assert his.status_code == 200
                hold.set()
        await settled(app)
        async with client(url, ALICE) as http:
            assert (await http.post("/v1/chat/completions", json=body(stream=True))).status_code == 200


async def test_the_process_has_a_bound_too():
    hold = anyio.Event()
    async with (
        gateway(Model(*said("Hi")[:2], hold), limits=GatewayLimits(max_running=1)) as (url, _),
        client(url) as http,
        http.stream("POST", "/v1/chat/completions", json=body(stream=True)) as first,
    ):
        assert first.status_code == 200
        refused = await http.post("/v1/chat/completions", json=body())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        hold.set()


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1].x", ""])
async def test_without_keys_it_answers_under_a_name_of_this_machine_only(host):
    """A name of somebody else that was turned to this address (DNS rebinding) is no way in."""
    model = Model(*said("Hi"))
    async with gateway(model) as (url, _), client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(), headers={"host": host})
        assert answer.status_code in (400, 403)  # 400: uvicorn's own word for an empty one
        assert (await http.get("/v1/models", headers={"host": "localhost:8000"})).status_code == 200
    assert model.bodies == []


async def test_without_keys_a_page_of_another_site_gets_nothing():
    model = Model(*said("Hi"))
    async with gateway(model) as (url, _), client(url) as http:
        simple = {"origin": "https://evil.example", "content-type": "text/plain"}
        for headers in (
            simple,
            {**simple, "content-type": "application/json"},
            {"origin": "null"},
            {"origin": "http://["},
        ):
            answer = await http.post("/v1/chat/completions", content=b"{}", headers=headers)
            assert answer.status_code == 403
        assert (await http.get("/v1/models", headers={"origin": url})).status_code == 200
    assert model.bodies == []


async def test_pages_of_named_origins_may_ask():
    page = "https://app.example"
    async with gateway(Model(*said("Hi")), keys=[ALICE], origins=[page]) as (url, _), client(url) as http:
        asked = {"origin": page, "access-control-request-method": "POST"}
        allowed = await http.options("/v1/chat/completions", headers=asked)
        other = await http.options("/v1/chat/completions", headers={**asked, "origin": "https://evil.example"})
        known = {"origin": page, "authorization": f"Bearer {ALICE}"}
        answer = await http.post("/v1/chat/completions", json=body(), headers=known)
        refused = await http.get("/v1/models", headers={"origin": page})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == page
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert other.status_code == 405
    assert "access-control-allow-origin" not in other.headers
    assert answer.headers["access-control-allow-origin"] == refused.headers["access-control-allow-origin"] == page
    assert answer.headers["vary"] == "origin"
    assert refused.status_code == 401


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://app.example/x", "null"])
def test_an_origin_is_written_out(origin):
    with pytest.raises(UsageError):
        Gateway({"m": Model()}, keys=None, origins=[origin])


def test_a_gateway_says_at_once_what_will_not_do():
    with pytest.raises(UsageError):
        Gateway({}, keys=None)
    with pytest.raises(UsageError):
        Gateway({"m": Model()}, keys=None, resume="sometimes")
    with pytest.raises(UsageError):
        GatewayLimits(max_streams=0)


# --- requests --------------------------------------------------------------------------------------------------------


async def test_faults_of_requests_have_their_status_and_path():
    async with gateway(Model(*said("Hi"))) as (url, _), client(url) as http:

        async def status(method, path, **what):
            answer = await http.request(method, path, **what)
            error = answer.json()["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            return answer.status_code, error["param"]

        chat = "/v1/chat/completions"
        assert await status("POST", chat, content=b"{", headers={"content-type": "application/json"}) == (400, None)
        assert await status("POST", chat, json=body(messages=[{"role": "user"}])) == (400, "messages[0].content")
        assert await status("POST", chat, json=body(seed=1.5)) == (400, "seed")
        assert await status("POST", chat, content=b"a=b") == (415, None)
        assert await status("POST", chat, json=body(model="other")) == (404, "model")
        assert await status("GET", chat) == (405, None)
        assert await status("GET", "/v1/nothing") == (404, None)
        assert await status("GET", "/v1/models/other") == (404, "model")
        assert await status("POST", "/v1/chat?protocol=mcp-sse", json={"messages": []}) == (400, "protocol")
        assert (await http.get(chat)).headers["allow"] == "POST"
        head = await http.head("/v1/models")
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(declared):
    model = Model(*said("Hi"))

    async def pieces():
        for _ in range(40):
            yield b"x" * 1000

    async with gateway(model, limits=GatewayLimits(max_body_bytes=20_000)) as (url, _), client(url) as http:
        content = b"x" * 40_000 if declared else pieces()
        headers = {"content-type": "application/json"}
        answer = await http.post("/v1/chat/completions", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert model.bodies == []


async def test_a_large_body_is_read_and_its_faults_are_named():
    long = [{"role": "user", "content": "x" * 1_000_000}]
    model = Model(*said("Hi"))
    async with gateway(model) as (url, _), client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(messages=long))
        refused = await http.post("/v1/chat/completions", json=body(messages=[*long, {"role": "king"}]))
    assert answer.json()["choices"][0]["message"]["content"] == "Hi"
    assert model.bodies[0]["messages"] == long
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[1].role")


async def test_a_body_that_does_not_come_is_given_up():
    async with gateway(Model(), limits=GatewayLimits(body_within=0.2)) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as raw:
            head = ["POST /v1/chat HTTP/1.1", f"host: {host}", "content-type: application/json", "content-length: 9"]
            await raw.send("\r\n".join([*head, "", "{"]).encode())
            with anyio.fail_after(20):
                assert b" 408 " in (await raw.receive()).split(b"\r\n")[0]


async def test_a_client_that_leaves_before_it_has_said_all_is_answered_nothing_and_counts_no_longer():
    async with gateway(Model()) as (url, app), client(url) as http:
        host, port = url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as raw:
            head = ["POST /v1/chat HTTP/1.1", f"host: {host}", "content-type: application/json", "content-length: 9"]
            await raw.send("\r\n".join([*head, "", "{"]).encode())
            with anyio.fail_after(20):
                while not app.figures.admitted:  # noqa: ASYNC110 - there is no event for tests
                    await anyio.sleep(0.01)
        with anyio.fail_after(20):
            while app.figures.admitted:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert 'millstream_requests_total{route="/v1/chat",status="0"' in (await http.get("/metrics")).text


class Failing:
    """A model of the application's own that fails in a way that nobody foresaw."""

    protocol = "openai-compatible"

    def __init__(self, *events):
        self.events = events

    def stream_text(self, request):
        if not self.events:
            raise ZeroDivisionError("of no client's business")
        return ms.Stream(ScriptedSource(*self.events, ZeroDivisionError("of no client's business")))


@pytest.mark.parametrize("stream", [True, False])
async def test_what_nobody_foresaw_is_500_and_tells_the_client_nothing(stream):
    app = Gateway({"m": Failing()}, keys=None)
    async with serving(app, lifespan="on") as url, client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(stream=stream))
        assert (answer.status_code, answer.json()["error"]["message"]) == (500, "this gateway failed")
        assert app.figures.admitted == 0
        assert (await http.get("/health")).status_code == 200


async def test_what_nobody_foresaw_in_mid_stream_ends_in_an_error_and_reaches_the_server():
    app = Gateway({"m": Failing(ms.Start("real"), ms.TextDelta("Hel"))}, keys=None)
    raised = []

    async def outside(scope, receive, send):
        try:
            await app(scope, receive, send)
        except ZeroDivisionError as error:
            raised.append(error)
            raise

    async with serving(outside, lifespan="on") as url, client(url) as http:
        seen = (await http.post("/v1/chat/completions", json=body(stream=True))).content
    assert text_of(seen) == "Hel"
    assert messages_of(seen)[-1][1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in seen
    assert b"business" not in seen
    assert len(raised) == 1


async def test_a_gateway_can_be_mounted():
    def mounted(app):
        @asynccontextmanager
        async def lifespan(_):
            async with app:
                yield

        return Starlette(routes=[Mount("/ai", app)], lifespan=lifespan)

    def server(app, **settings):
        return serving(mounted(app), **settings)

    async with gateway(Model(*said("Hi")), server=server) as (url, _), client(url) as http:
        answer = await http.post("/ai/v1/chat/completions", json=body(stream=True), headers=ASK)
        again = await http.get("/ai/v1/streams/" + answer.headers["x-millstream-stream-id"])
    assert text_of(answer.content) == text_of(again.content) == "Hi"
