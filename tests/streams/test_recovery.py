"""Rows 126 to 141 of the seeds through a whole stream: opened, failed, closed, waited, opened again."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.streams import RetryPolicy, Stream
from millstream.testing import HANG, FakeClock, ScriptedSource, Scripts

pytestmark = pytest.mark.anyio

TEXT = ms.TextDelta("a")
FINISH = ms.Finish(ms.FinishReason.STOP)
BODY = b'data: {"choices":[{"delta":{"content":"ok"}}]}\n\ndata: [DONE]\n\n'
WARNING = ms.Error(ms.Overloaded("for a moment"), fatal=False)


class Log:
    """What happened, in order: opened, closed, slept."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lines: list[str] = []
        self.sleeps: list[float] = []

    def source(self, name: str, *steps: Any) -> ScriptedSource[Any]:
        log = self

        class Logged(ScriptedSource[Any]):
            async def aclose(self) -> None:
                if not self.closed:
                    log.lines.append(f"close {name}")
                await super().aclose()

        return Logged(*steps, clock=self.clock, name=name)

    def stream(self, first: ScriptedSource[Any], again: Scripts[Any], **options: Any) -> Stream[Any]:
        def on_retry(attempt: int, error: Exception, delay: float) -> None:
            self.lines.append(f"failed {attempt}")
            self.sleeps.append(delay)

        policy = RetryPolicy(budget=None, on_retry=on_retry, draw=lambda: 0.0)
        return Stream(first).retry(again, policy, clock=self.clock, **options)


@pytest.fixture
def log() -> Log:
    return Log()


async def test_r0126_r0132_three_attempts_and_two_waits(log: Log) -> None:
    """An always failing source is opened three times; after the last attempt nobody waits."""
    again: Scripts[Any] = Scripts(*(log.source(str(i), ConnectionError("x")) for i in (2, 3)))
    async with log.clock.autojump():
        with pytest.raises(ms.RetriesExhausted) as caught:
            await log.stream(log.source("1", ConnectionError("x")), again).collect()
    assert (again.opens, log.sleeps, log.clock.now()) == (2, [1.0, 2.0], 3.0)
    assert caught.value.attempts == 3
    assert isinstance(caught.value.__cause__, ConnectionError)


async def test_r0128_failing_to_create_the_stream_is_retried(log: Log) -> None:
    """Fail, fail, ok: ok."""
    bodies = Scripts(ConnectionRefusedError(), ScriptedSource(BODY))

    def opened() -> Stream[Any]:
        return ms.stream(Opens(bodies), protocol="openai-chat")

    policy = RetryPolicy(budget=None)
    async with log.clock.autojump():
        first = ms.stream(Opens(Scripts(ConnectionRefusedError())), protocol="openai-chat")
        assert await first.retry(opened, policy, clock=log.clock).text() == "ok"
    assert (bodies.opens, log.clock.now()) == (2, 3.0)


class Opens:
    """What a client gives: entering it makes the request."""

    def __init__(self, bodies: Scripts[bytes]) -> None:
        self._bodies = bodies

    async def __aenter__(self) -> Response:
        return Response(self._bodies())

    async def __aexit__(self, *exc_info: object) -> None:
        pass


class Response:
    status_code = 200
    headers = {"content-type": "text/event-stream"}

    def __init__(self, body: ScriptedSource[bytes]) -> None:
        self._body = body

    def aiter_bytes(self) -> ScriptedSource[bytes]:
        return self._body

    async def aclose(self) -> None:
        await self._body.aclose()


async def test_r0129_after_the_first_token_there_is_no_silent_retry(log: Log) -> None:
    """What the consumer has seen must not come again."""
    got: list[Any] = []
    again: Scripts[Any] = Scripts()
    with pytest.raises(ConnectionError):
        await log.stream(log.source("1", TEXT, ConnectionError("x")), again).run(got.append)
    assert got == [TEXT]
    assert again.opens == 0


async def test_r0129_it_restarts_only_with_a_marker(log: Log) -> None:
    again = Scripts(log.source("2", TEXT, FINISH))
    async with log.clock.autojump():
        got = await log.stream(log.source("1", TEXT, ConnectionError("x")), again, replay="restart").collect()
    assert [type(event) for event in got] == [ms.TextDelta, ms.Data, ms.TextDelta, ms.Finish]
    assert got[1].name == "millstream.restart"


async def test_r0131_the_failed_attempt_is_closed_before_waiting(log: Log) -> None:
    """Closed before the wait, so that nothing is held while nothing is done."""
    again = Scripts(log.source("2", TEXT))
    stream = log.stream(log.source("1", ConnectionError("x")), again)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.collect)
        await log.clock.settle()
        assert log.lines == ["failed 1", "close 1"]
        assert log.clock.sleepers == 1, "it waits now"
        await log.clock.advance(1.0)
    assert log.lines == ["failed 1", "close 1", "close 2"]


async def test_r0133_r0141_success_returns_at_once(log: Log) -> None:
    """FINISH ends with success; nothing is opened again."""
    again: Scripts[Any] = Scripts()
    assert await log.stream(log.source("1", TEXT, FINISH), again).collect() == [TEXT, FINISH]
    assert (again.opens, log.sleeps) == (0, [])


async def test_r0135_a_crash_of_the_consumer_does_not_leak_the_stream(log: Log) -> None:
    """The stream is closed and the exception is visible; Python must not swallow it as the seed does."""
    source = log.source("1", TEXT, HANG)

    def crash(event: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await log.stream(source, Scripts()).run(crash)
    assert source.closed


async def test_r0136_the_whole_may_be_limited(log: Log) -> None:
    """A total deadline gives StreamTimeout with kind "total"."""
    source = log.source("1", TEXT, HANG)
    async with log.clock.autojump():
        with pytest.raises(ms.StreamTimeout) as caught:
            await Stream(source).timeout(total=300.0, clock=log.clock).collect()
    assert (caught.value.kind, log.clock.now(), source.closed) == ("total", 300.0, True)


async def test_r0137_an_end_without_finish_is_a_success(log: Log) -> None:
    """Channel closed without finish = success."""
    again: Scripts[Any] = Scripts()
    assert await log.stream(log.source("1", TEXT), again).collect() == [TEXT]
    assert again.opens == 0


async def test_r0138_after_a_recoverable_error_event_the_text_goes_on(log: Log) -> None:
    """Recoverable ERROR event: log, continue."""
    seen: list[str] = []
    handlers = {ms.TextDelta: lambda event: seen.append(event.text), ms.Error: lambda event: seen.append("warned")}
    await log.stream(log.source("1", WARNING, TEXT, FINISH), Scripts()).process(handlers)
    assert seen == ["warned", "a"]


async def test_r0139_r0053_a_fatal_error_event_stops_with_its_cause(log: Log) -> None:
    """Non-recoverable ERROR: stop with wrapped error."""
    error = ms.AuthError("no", status=401)
    source = log.source("1", ms.Error(error), FINISH)
    with pytest.raises(ms.StreamError, match="stream error") as caught:
        await log.stream(source, Scripts()).process({})
    assert caught.value.__cause__ is error
    assert source.closed


async def test_r0140_a_failure_of_the_handler_is_no_failure_of_the_stream(log: Log) -> None:
    """Processing failure: stop with "text processing failed" wrapping, and no retry."""
    again: Scripts[Any] = Scripts()

    def bad(event: Any) -> None:
        raise ValueError("try again")

    source = log.source("1", TEXT, FINISH)
    with pytest.raises(ms.errors.ProcessingError) as caught:
        await log.stream(source, again).process({ms.TextDelta: bad})
    assert isinstance(caught.value.__cause__, ValueError)
    assert (again.opens, source.closed) == (0, True)


async def test_r0010_recovery_leaves_no_task_and_no_timer(log: Log) -> None:
    """Error recovery: streaming errors handled gracefully."""
    before = {task.id for task in anyio.get_running_tasks()}
    again = Scripts(log.source("2", ConnectionError("x")), log.source("3", TEXT, FINISH))
    stream = log.stream(log.source("1", ConnectionError("x")), again)
    async with log.clock.autojump():
        await stream.timeout(idle=60, total=300, clock=log.clock).collect()
    assert log.clock.sleepers == 0
    assert {task.id for task in anyio.get_running_tasks()} == before


async def test_r0012_observability_is_built_in() -> None:
    """Monitoring and health checks."""
    monitor = ms.StreamMonitor()
    await Stream(ScriptedSource(TEXT, WARNING, FINISH)).monitor(monitor).collect()
    health = monitor.health()
    assert (health.events, health.errors, health.bytes, health.has_ended) == (3, 1, 1, True)
