"""Answers that outlive their connection: resumed, cancelled and read by others, in one process and through Redis."""

import anyio
import anyio.to_thread
import pytest

from millstream.relay import RedisLog
from protocols.encoders.npm_clients import node, require_node
from relay.redis_server import RedisServer
from server.gateway.kit import (
    ALICE,
    BOB,
    Model,
    body,
    client,
    gateway,
    messages_of,
    process,
    quick_process,
    said,
    settled,
    text_of,
    ui_body,
    up,
)
from server.serving import serving

pytestmark = pytest.mark.anyio

ASK = {"x-millstream-resume": "1"}
WORDS = [f"w{i} " for i in range(12)]
WHOLE = "".join(WORDS)


def ids_of(data):
    return [id for id, _ in messages_of(data)]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat", "/v1/chat?protocol=native"])
async def test_it_resumes_after_every_event(path):
    async with gateway(Model(*said(*WORDS))) as (url, app), client(url) as http:
        asked = ui_body() if "chat?" in path or path.endswith("chat") else body(stream=True)
        first = await http.post(path, json=asked, headers=ASK)
        stream = "/v1/streams/" + first.headers["x-millstream-stream-id"]
        whole = messages_of(first.content)
        assert len(set(ids_of(first.content))) == len(whole) > len(WORDS)
        for at, id in enumerate(ids_of(first.content)):
            rest = await http.get(stream, headers={"last-event-id": id})
            assert messages_of(rest.content) == whole[at + 1 :]
            assert rest.status_code == (200 if whole[at + 1 :] else 204)
        anew = await http.get(stream)
        assert anew.content == first.content
        shown = {"content-type", "x-vercel-ai-ui-message-stream", "x-millstream-stream-id"}
        assert {n: v for n, v in anew.headers.items() if n in shown} == {
            n: v for n, v in first.headers.items() if n in shown
        }
        query = await http.get(stream, params={"last_event_id": ids_of(first.content)[-2]})
        assert messages_of(query.content) == whole[-1:]
        await settled(app)


async def test_the_answer_goes_on_when_its_client_has_left():
    hold = anyio.Event()
    pieces = said(*WORDS)
    model = Model(*pieces[:4], hold, *pieces[4:])
    async with gateway(model) as (url, app), client(url) as http:
        async with http.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=ASK) as answer:
            name = answer.headers["x-millstream-stream-id"]
            seen = b""
            async for piece in answer.aiter_raw():
                seen += piece
                if seen.count(b"data: ") >= 3 and seen.endswith(b"\n\n"):
                    break
        await anyio.sleep(0.1)
        assert (model.gone, app.figures.running) == (0, 1)
        assert (await http.get(f"/v1/streams/{name}/status")).json()["status"] == "open"
        hold.set()
        rest = await http.get(f"/v1/streams/{name}", headers={"last-event-id": ids_of(seen)[-1]})
        assert text_of(seen) + text_of(rest.content) == WHOLE
        await settled(app)


@pytest.mark.parametrize("how", ["DELETE", "POST"])
async def test_a_cancelled_answer_ends_for_all_and_upstream(how):
    model = Model(*said(*WORDS)[:4], anyio.Event())
    async with gateway(model) as (url, app), client(url) as http:
        async with http.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=ASK) as answer:
            name = answer.headers["x-millstream-stream-id"]
            path = f"/v1/streams/{name}" + ("/cancel" if how == "POST" else "")
            pieces = answer.aiter_raw()
            seen = await anext(pieces)
            done = await http.request(how, path)
            assert (done.status_code, done.json()) == (200, {"id": name, "was": "open"})
            async for piece in pieces:
                seen += piece
        assert text_of(seen) == "".join(WORDS[:3])
        assert seen.endswith(b"data: [DONE]\n\n")
        await settled(app, model)
        assert (await http.get(f"/v1/streams/{name}/status")).json()["status"] == "cancelled"
        assert (await http.request(how, path)).json()["was"] == "cancelled"


async def test_bad_places_to_resume_from_are_told_apart_by_status_and_give_no_byte():
    async with gateway(Model(*said("a")), keys=[ALICE, BOB]) as (url, _), client(url, ALICE) as http:
        one, two = [await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK) for _ in range(2)]
        path = "/v1/streams/" + one.headers["x-millstream-stream-id"]
        epoch, _, mac = ids_of(one.content)[0].split(".")
        cases = {
            "x": 400,
            "1.2": 400,
            "1" * 2000: 400,
            f"{epoch}.1.{'0' * 24}": 400,  # forged
            f"{epoch}.2.{mac}": 400,
            ids_of(two.content)[0]: 400,  # of another stream
            "\xff": 400,
        }
        for id, status in cases.items():
            answer = await http.get(path, headers=[(b"last-event-id", id.encode("latin-1"))])
            assert answer.status_code == status, id
            assert b"data:" not in answer.content
        for name in ("nothing", "a" * 129, "%2e%2e", "a%0d%0ab"):
            assert (await http.get(f"/v1/streams/{name}")).status_code == 404


async def test_a_gateway_without_resume_keeps_nothing():
    async with gateway(Model(*said("Hi")), resume="never") as (url, _), client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK)
        assert "x-millstream-stream-id" not in answer.headers
        assert (await http.get("/v1/streams/x")).status_code == 404
        assert (await http.delete("/v1/streams/x")).status_code == 404
        assert (await http.get("/v1/chat/c/stream")).status_code == 204


async def test_always_means_all_but_those_that_say_no():
    async with gateway(Model(*said("Hi")), resume="always") as (url, _), client(url) as http:
        kept = await http.post("/v1/chat/completions", json=body(stream=True))
        not_kept = await http.post("/v1/chat/completions", json=body(stream=True), headers={"x-millstream-resume": "0"})
    assert "x-millstream-stream-id" in kept.headers
    assert "x-millstream-stream-id" not in not_kept.headers


# --- useChat ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", ["never", "always"])
async def test_the_npm_package_ai_reads_the_chat(resume):
    require_node()
    async with gateway(Model(*said("Hel", "lo")), resume=resume) as (url, _):
        (read,) = await anyio.to_thread.run_sync(node, "chat_transport.mjs", url + "/v1/chat")
    assert [part["text"] for part in read["message"]["parts"] if part["type"] == "text"] == ["Hello"]
    assert read["finish"]["finishReason"] == "stop"


async def test_a_page_that_is_loaded_anew_finds_the_answer_that_is_under_way():
    """By the path that `useChat({ resume: true })` asks."""
    hold = anyio.Event()
    pieces = said(*WORDS)
    async with gateway(Model(*pieces[:4], hold, *pieces[4:])) as (url, app), client(url) as http:
        assert (await http.get("/v1/chat/c 1/stream")).status_code == 204
        asked = ui_body(id="c 1")
        async with http.stream("POST", "/v1/chat", json=asked, headers=ASK) as answer:
            first = await anext(answer.aiter_raw())
        async with http.stream("GET", "/v1/chat/c 1/stream") as again:
            assert again.headers["x-vercel-ai-ui-message-stream"] == "v1"
            hold.set()
            data = await again.aread()
        told = [value for _, value in messages_of(data)]
        assert "".join(one["delta"] for one in told if one and one["type"] == "text-delta") == WHOLE
        assert told[0]["messageId"] == messages_of(first)[0][1]["messageId"]
        await settled(app)
        assert (await http.get("/v1/chat/c 1/stream")).status_code == 204


async def test_the_npm_package_ai_comes_back_to_a_chat():
    require_node()
    hold = anyio.Event()
    pieces = said(*WORDS)

    def noticing(app, **settings):
        async def wrapped(scope, receive, send):
            async def sent(message):
                if scope["path"].endswith("/stream") and message["type"] == "http.response.start":
                    hold.set()  # the page is here: the answer may go on
                await send(message)

            await app(scope, receive, sent if scope["type"] == "http" else send)

        return serving(wrapped, **settings)

    async with gateway(Model(*pieces[:4], hold, *pieces[4:]), server=noticing) as (url, _), client(url) as http:
        async with http.stream("POST", "/v1/chat", json=ui_body(id="c"), headers=ASK) as answer:
            await anext(answer.aiter_raw())  # left here, and the answer goes on
        (read,) = await anyio.to_thread.run_sync(node, "chat_reconnect.mjs", url + "/v1/chat", "c")
        (none,) = await anyio.to_thread.run_sync(node, "chat_reconnect.mjs", url + "/v1/chat", "other")
    assert [part["text"] for part in read["message"]["parts"] if part["type"] == "text"] == [WHOLE]
    assert none["message"] is None


async def test_the_next_answer_of_a_chat_takes_its_place():
    model = Model(*said("Hi")[:2], anyio.Event())
    async with (
        gateway(model) as (url, app),
        client(url) as http,
        http.stream("POST", "/v1/chat", json=ui_body(id="c"), headers=ASK),
    ):
        model.pieces = said("new")
        second = await http.post("/v1/chat", json=ui_body(id="c"), headers=ASK)
        assert b'"new"' in second.content
        await settled(app, model)  # the first one was stopped, upstream too


# --- several processes -----------------------------------------------------------------------------------------------


async def test_another_worker_goes_on_where_this_one_was_left(redis):
    """Cut off after some events here, resumed there through a real redis, without loss and without repetition."""
    hold = anyio.Event()
    pieces = said(*WORDS)
    async with serving(Model(*pieces[:5], hold, *pieces[5:])) as upstream:
        with process(upstream, "--redis", redis.url) as (one, _), process(upstream, "--redis", redis.url) as (two, _):
            await up(one)
            await up(two)
            async with client(one, ALICE) as here, client(two, ALICE) as there, client(two, BOB) as other:
                seen = b""
                async with here.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=ASK) as answer:
                    name = answer.headers["x-millstream-stream-id"]
                    async for piece in answer.aiter_raw():
                        seen += piece
                        if seen.count(b"data: ") >= 5 and seen.endswith(b"\n\n"):
                            break
                path = f"/v1/streams/{name}"
                assert (await other.get(path)).status_code == 404
                async with there.stream("GET", path, headers={"last-event-id": ids_of(seen)[-1]}) as rest:
                    hold.set()
                    data = await rest.aread()
                whole = (await here.get(path)).content
    assert messages_of(seen) + messages_of(data) == messages_of(whole)
    assert text_of(whole) == WHOLE


async def test_another_worker_cancels(redis):
    model = Model(*said(*WORDS)[:4], anyio.Event())
    async with serving(model) as upstream:
        with process(upstream, "--redis", redis.url) as (one, _), process(upstream, "--redis", redis.url) as (two, _):
            await up(one)
            await up(two)
            async with (
                client(two, ALICE) as there,
                client(one, ALICE) as here,
                here.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=ASK) as answer,
            ):
                name = answer.headers["x-millstream-stream-id"]
                pieces = answer.aiter_raw()
                seen = await anext(pieces)
                assert (await there.delete(f"/v1/streams/{name}")).json()["was"] == "open"
                with anyio.fail_after(20):
                    async for piece in pieces:
                        seen += piece
                    await model.left.wait()
    assert text_of(seen) == "".join(WORDS[:3])
    assert seen.endswith(b"data: [DONE]\n\n")


async def test_a_worker_that_is_killed_leaves_an_error_and_no_silence(redis):
    """Its readers elsewhere hear of it after the lease, and get all that was written before."""
    model = Model(*said(*WORDS)[:4], anyio.Event())
    log = RedisLog(redis.url, lease=1.0)
    async with serving(model) as upstream, gateway(Model(), keys=[ALICE], log=log) as (two, _):
        with quick_process(upstream, redis.url) as (one, child):
            await up(one)
            async with (
                client(two, ALICE) as there,
                client(one, ALICE) as here,
                here.stream("POST", "/v1/chat/completions", json=body(stream=True), headers=ASK) as answer,
            ):
                name = answer.headers["x-millstream-stream-id"]
                await anext(answer.aiter_raw())
                async with there.stream("GET", f"/v1/streams/{name}") as reader:
                    child.kill()
                    with anyio.fail_after(20):
                        data = await reader.aread()
    assert text_of(data) == "".join(WORDS[:3])
    assert b"[DONE]" not in data
    assert messages_of(data)[-1][1]["error"]["type"] == "server_error"


async def test_redis_that_is_gone_is_503_and_leaves_other_answers_alone():
    with RedisServer() as redis:
        async with gateway(Model(*said("Hi")), log=RedisLog(redis.url), patience=0.3) as (url, _), client(url) as http:
            redis.kill()
            plain = await http.post("/v1/chat/completions", json=body())
            kept = await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK)
            other = await http.get("/v1/streams/x/status")
    assert plain.json()["choices"][0]["message"]["content"] == "Hi"
    assert (kept.status_code, other.status_code) == (503, 503)
    assert "127.0.0.1" not in kept.text + other.text
