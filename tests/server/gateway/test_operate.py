"""Health, metrics, draining: what those who run a gateway look at."""

import math
import signal

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

import millstream as ms
from millstream.errors import UsageError
from millstream.events import Finish, FinishReason, Usage
from millstream.server.gateway import Gateway
from millstream.server.gateway._figures import MAX_TOKENS, Figures, Watched
from millstream.server.gateway._metrics import Histogram, family
from millstream.streams import Stream
from millstream.testing import ScriptedSource
from server.gateway.kit import (
    ALICE,
    Model,
    body,
    chunk,
    client,
    ended,
    gateway,
    messages_of,
    process,
    said,
    settled,
    text_of,
    up,
)
from server.serving import serving

pytestmark = pytest.mark.anyio

ASK = {"x-millstream-resume": "1"}
MODELS = {"m": ms.provider("compatible:real", base_url="http://127.0.0.1:1/v1")}


def metrics_of(text):
    """(name, labels without `worker`) -> value, and name -> type, as Prometheus's own parser reads them."""
    families = list(text_string_to_metric_families(text))
    samples = {(one.name, *sorted(one.labels.values())): one.value for each in families for one in each.samples}
    return samples, {one.name: one.type for one in families}


async def test_metrics_say_what_happened():
    model = Model(*said("Hel", "lö"))
    async with gateway(model) as (url, app), client(url) as http:
        await http.post("/v1/chat/completions", json=body())
        await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK)
        await http.post("/v1/chat/completions", json=body(seed="x"))
        await settled(app)
        model.status = 429
        await http.post("/v1/chat/completions", json=body())
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples, types = metrics_of(answer.text)
    assert samples["millstream_requests_total", "/v1/chat/completions", "200"] == 2
    assert samples["millstream_requests_total", "/v1/chat/completions", "400"] == 1
    assert samples["millstream_requests_total", "/v1/chat/completions", "429"] == 1
    assert samples["millstream_streams_total", "m"] == 3
    assert samples["millstream_streams_running", "m"] == 0
    assert samples["millstream_text_bytes_total", "m"] == 2 * len("Hellö".encode())
    assert samples["millstream_tokens_total", "input", "m"] == 6
    assert samples["millstream_tokens_total", "m", "output"] == 4
    assert samples["millstream_errors_total", "m", "rate_limited"] == 1
    assert samples["millstream_stream_seconds_count", "m"] == 3
    assert samples["millstream_first_event_seconds_bucket", "+Inf", "m"] == 2
    assert samples[("millstream_draining",)] == 0
    assert types["millstream_requests"] == "counter"
    assert types["millstream_streams_running"] == "gauge"
    assert types["millstream_stream_seconds"] == "histogram"


@pytest.mark.parametrize(("said", "counted"), [(-5, 0), (10**400, MAX_TOKENS), (None, 0)])
async def test_a_provider_cannot_spoil_the_counters(said, counted):
    figures = Figures(["m"])
    live = figures.admit("")
    live.begin("m")
    finish = Finish(FinishReason.STOP, usage=Usage(input_tokens=said, output_tokens=3))
    watched = Stream(ScriptedSource(finish))._then(lambda source: Watched(source, live, figures))
    await watched.collect()
    samples, _ = metrics_of(figures.metrics({}, draining=False))
    assert samples["millstream_tokens_total", "input", "m"] == counted
    assert samples["millstream_tokens_total", "m", "output"] == 3


def test_labels_and_help_are_escaped_and_numbers_are_what_prometheus_reads():
    awkward = 'a"b\\c\nd'
    values = [0.0, 1e300, math.inf, 12345678901234567, 0.1]
    text = family(
        "x_y", "gauge", "help\nwith \\", [("", {"l": f"{awkward}{n}"}, v) for n, v in enumerate(values)], {"w": "1"}
    )
    (one,) = text_string_to_metric_families(text)
    assert [sample.value for sample in one.samples] == values
    assert {sample.labels["l"][:-1] for sample in one.samples} == {awkward}
    assert {sample.labels["w"] for sample in one.samples} == {"1"}
    assert one.documentation == "help\nwith \\"


def test_a_histogram_counts_up_to_and_with_its_bounds():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.add(value)
    counts = [(labels.get("le"), value) for _, labels, value in histogram.samples({})]
    assert counts == [("1", 2), ("2", 4), ("+Inf", 5), (None, 14.0), (None, 5)]


async def test_health_shows_running_streams():
    hold = anyio.Event()
    async with gateway(Model(*said("Hi")[:2], hold)) as (url, app), client(url) as http:
        async with http.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            during = (await http.get("/health")).json()
            hold.set()
        await settled(app)
        after = (await http.get("/health")).json()
    assert during["status"] == after["status"] == "ok"
    assert (during["streams"]["running"], after["streams"]["running"]) == (1, 0)
    assert during["streams"]["events_per_second"] > 0
    assert during["streams"].keys() >= {"stalled", "error_rate", "bytes_per_second", "longest_silence", "worst_gap_p99"}
    assert after["streams"]["started"] == 1


async def draining(http):
    """Wait until the gateway has heard the signal."""
    with anyio.fail_after(20):
        while (await http.get("/health")).status_code != 503:  # noqa: ASYNC110 - it is another process
            await anyio.sleep(0.02)


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", ["0", "1"])
async def test_sigterm_lets_streams_finish_and_takes_no_new_ones(resume):
    """It goes on listening meanwhile: /health says 503, so does a new request, and the client asks elsewhere."""
    hold = anyio.Event()
    pieces = said("Hel", "lo")
    async with serving(Model(*pieces[:2], hold, *pieces[2:])) as upstream:
        with process(upstream, "--grace", "20") as (url, child):
            await up(url)
            async with client(url, ALICE) as http, client(url, ALICE) as other:
                asked = body(stream=True)
                head = {"x-millstream-resume": resume}
                async with http.stream("POST", "/v1/chat/completions", json=asked, headers=head) as answer:
                    pieces = answer.aiter_raw()
                    seen = await anext(pieces)
                    child.send_signal(signal.SIGTERM)
                    await draining(other)
                    await anyio.sleep(0.4)  # longer than the server takes to hear of a signal
                    async with client(url, ALICE) as new:
                        assert (await new.get("/health")).json()["status"] == "draining"
                    refused = await other.post("/v1/chat/completions", json=body())
                    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
                    assert refused.headers["retry-after"] == "1"
                    assert "millstream_draining 1" in (await other.get("/metrics")).text
                    hold.set()
                    async for piece in pieces:
                        seen += piece
            assert text_of(seen) == "Hello"
            assert seen.endswith(b"data: [DONE]\n\n")
            await ended(child, 20)


@pytest.mark.parametrize("resume", ["0", "1"])
async def test_what_does_not_finish_in_time_is_ended_and_the_process_exits(resume):
    async with serving(Model(*said("Hi")[:2], anyio.Event())) as upstream:
        with process(upstream, "--grace", "0.5") as (url, child):
            await up(url)
            async with client(url, ALICE) as http:
                asked = body(stream=True)
                head = {"x-millstream-resume": resume}
                async with http.stream("POST", "/v1/chat/completions", json=asked, headers=head) as answer:
                    pieces = answer.aiter_raw()
                    seen = await anext(pieces)
                    child.send_signal(signal.SIGTERM)
                    with anyio.fail_after(20):
                        async for piece in pieces:
                            seen += piece
            await ended(child, 20)
    assert b"[DONE]" not in seen
    if resume == "0":  # who can resume is told nothing: he goes on elsewhere
        assert messages_of(seen)[-1][1]["error"]["type"] == "server_error"


async def test_a_second_signal_ends_it_at_once():
    async with serving(Model(*said("Hi")[:2], anyio.Event())) as upstream:
        with process(upstream, "--grace", "50") as (url, child):
            await up(url)
            async with (
                client(url, ALICE) as other,
                client(url, ALICE) as http,
                http.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
            ):
                pieces = answer.aiter_raw()
                await anext(pieces)
                child.send_signal(signal.SIGTERM)
                await draining(other)
                child.send_signal(signal.SIGTERM)
                await ended(child, 20)  # less than the grace


async def test_a_signal_of_another_kind_takes_nothing_from_the_grace():
    """Ctrl-C reaches all workers, and their supervisor sends them SIGTERM as well."""
    hold = anyio.Event()
    pieces = said("Hel", "lo")
    async with serving(Model(*pieces[:2], hold, *pieces[2:])) as upstream:
        with process(upstream, "--grace", "50") as (url, child):
            await up(url)
            async with (
                client(url, ALICE) as other,
                client(url, ALICE) as http,
                http.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
            ):
                pieces = answer.aiter_raw()
                seen = await anext(pieces)
                child.send_signal(signal.SIGINT)
                await draining(other)
                child.send_signal(signal.SIGTERM)
                await anyio.sleep(0.4)  # longer than the server takes to hear of a signal
                assert (await other.get("/health")).status_code == 503
                hold.set()
                async for piece in pieces:
                    seen += piece
            assert text_of(seen) == "Hello"
            await ended(child, 20)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_keeps_a_gateway_from_beginning_keeps_the_server_from_starting_and_says_why(backend):
    log = ms.relay.RedisLog("redis://:hunter2@127.0.0.1:1")
    app = Gateway(MODELS, keys=None, log=log)
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    async def main():
        async with ms.relay.Hub(log, authorize=lambda *_: True):
            await app({"type": "lifespan"}, receive, send)

    anyio.run(main, backend=backend)
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith("UsageError: this log was entered already")
    assert "hunter2" not in failed["message"]


async def test_a_gateway_is_entered_once_and_can_be_left_as_often_as_one_likes():
    app = Gateway(MODELS, keys=None)
    async with app:
        with pytest.raises(UsageError, match="entered already"):
            async with app:
                raise AssertionError
    await app.__aexit__(None, None, None)


async def test_a_websocket_is_refused_by_name():
    with pytest.raises(UsageError, match="not websocket"):
        await Gateway(MODELS, keys=None)({"type": "websocket"}, None, None)


async def test_without_streams_it_exits_at_once():
    async with serving(Model()) as upstream:
        with process(upstream, "--grace", "50") as (url, child):
            await up(url)
            child.send_signal(signal.SIGINT)
            await ended(child, 20)


async def test_workers_share_a_port_and_streams(redis):
    """Two processes behind one port: what one produces any of them resumes; SIGTERM ends all of them."""
    words = [f"w{i} " for i in range(5)]
    async with serving(Model(*said(*words))) as upstream:
        with process(upstream, "--workers", "2", "--redis", redis.url) as (url, child):
            await up(url)
            workers = set()

            async def look():
                async with client(url, ALICE) as http:
                    workers.add((await http.get("/metrics")).text.partition('worker="')[2].partition('"')[0])

            while len(workers) < 2:  # the second one may take its time to begin
                async with anyio.create_task_group() as tasks:  # who is busy leaves some to the other one
                    for _ in range(20):
                        tasks.start_soon(look)
            async with client(url, ALICE) as http:
                first = await http.post("/v1/chat/completions", json=body(stream=True), headers=ASK)
            path = "/v1/streams/" + first.headers["x-millstream-stream-id"]
            for _ in range(6):
                async with client(url, ALICE) as http:
                    assert (await http.get(path)).content == first.content
            child.send_signal(signal.SIGTERM)
            await ended(child, 20)


async def test_events_of_several_choices_count_as_events():
    pieces = [chunk({"content": "a"}) + chunk({"content": "b"}, choice=1), *said()[1:]]
    async with gateway(Model(*pieces)) as (url, app), client(url) as http:
        await http.post("/v1/chat/completions", json=body(stream=True, n=2))
        await settled(app)
        samples, _ = metrics_of((await http.get("/metrics")).text)
    assert samples["millstream_text_bytes_total", "m"] == 2
