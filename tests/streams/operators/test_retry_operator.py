"""`Stream.retry`: attempts, waits, what was delivered, and what ends it. The rules are in `test_retry.py`."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group

import millstream as ms
from millstream.streams import RESTART, RetryPolicy, Stream
from millstream.streams.retry import constant
from millstream.testing import FakeClock, ScriptedSource, Scripts
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

TEXT, MORE = ms.TextDelta("a"), ms.TextDelta("b")
START, FINISH = ms.Start(), ms.Finish(ms.FinishReason.STOP)
DOWN = ms.Overloaded("busy")


def gone() -> ms.ConnectionFailed:
    return ms.ConnectionFailed("gone")


class Run:
    """Streams of scripts, retried on a fake clock."""

    def __init__(self, *attempts: Any, **policy: Any) -> None:
        self.clock = FakeClock()
        self.log: list[Any] = []
        self.scripts = Scripts(*[a if isinstance(a, Exception) else ScriptedSource(*a) for a in attempts])
        self.policy = RetryPolicy(budget=None, on_retry=self._note, **policy)
        self.got: list[Any] = []
        self.error: Exception | None = None

    def _note(self, attempt: int, error: Exception, delay: float) -> None:
        self.log.append((attempt, type(error).__name__, delay))

    def open(self) -> Stream[Any]:
        return Stream(self.scripts())

    async def __call__(self, **options: Any) -> Run:
        stream = self.open().retry(self.open, self.policy, clock=self.clock, **options)
        async with self.clock.autojump():
            try:
                async with stream:
                    await drain(stream, self.got)
            except Exception as error:
                self.error = error
        assert all(source.closed for source in self.scripts.opened)
        return self


async def test_r0126_r0128_r0133_two_failures_then_success() -> None:
    run = await Run([gone()], [gone()], [TEXT, FINISH], [])()
    assert (run.got, run.error, run.scripts.opens) == ([TEXT, FINISH], None, 3)
    assert run.log == [(1, "ConnectionFailed", 1.0), (2, "ConnectionFailed", 2.0)]
    assert run.clock.now() == 3.0


async def test_r0128_failure_to_make_the_stream_is_retried() -> None:
    run = Run([gone()], gone(), [TEXT])
    assert (await run()).got == [TEXT]
    assert run.scripts.opens == 3


async def test_r0128_making_the_stream_fails_every_time() -> None:
    run = await Run([gone()], ConnectionError("factory"), ConnectionError("factory"))()
    assert isinstance(run.error, ms.RetriesExhausted)
    assert (run.error.attempts, type(run.error.last), run.clock.now()) == (3, ConnectionError, 3.0)
    run = await Run([gone()], ValueError("a mistake of the factory"))()
    assert isinstance(run.error, ValueError)
    assert run.clock.now() == 1.0


@pytest.mark.parametrize("how", ["restart", "resume"])
async def test_r0128_making_the_stream_fails_after_something_was_delivered(how: str) -> None:
    run = Run([TEXT, gone()], ConnectionError("factory"), [MORE])
    options: dict[str, Any] = {"replay": "restart"} if how == "restart" else {"resume": lambda last: run.open()}
    await run(**options)
    assert run.error is None
    assert [event for event in run.got if not isinstance(event, ms.Data)] == [TEXT, MORE]
    assert len(run.got) == (3 if how == "restart" else 2)


async def test_failure_to_open_is_retried_inside_the_header() -> None:
    opens = 0

    class Response:
        async def __aenter__(self) -> Any:
            nonlocal opens
            opens += 1
            raise gone()

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    clock = FakeClock()

    def make() -> Stream[ms.Event]:
        return ms.stream(Response(), "millstream.events.v1")

    async with clock.autojump():
        with pytest.raises(ms.RetriesExhausted) as caught:
            async with make().retry(make, RetryPolicy(budget=None), clock=clock):
                raise AssertionError("entered")
    assert (opens, caught.value.attempts, clock.now()) == (3, 3, 3.0)


async def test_r0132_r0134_the_last_failure_is_wrapped_and_not_waited_for() -> None:
    run = await Run([gone()], [gone()], [gone()])()
    assert isinstance(run.error, ms.RetriesExhausted)
    assert run.error.attempts == 3
    assert isinstance(run.error.__cause__, ms.ConnectionFailed)
    assert run.clock.now() == 3.0


async def test_r0129_no_silent_retry_after_the_first_delivered_event() -> None:
    run = await Run([TEXT, gone()])()
    assert run.got == [TEXT]
    assert isinstance(run.error, ms.ConnectionFailed)


async def test_start_alone_is_not_delivered() -> None:
    run = await Run([START, gone()], [START, ms.Error(DOWN), FINISH, DOWN], [START, TEXT])()
    assert run.got == [START, TEXT]
    assert run.scripts.opens == 3


async def test_what_a_final_failure_had_held_back_comes_before_it() -> None:
    denied = ms.AuthError("no")
    events = [START, ms.Error(denied), ms.Finish(ms.FinishReason.ERROR)]
    run = await Run([*events, denied])()
    assert run.got == events
    assert run.error is denied
    run = await Run([START])()
    assert (run.got, run.error) == ([START], None)
    run = await Run([START, gone()], [START, gone()], [START, gone()])()
    assert run.got == [START]
    assert isinstance(run.error, ms.RetriesExhausted)


async def test_r0131_a_failed_attempt_is_closed_before_the_wait() -> None:
    run = Run([gone()], [TEXT])
    closed: list[bool] = []
    wait = run.clock.sleep

    async def sleep(seconds: float) -> None:
        closed.append(run.scripts.opened[0].closed)
        await wait(seconds)

    run.clock.sleep = sleep  # type: ignore[method-assign]
    assert (await run()).got == [TEXT]
    assert closed == [True]


async def test_r0129_restart_says_that_it_starts_over() -> None:
    run = await Run([START, TEXT, gone()], [START, TEXT, MORE, FINISH])(replay="restart")
    marker = ms.Data(payload={"attempt": 2}, name=RESTART)
    assert run.got == [START, TEXT, marker, START, TEXT, MORE, FINISH]
    run = await Run([TEXT, gone()], [TEXT, gone()], [TEXT, gone()])(replay="restart")
    assert isinstance(run.error, ms.RetriesExhausted)


async def test_r0129_resume_goes_on_after_the_last_item() -> None:
    asked: list[Any] = []
    rest = [ScriptedSource(START, MORE, gone()), ScriptedSource(START, FINISH)]

    async def resume(last: Any) -> Stream[Any]:
        asked.append(last)
        return Stream(rest.pop(0))

    run = await Run([START, TEXT, gone()])(resume=resume)
    assert run.got == [START, TEXT, MORE, FINISH]
    assert asked == [TEXT, MORE]
    assert run.error is None


async def test_r0137_the_end_without_finish_is_success() -> None:
    run = await Run([TEXT])()
    assert (run.got, run.scripts.opens, run.error) == ([TEXT], 1, None)


async def test_r0140_a_failing_handler_is_not_retried() -> None:
    run = Run([TEXT])

    def fail(event: Any) -> None:
        raise ValueError

    with pytest.raises(ms.errors.ProcessingError):
        await run.open().retry(run.open, run.policy, clock=run.clock).process({ms.TextDelta: fail})
    assert run.scripts.opens == 1


async def test_r0135_a_crash_in_the_consumer_closes_the_stream_and_is_visible() -> None:
    run = Run([TEXT, TEXT])
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with run.open().retry(run.open, run.policy, clock=run.clock) as stream:
            async for _ in stream:
                1 / 0  # noqa: B018
    assert run.scripts.opened[0].closed


async def test_closing_while_it_waits() -> None:
    from anyio import create_task_group

    run = Run([gone()], [TEXT])
    stream = run.open().retry(run.open, run.policy, clock=run.clock)

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await anext(stream)

    async with create_task_group() as group:
        group.start_soon(consume)
        await run.clock.settle()
        assert run.clock.sleepers == 1
        await stream.aclose()
    assert run.clock.sleepers == 0
    assert run.scripts.opens == 1


async def test_misuse() -> None:
    with pytest.raises(ValueError, match="replay"):
        Run([]).open().retry(lambda: Stream(ScriptedSource()), replay="always")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="resume or replay"):
        Run([]).open().retry(lambda: Stream(ScriptedSource()), replay="restart", resume=Stream)


async def test_a_later_attempt_may_need_tasks_though_the_first_does_not() -> None:
    first, second = Probe(error=gone()), Probe(range(5))
    policy = RetryPolicy(budget=None, connection=constant(0.0))
    stream = Stream(first).retry(lambda: Stream(second).buffer(2), policy).map(str)
    async with stream as items:
        assert [item async for item in items] == ["0", "1", "2", "3", "4"]
    assert (first.closes, second.closes, second.closed_while_running) == (1, 1, False)


async def test_not_entered_it_needs_no_tasks_until_it_does() -> None:
    policy = RetryPolicy(budget=None, connection=constant(0.0))
    plain = Stream(Probe(error=gone())).retry(lambda: Stream(Probe([1])), policy)
    assert [item async for item in plain] == [1]
    with_tasks = Stream(Probe(error=gone())).retry(lambda: Stream(Probe([1])).buffer(2), policy)
    with pytest.raises(ms.errors.StreamNotEntered, match=r"`buffer`.*async with"):
        await anext(with_tasks)


@pytest.mark.parametrize("build", [lambda s: s.concat(Probe([7])), lambda s: s.zip(Probe([7, 8]))])
async def test_the_tasks_of_a_later_attempt_behind_other_operators(build: Any) -> None:
    policy = RetryPolicy(budget=None, connection=constant(0.0))
    stream = build(Stream(Probe(error=gone())).retry(lambda: Stream(Probe([1])).buffer(2), policy))
    async with stream as items:
        assert await anext(items) in (1, (1, 7))


async def test_a_provider_s_stream_may_be_left_in_another_task() -> None:
    """Its attempts need no tasks, so none own it."""
    policy = RetryPolicy(budget=None)
    stream = Stream(Probe(range(3)))._retry(lambda: Probe(range(3)), policy)
    await stream.__aenter__()
    assert await anext(stream) == 0
    async with create_task_group() as group:
        group.start_soon(stream.__aexit__, None, None, None)
    assert stream.state == "closed"


async def test_an_attempt_that_cannot_be_closed_is_logged_and_the_next_one_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stuck(Probe):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("cannot close")

    first, second = Stuck(error=ms.Overloaded("later")), Probe([1, 2])
    clock = FakeClock()
    async with clock.autojump():
        again = Stream(first).retry(lambda: Stream(second), RetryPolicy(budget=None), clock=clock)
        assert await again.collect() == [1, 2]
    assert (first.closes, second.closes) == (1, 1)
    [record] = [record for record in caplog.records if record.exc_info]
    assert (record.message, str(record.exc_info[1])) == ("closing a failed attempt failed too", "cannot close")
