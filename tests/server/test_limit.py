"""How many streams of an owner, and of all, may be served at once."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import orjson
import pytest

import millstream as ms
from millstream.errors import TooManyStreams, UsageError
from millstream.server import Drain, EventStreamResponse, StreamLimit
from millstream.testing import HANG, ScriptedSource
from server.asgi_harness import Client

START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi"), ms.Finish(ms.FinishReason.STOP)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def scripted(*steps: Any) -> tuple[ScriptedSource, ms.Stream[Any]]:
    source = ScriptedSource(*steps)
    return source, ms.Stream(source)


# --- counting ------------------------------------------------------------------------------------------------------


def test_an_owner_has_so_many_and_others_have_theirs() -> None:
    limit = StreamLimit(per_owner=2)
    first, second = limit.of("ann"), limit.of("ann")
    first.enter()
    second.enter()
    with pytest.raises(TooManyStreams, match="2 streams of this owner are running already") as caught:
        limit.of("ann").enter()
    assert (caught.value.limit, caught.value.of_all, caught.value.retryable, caught.value.retry_after) == (
        2,
        False,
        True,
        1.0,
    )
    with limit.of("bob"):
        assert (limit.running, limit.running_of("bob")) == (3, 1)
    second.leave()
    limit.of("ann").enter()
    assert (limit.running, limit.running_of("ann"), limit.running_of("bob")) == (2, 2, 0)


def test_all_have_so_many_together() -> None:
    limit = StreamLimit(total=2)
    with limit.of("ann"), limit.of("bob"):
        with pytest.raises(TooManyStreams, match="2 streams are running already") as caught:
            limit.of("eve").enter()
        assert (caught.value.limit, caught.value.of_all) == (2, True)
        assert limit.running_of("eve") == 0
    assert limit.running == 0


def test_who_has_none_takes_no_memory() -> None:
    limit = StreamLimit()
    for i in range(100):
        with limit.of(i):
            pass
        assert limit.running_of(i) == 0
    assert not limit._running


def test_an_admission_is_for_one_stream_and_left_once() -> None:
    limit = StreamLimit()
    admission = limit.of("ann")
    admission.leave()
    with admission, pytest.raises(UsageError, match="one of its own"):
        admission.enter()
    admission.leave()
    assert limit.running == 0


def test_an_error_in_the_block_leaves_it() -> None:
    limit = StreamLimit()
    with pytest.raises(ZeroDivisionError), limit.of("ann"):
        raise ZeroDivisionError
    assert limit.running == 0


def test_threads_never_have_more_than_the_bound() -> None:
    limit = StreamLimit(per_owner=3)
    admitted: list[int] = []

    def work() -> None:
        for _ in range(1000):
            try:
                with limit.of("ann"):
                    admitted.append(limit.running_of("ann"))
            except TooManyStreams:
                pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(admitted) <= 3
    assert limit.running == 0


@pytest.mark.parametrize("bounds", [{"per_owner": 0}, {"total": 0}, {"per_owner": -1}])
def test_bounds_are_positive(bounds: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        StreamLimit(**bounds)


# --- a response ------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_response_counts_from_its_request_to_its_end() -> None:
    limit = StreamLimit(per_owner=1)
    _, stream = scripted(START, HANG)
    first = Client()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run, EventStreamResponse(stream, admission=limit.of("ann")))
        while not limit.running:
            await anyio.lowlevel.checkpoint()
        source, refused = scripted(START, TEXT, STOP)
        second = await Client().run(EventStreamResponse(refused, admission=limit.of("ann")))
        assert (second.status, second.headers["retry-after"]) == (429, "1")
        assert orjson.loads(second.body)["error"] == {
            "type": "too_many_streams",
            "message": "1 streams of this owner are running already",
            "retryable": True,
        }
        assert source.closed
        _, other = scripted(START, TEXT, STOP)
        assert (await Client().run(EventStreamResponse(other, admission=limit.of("bob")))).status == 200
        first.disconnect()
    assert limit.running == 0
    _, again = scripted(START, TEXT, STOP)
    assert (await Client().run(EventStreamResponse(again, admission=limit.of("ann")))).status == 200
    assert limit.running == 0


@pytest.mark.anyio
async def test_when_all_are_too_many_it_is_503_and_nothing_is_made() -> None:
    limit = StreamLimit(total=1)
    with limit.of("bob"):
        client = await Client().run(EventStreamResponse(lambda last: pytest.fail("made"), admission=limit.of("ann")))
    assert (client.status, client.headers["retry-after"]) == (503, "1")


class Failing(ms.Stream[Any]):
    def __init__(self, error: Exception) -> None:
        super().__init__(ScriptedSource())
        self._error = error

    async def _open(self) -> None:
        raise self._error


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ms.RateLimited("later"), ZeroDivisionError()], ids=["refused", "bug"])
async def test_a_stream_that_does_not_open_counts_no_more(error: Exception) -> None:
    limit = StreamLimit()
    response = EventStreamResponse(Failing(error), admission=limit.of("ann"))
    try:
        await Client().run(response)
    except ZeroDivisionError:
        assert not isinstance(error, ms.StreamError)
    assert limit.running == 0


@pytest.mark.anyio
async def test_head_and_a_server_that_shuts_down_count_nothing() -> None:
    limit = StreamLimit(per_owner=1)
    with limit.of("ann"):
        _, stream = scripted(START)
        client = await Client(method="HEAD").run(EventStreamResponse(stream, admission=limit.of("ann")))
        assert client.status == 200
        async with Drain() as drain:
            drain._stop_all()
            _, stream = scripted(START)
            client = await Client().run(EventStreamResponse(stream, admission=limit.of("ann"), drain=drain))
            assert client.status == 503
            assert orjson.loads(client.body)["error"]["type"] == "producer_lost"
    assert limit.running == 0


@pytest.mark.anyio
async def test_cancelled_anywhere_it_counts_no_more() -> None:
    limit = StreamLimit()
    for n in range(4):
        _, stream = scripted(START, TEXT, HANG)
        with anyio.CancelScope() as scope:
            client = Client()

            async def send(message: Any, client: Client = client, scope: Any = scope, n: int = n) -> None:
                await client.send(message)
                if len(client.received) >= n:
                    scope.cancel()

            if n == 0:
                scope.cancel()
            await EventStreamResponse(stream, admission=limit.of("ann"))(client.scope, client.receive, send)
        assert limit.running == 0
