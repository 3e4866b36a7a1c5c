"""What requests may take together: counted from before a body is read until the answer has been sent."""

import anyio
import pytest

from millstream.events import Raw, Start, TextDelta, ToolCallDelta
from millstream.protocols.encoders.openai_chat import OpenAIChatEncoder
from millstream.server.gateway import GatewayLimits
from millstream.server.gateway._completion import Completion
from millstream.server.gateway._figures import Figures
from server.gateway.kit import ALICE, BOB, Model, body, client, gateway, said, settled

pytestmark = pytest.mark.anyio


def slow_body(begun, hold):
    async def pieces():
        yield b'{"model": "m", '
        begun.set()
        await hold.wait()
        yield b'"messages": [{"role": "user", "content": "Hi"}]}'

    return pieces()


async def test_a_request_counts_from_before_its_body_is_read():
    """Bodies that trickle in took their 16 MiB each, and counted for nobody."""
    begun, hold = anyio.Event(), anyio.Event()
    json = {"content-type": "application/json"}
    limits = GatewayLimits(max_streams=1, max_running=2)
    async with gateway(Model(*said("Hi")), keys=[ALICE, BOB], limits=limits) as (url, app):
        async with client(url, ALICE) as http, client(url, BOB) as other, anyio.create_task_group() as tasks:
            statuses = []

            async def ask(http, begun):
                answer = await http.post("/v1/chat/completions", content=slow_body(begun, hold), headers=json)
                statuses.append(answer.status_code)

            tasks.start_soon(ask, http, begun)
            await begun.wait()
            refused = await http.post("/v1/chat/completions", json=body())
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
            both = anyio.Event()
            tasks.start_soon(ask, other, both)
            await both.wait()
            while app.figures.admitted < 2:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            assert app.figures.running == 0
            hold.set()
        assert statuses == [200, 200]
        assert (app.figures.admitted, app.figures.held_bytes) == (0, 0)


async def test_bodies_of_all_together_have_a_bound():
    begun, hold = anyio.Event(), anyio.Event()
    json = {"content-type": "application/json"}
    limits = GatewayLimits(max_held_bytes=5000)
    async with gateway(Model(*said("Hi")), limits=limits) as (url, app):
        async with client(url) as http, anyio.create_task_group() as tasks:

            async def ask():
                answer = await http.post("/v1/chat/completions", content=slow_body(begun, hold), headers=json)
                assert answer.status_code == 200

            tasks.start_soon(ask)
            await begun.wait()
            while not app.figures.held_bytes:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            refused = await http.post("/v1/chat/completions", json=body(user="x" * 4990))
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"
            hold.set()
        assert app.figures.held_bytes == 0


@pytest.mark.parametrize("wrong", [{"content": b"{"}, {"content": b"x" * 500}, {"json": {"model": "none"}}])
async def test_a_request_that_is_refused_counts_no_longer(wrong):
    json = {"content-type": "application/json"}
    async with gateway(Model(*said("Hi")), limits=GatewayLimits(max_body_bytes=400)) as (url, app):
        async with client(url) as http:
            answer = await http.post("/v1/chat/completions", headers=json, **wrong)
            assert answer.status_code in (400, 404, 413)
        assert (app.figures.admitted, app.figures.held_bytes) == (0, 0)


async def test_a_whole_answer_has_a_bound_and_its_provider_is_left():
    words = said(*["x" * 1000] * 100)[:-1]
    model = Model(*words, anyio.Event())
    async with gateway(model, limits=GatewayLimits(max_answer_bytes=50_000)) as (url, app):
        async with client(url) as http:
            answer = await http.post("/v1/chat/completions", json=body())
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "answer_too_large")
            assert "stream" in answer.json()["error"]["message"]
            assert "limit" in app.figures.metrics({}, draining=False).partition("errors_total{")[2]
        await settled(app, model)


async def test_whole_answers_of_all_together_have_a_bound():
    hold = anyio.Event()
    model = Model(*said(*["x" * 1000] * 30)[:-1], hold, said()[-1])
    async with gateway(model, limits=GatewayLimits(max_held_bytes=50_000)) as (url, app):
        async with client(url) as http, anyio.create_task_group() as tasks:

            async def ask():
                assert (await http.post("/v1/chat/completions", json=body())).status_code == 200

            tasks.start_soon(ask)
            while app.figures.held_bytes < 30_000:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            assert (await http.post("/v1/chat/completions", json=body())).status_code == 503
            hold.set()
        assert app.figures.held_bytes == 0


def test_all_that_a_whole_answer_keeps_is_counted():
    whole = Completion(OpenAIChatEncoder())
    events = (Start(), TextDelta("é"), TextDelta("abc"), TextDelta(""), Raw("x" * 100), ToolCallDelta("", "", "12"))
    counted = [whole.add(event) for event in events]
    assert [n > 64 for n in counted] == [True, True, True, False, False, True]
    assert counted[3:] == [64, 0, 66]
    assert whole.n_bytes == sum(counted)


def test_what_has_ended_keeps_nothing_more():
    figures = Figures(["m"])
    live = figures.admit("a")
    live.hold(5)
    assert figures.held_bytes == 5
    live.end()
    live.hold(5)
    assert (figures.held_bytes, figures.admitted, figures.of_owner("a")) == (0, 0, 0)
