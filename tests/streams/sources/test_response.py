"""Responses of httpx2 and httpx over a real loopback connection."""

from __future__ import annotations

import gzip
import json
import traceback
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import httpx2
import pytest
from anyio import create_task_group, create_tcp_listener, fail_after, move_on_after, wait_all_tasks_blocked
from anyio.abc import SocketAttribute

import millstream as ms
from millstream.streams.sources.response import ResponseSource
from streams.httpd import chunked, head, serve
from streams.probe import drain

pytestmark = [
    pytest.mark.anyio,
    # httpx and httpx2 leave their inner generators over a body to the garbage collector; trio warns of that.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx.*garbage collected:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore.*garbage collected:ResourceWarning"),
]

CANARY = "sk-canary-0123456789"
BEGUN = b'data: {"id":"r","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
REST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SSE = ("content-type: text/event-stream", "transfer-encoding: chunked")
GOOD = head(200, *SSE) + chunked(BEGUN, REST)


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def http(request: pytest.FixtureRequest) -> Any:
    return request.param


def client(http: Any) -> Any:
    return http.AsyncClient(headers={"authorization": f"Bearer {CANARY}"}, trust_env=False, timeout=5)


async def refusal(http: Any, response: bytes, then: Any = "close", **options: Any) -> Any:
    async with serve(response, then) as httpd, client(http) as session:
        with pytest.raises(ms.StreamError) as caught, fail_after(20):
            async with ms.stream(session.stream("POST", httpd.url), "openai", provider="acme", **options):
                pytest.fail("the block was entered")
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in text
    assert caught.value.provider == "acme"
    return caught.value


async def test_texts_can_be_joined_once_there_is_a_body(http: Any) -> None:
    decoder = ms.decoder("openai")
    async with serve(GOOD) as httpd, client(http) as session:
        source = ResponseSource(session.stream("POST", httpd.url), decoder)
        source.join_texts()  # of what is not open: nothing
        async with ms.Stream(source):
            assert not decoder._reader.joins
            source.join_texts()
            assert decoder._reader.joins


async def test_a_good_stream(http: Any) -> None:
    async with serve(GOOD) as httpd, client(http) as session:
        async with ms.stream(session.stream("POST", httpd.url), "openai") as events:
            assert [event.type async for event in events] == ["start", "text_delta", "finish"]
        async with session.stream("GET", httpd.url) as response:
            assert await ms.stream(response, "openai").text() == "Hi"
            assert response.is_closed


async def test_connection_refused(http: Any) -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
    async with client(http) as session:
        with pytest.raises(ms.ConnectionFailed) as caught:
            async with ms.stream(session.stream("POST", f"http://127.0.0.1:{port}/"), "openai"):
                pytest.fail("the block was entered")
    assert isinstance(caught.value.__cause__, http.ConnectError)
    assert caught.value.retryable
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        (400, ms.InvalidRequest, False),
        (401, ms.AuthError, False),
        (403, ms.AuthError, False),
        (404, ms.InvalidRequest, False),
        (413, ms.InvalidRequest, False),
        (429, ms.RateLimited, True),
        (500, ms.ProviderError, True),
        (503, ms.Overloaded, True),
        (529, ms.Overloaded, True),
    ],
)
async def test_a_bad_status(http: Any, status: int, expected: type[Exception], retryable: bool) -> None:
    body = json.dumps({"error": {"type": "their_code", "message": "their words"}}).encode()
    error = await refusal(http, head(status, "content-type: application/json", "X-Request-Id: req_1") + body)
    assert type(error) is expected
    assert (error.status, error.code, error.request_id) == (status, "their_code", "req_1")
    assert (error.retryable, error.retry_after, error.body) == (retryable, None, body)
    assert "their words" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("retry-after: 7", 7),
        ("retry-after: 1.5", 1.5),
        ("retry-after-ms: 250\r\nretry-after: 7", 0.25),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("retry-after: soon", None),
        ("retry-after: -1", None),
        ("retry-after: nan", None),
        ("retry-after: 1e9", None),
        ("retry-after: 31 Jan 2015 07:28:00 +99999999999999", None),
    ],
)
async def test_retry_after(header: str, seconds: float | None) -> None:
    error = await refusal(httpx2, head(429, header) + b"slow down")
    assert type(error) is ms.RateLimited
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds))


async def test_retry_after_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    error = await refusal(httpx2, head(429, f"retry-after: {date}"))
    assert 50 < error.retry_after <= 60


async def test_an_error_body_is_bounded_in_size(http: Any) -> None:
    error = await refusal(http, head(500) + b"x" * 2**20)
    assert error.body == b"x" * 65536
    assert len(str(error)) < 1000


async def test_an_error_body_is_bounded_in_time(http: Any) -> None:
    limits = ms.Limits(max_error_body_seconds=0.05)
    error = await refusal(http, head(503, "content-length: 99") + b"part", "hold", limits=limits)
    assert (type(error), error.body) == (ms.Overloaded, b"part")


@pytest.mark.parametrize("headers", [("content-length: 99",), ("content-encoding: gzip",)], ids=["cut", "no gzip"])
async def test_a_broken_error_body_does_not_hide_the_status(http: Any, headers: tuple[str, ...]) -> None:
    error = await refusal(http, head(429, *headers) + b"part")
    assert (type(error), error.status) == (ms.RateLimited, 429)


async def test_a_wrong_content_type(http: Any) -> None:
    error = await refusal(http, head(200, "content-type: text/html; charset=utf-8") + b"<html>")
    assert type(error) is ms.errors.UnexpectedContentType
    assert (error.content_type, error.body, error.retryable) == ("text/html; charset=utf-8", b"<html>", False)
    assert "<html>" not in str(error)


async def test_an_error_object_with_status_200(http: Any) -> None:
    body = b'{"error":{"type":"overloaded_error","message":"busy"}}'
    error = await refusal(http, head(200, "content-type: application/json") + body)
    assert (type(error), error.status, error.code) == (ms.Overloaded, None, "overloaded_error")


@pytest.mark.parametrize("header", ["x: y", "content-type: Text/Event-Stream ;Charset=UTF-8"])
async def test_content_types_that_pass(http: Any, header: str) -> None:
    async with serve(head(200, header) + BEGUN + REST) as httpd, client(http) as session:
        assert await ms.stream(session.stream("POST", httpd.url), "openai").text() == "Hi"


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_body_that_breaks_off(http: Any, then: Any) -> None:
    cut = chunked(BEGUN, REST, end=False)[: len(chunked(BEGUN, end=False)) + 9]
    events: list[Any] = []
    async with serve(head(200, *SSE) + cut, then) as httpd, client(http) as session:
        stream = ms.stream(session.stream("POST", httpd.url), "openai")
        with pytest.raises(ms.ConnectionFailed) as caught, fail_after(20):
            await drain(stream, events, httpd.may_reset.set)
    assert [event.type for event in events] == ["start", "text_delta", "error", "finish"]
    assert events[2].error is caught.value
    assert isinstance(caught.value.__cause__, http.TransportError)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_leaving_the_block_closes_the_connection(http: Any) -> None:
    async with serve(head(200, *SSE) + chunked(BEGUN, end=False), "hold") as httpd, client(http) as session:
        async with ms.stream(session.stream("POST", httpd.url), "openai") as stream:
            async for _ in stream:
                break
        with fail_after(20):
            await httpd.gone.wait()


async def test_cancellation_closes_the_connection(http: Any) -> None:
    async with serve(head(200, *SSE) + chunked(BEGUN, end=False), "hold") as httpd, client(http) as session:
        with move_on_after(0.1) as scope:
            await ms.stream(session.stream("POST", httpd.url), "openai").collect()
        assert scope.cancelled_caught
        with fail_after(20):
            await httpd.gone.wait()


async def test_aclose_from_another_task_closes_the_connection(http: Any) -> None:
    async with serve(head(200, *SSE) + chunked(BEGUN, end=False), "hold") as httpd, client(http) as session:
        stream = ms.stream(session.stream("POST", httpd.url), "openai")

        async def consume() -> None:
            async for batch in stream.batches():
                first.extend(batch)

        async def consume_until_closed() -> None:
            with pytest.raises(ms.StreamClosed):
                await consume()

        first: list[Any] = []
        with fail_after(20):
            async with create_task_group() as group:
                group.start_soon(consume_until_closed)
                await wait_all_tasks_blocked()
                await stream.aclose()
            await httpd.gone.wait()
        assert stream.state == "closed"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_coded_body_is_decoded(http: Any, coding: str) -> None:
    plain = BEGUN + REST
    coded = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    answer = head(200, *SSE, f"content-encoding: {coding}") + chunked(coded[:9], coded[9:])
    async with serve(answer) as httpd, client(http) as session:
        assert await ms.stream(session.stream("POST", httpd.url), "openai").text() == "Hi"


async def test_a_coded_body_that_grows_beyond_measure_is_refused(http: Any) -> None:
    coded = gzip.compress(BEGUN + b":" + b" " * 40_000_000 + b"\n")
    answer = head(200, *SSE, "content-encoding: gzip") + chunked(coded)
    async with serve(answer) as httpd, client(http) as session:
        with pytest.raises(ms.LimitExceeded, match="max_inflation") as caught, fail_after(30):
            await drain(ms.stream(session.stream("POST", httpd.url), "openai"), [])
    assert (caught.value.option, caught.value.limit) == ("max_inflation", ms.Limits().max_inflation)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("coding", ["gzip, gzip", "compress", "x-own"])
async def test_a_coding_that_cannot_be_undone_is_named(http: Any, coding: str) -> None:
    error = await refusal(http, head(200, *SSE, f"content-encoding: {coding}") + chunked(b"whatever"))
    assert isinstance(error, ms.errors.UnexpectedContentType)
    assert repr(coding) in str(error)


@pytest.mark.parametrize("status", [204, 205])
async def test_an_answer_without_a_body_is_no_stream(http: Any, status: int) -> None:
    error = await refusal(http, head(status))
    assert isinstance(error, ms.errors.UnexpectedContentType)
    assert f"answered {status}, without a body" in str(error)


async def test_who_watches_is_told_of_the_bytes_whenever_he_comes(http: Any) -> None:
    seen: dict[str, list[int]] = {"before": [], "after": []}
    async with serve(GOOD) as httpd, client(http) as session:
        source = ResponseSource(session.stream("POST", httpd.url), ms.decoder("openai"))
        source.watch(seen["before"].append)
        await source.open(None)  # type: ignore[arg-type]
        source.watch(seen["after"].append)
        while await source.pull():
            pass
        await source.aclose()
    assert sum(seen["before"]) == sum(seen["after"]) == len(BEGUN + REST)
