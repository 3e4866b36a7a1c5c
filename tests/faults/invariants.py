"""What holds after every fault: the nine invariants, asserted by the fixtures here around each test of a fault.

    I1 prefix      what the consumer got are the first of the true events: `Seen.check`
    I2 outcome     exactly one terminal outcome: `Seen.check`
    I3 deadline    within its time: `Seen.check`, and the 60 s of every test
    I4 baseline    tasks, timers, threads, descriptors (sockets, connections to Redis) as before: BASELINE_SECONDS
    I5 memory      the peak of the resident set grew by at most `rss_mib`
    I6 loop        no step of a task or callback took more than STEP_MS of processor time, nor WALL_MS by the clock
    I7 secrets     no log record holds a key or what a provider said
    I8 orphans     no "never retrieved", no "was destroyed": in the log; as warnings they are errors in all tests
    I9 alive       this process runs the next test

Why processor time for I6: on a loaded machine the system takes the processor away for longer than that, and no program
can help it. A step that sleeps or waits for a lock shows in WALL_MS, which is generous for the same reason. The bounds
of time hold where nothing else runs, which `make faults` asks for with MILLSTREAM_STEP_MS; else ten times as much is
allowed (`PATIENCE`): another program, or the machine under a virtual one, can always be in the way.
`@pytest.mark.invariants(rss_mib=..., step_ms=..., because="...")` sets other bounds for one test, with the reason.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio
import trio.lowlevel

import millstream as ms
from millstream.providers._http import shared_client
from millstream.streams import Stream
from providers.live import KEY

__all__ = ["CANARY", "PATIENCE", "STEP_MS", "Seen", "comparable", "gone", "read", "secret"]

CANARY = "canary-5b1e-nobody-logs-this"
"""Stands in payloads of these tests."""

SECRETS = {KEY, CANARY, "sesame"}

BASELINE_SECONDS = 1.0
RSS_MIB = 96
STEP_MS = float(os.environ.get("MILLSTREAM_STEP_MS", "20"))
PATIENCE = 1.0 if "MILLSTREAM_STEP_MS" in os.environ else 10.0
WALL_MS = 1000.0
LOGGERS = ("millstream", "asyncio", "anyio", "trio", "httpx2", "httpcore2", "httpx", "httpcore", "redis", "uvicorn")
IDLE_THREADS = ("Trio thread",)  # trio keeps idle worker threads for 10 s

# Reading the certificates takes 20 ms, which the first provider of a loop spends: here once for all loops.
for module in (httpx, httpx2):
    module._transports.default.create_ssl_context = functools.cache(module.create_ssl_context)  # type: ignore[attr-defined]
    for environment in (False, True):
        module.AsyncClient(trust_env=environment)


def secret(text: str) -> str:
    """Have I7 look for it too, in this process from now on."""
    SECRETS.add(text)
    return text


# --- I4 to I8: around a test -----------------------------------------------------------------------------------------


@pytest.fixture
def invariants(request: pytest.FixtureRequest) -> Iterator[None]:
    """I4 (process), I5, I7, I8."""
    marker = request.node.get_closest_marker("invariants")
    bounds = marker.kwargs if marker else {}
    before, peak = _Process(), _Peak()
    gc.disable()  # else what a whole run of tests keeps makes some step long; and all that is left here stays young
    try:
        with _records() as records:
            yield
            gc.collect(1)
            within(lambda: _Process().beyond(before))
    finally:
        gc.enable()
    grown, most = peak.grown_mib(), bounds.get("rss_mib", RSS_MIB)
    assert grown <= most, f"I5: the resident set grew by {grown:.0f} MiB at its peak, {most} MiB are allowed"
    check_records(records)


@pytest.fixture
async def invariants_of_the_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """I4 (tasks, timers) and I6."""
    marker = request.node.get_closest_marker("invariants")
    bounds = marker.kwargs if marker else {}
    await shared_client()
    before, timers = {task.id for task in _tasks()}, len(_timers())
    with _watch() as longest:
        yield
        deadline = time.monotonic() + BASELINE_SECONDS * PATIENCE
        while left := _left(before, timers):
            assert time.monotonic() < deadline, f"I4: still there after {BASELINE_SECONDS * PATIENCE:g} s: {left}"
            await anyio.sleep(0.005)
    most = max(STEP_MS * PATIENCE, bounds.get("step_ms", 0.0))
    assert longest.cpu_ms <= most, f"I6: a step took {longest.cpu_ms:.1f} ms of processor time: {longest.cpu_what}"
    assert longest.wall_ms <= max(WALL_MS, 20 * most), f"I6: a step took {longest.wall_ms:.0f} ms: {longest.wall_what}"


def _left(before: set[int], timers: int) -> list[str]:
    left = [repr(task) for task in _tasks() if task.id not in before]
    return left + [str(timer) for timer in _timers()[timers:]]


def _tasks() -> list[anyio.TaskInfo]:
    """All but the one in which anyio's plugin calls each fixture on asyncio."""
    return [task for task in anyio.get_running_tasks() if "_call_in_runner_task" not in repr(task.coro)]


def _timers() -> list[Any]:
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        return []
    return [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]


def within(left: Callable[[], str], seconds: float = BASELINE_SECONDS * PATIENCE) -> None:
    """Wait until nothing is left."""
    deadline = time.monotonic() + seconds
    while said := left():
        assert time.monotonic() < deadline, f"I4: still there after {seconds:g} s: {said}"
        time.sleep(0.005)


class _Process:
    """Threads and open descriptors."""

    def __init__(self) -> None:
        self.threads = {thread for thread in threading.enumerate() if not thread.name.startswith(IDLE_THREADS)}
        self.files: dict[str, str] = {}
        with suppress(FileNotFoundError):
            for number in os.listdir("/proc/self/fd"):
                with suppress(OSError):
                    self.files[number] = os.readlink(f"/proc/self/fd/{number}")

    def beyond(self, before: _Process) -> str:
        more = [thread.name for thread in self.threads - before.threads]
        if len(self.files) > len(before.files):
            more += sorted(set(self.files.values()) - set(before.files.values()))
        return ", ".join(more)


class _Peak:
    """The peak of the resident set, from now on. Linux only; elsewhere nothing is asserted."""

    def __init__(self) -> None:
        with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # sets the high-water mark back to what is resident now
        self._before = self._mib()

    @staticmethod
    def _mib() -> float:
        with suppress(OSError), open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def grown_mib(self) -> float:
        return self._mib() - self._before


@contextmanager
def _records() -> Iterator[list[logging.LogRecord]]:
    """What is logged, by `LOGGERS` at every level."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.NOTSET)
    handler.emit = records.append  # type: ignore[method-assign]
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    logging.getLogger().addHandler(handler)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def check_records(records: list[logging.LogRecord]) -> None:
    """I7 and I8."""
    formatter = logging.Formatter()
    for record in records:
        text = formatter.format(record)
        found = [word for word in SECRETS if word in text]
        assert not found, f"I7: {record.name} has logged {found}: {text:.300}"
        orphan = record.name == "asyncio" and record.levelno >= logging.ERROR
        assert not orphan, f"I8: {text:.2000}"


@dataclass
class _Longest:
    cpu_ms: float = 0.0
    cpu_what: str = ""
    wall_ms: float = 0.0
    wall_what: str = ""

    def step(self, cpu: float, wall: float, what: Callable[[], str]) -> None:
        if cpu * 1000 > self.cpu_ms:
            self.cpu_ms, self.cpu_what = cpu * 1000, what()
        if wall * 1000 > self.wall_ms:
            self.wall_ms, self.wall_what = wall * 1000, what()


@contextmanager
def _watch() -> Iterator[_Longest]:
    """Time each step of this event loop."""
    longest = _Longest()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        instrument = _Steps(longest)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield longest
        finally:
            trio.lowlevel.remove_instrument(instrument)
        return
    run = asyncio.Handle._run  # type: ignore[attr-defined]
    here = threading.get_ident()

    def timed(handle: Any) -> None:
        if threading.get_ident() != here:
            run(handle)
            return
        cpu, wall = time.thread_time(), time.perf_counter()
        run(handle)
        longest.step(time.thread_time() - cpu, time.perf_counter() - wall, lambda: repr(handle))

    asyncio.Handle._run = timed  # type: ignore[attr-defined]
    try:
        yield longest
    finally:
        asyncio.Handle._run = run  # type: ignore[attr-defined]


class _Steps(trio.abc.Instrument):
    def __init__(self, longest: _Longest) -> None:
        self._longest = longest
        self._cpu = self._wall = -1.0

    def before_task_step(self, task: Any) -> None:
        self._cpu, self._wall = time.thread_time(), time.perf_counter()

    def after_task_step(self, task: Any) -> None:
        if self._wall >= 0:
            self._longest.step(time.thread_time() - self._cpu, time.perf_counter() - self._wall, lambda: repr(task))


async def gone(connection: Any) -> bool:
    """Whether the other side sees in time that this one has left (I4). Waits in a thread: for that the loop may have
    to run."""
    return await anyio.to_thread.run_sync(connection.left.wait, BASELINE_SECONDS * PATIENCE)


# --- I1 to I3: what a consumer saw -----------------------------------------------------------------------------------


@dataclass
class Seen:
    """All that came out of a stream, and how it ended.

    Attributes: events; error: what was raised; outcome: see `outcome_of`; seconds: from the first pull to the end.
    """

    events: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    outcome: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ms.TextDelta))

    def check(self, truth: list[Any], *outcomes: str, within: float = 10.0) -> Seen:
        """Assert I1, I2 and I3. `truth`: the events of the undisturbed stream. `outcomes`: those that are right."""
        assert self.outcome in (outcomes or OUTCOMES), (self.outcome, self.error)
        assert self.seconds <= within * PATIENCE, f"I3: {self.seconds:.2f} s"
        if self.outcome == "Completed":
            assert comparable(self.events) == comparable(truth)
            return self
        content = list(self.events)
        while content and is_last(content[-1]):
            content.pop()
        if content == [ms.Start()]:  # it ended before it was told who answers
            content.pop()
        assert comparable(content) == comparable(truth[: len(content)]), "I1: no prefix of the true events"
        last = [event.type for event in self.events[len(content) :] if event.type != "start"]
        assert last.count("finish") <= 1
        assert last.count("error") <= 1
        assert last[-1:] in ([], ["finish"]), last
        return self


OUTCOMES = (
    "Completed", "Truncated", "ProviderError", "Timeout", "LimitExceeded", "Cancelled", "TransportError",
    "ProtocolError", "Refused",
)  # fmt: skip


def is_last(event: Any) -> bool:
    """What a stream adds when it ends before its time."""
    cut_call = isinstance(event, ms.ToolCall) and event.validity == "incomplete"
    return cut_call or isinstance(event, (ms.Error, ms.Usage, ms.Finish))


def comparable(events: list[Any]) -> list[Any]:
    """Exceptions have no equality of their own."""
    return [ms.events.encode_event(event) if isinstance(event, ms.Error) else event for event in events]


def outcome_of(events: list[Any], error: BaseException | None) -> str:
    match error:
        case None:
            last = events[-1] if events else None
            whole = isinstance(last, ms.Finish) and last.reason != "incomplete"
            return "Completed" if whole else "Truncated"
        case ms.IncompleteStream():
            return "Truncated"
        case ms.ProviderError():
            return "ProviderError"
        case ms.StreamTimeout():
            return "Timeout"
        case ms.LimitExceeded():
            return "LimitExceeded"
        case ms.ConnectionFailed():
            return "TransportError"
        case ms.errors.UnexpectedContentType():
            return "Refused"
        case ms.ParseError():
            return "ProtocolError"
        case ms.RetriesExhausted(last=last):
            return outcome_of(events, last)
        case ms.StreamClosed():
            return "Cancelled"
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return "Cancelled"
    raise error


_reads = itertools.count(1)


async def read(stream: Stream[Any], each: Callable[[Any], object] = lambda event: None) -> Seen:
    """Read a stream to its end, however it ends, and assert what always holds of that."""
    if next(_reads) % 100 == 0:
        gc.collect(0)  # `invariants` has switched it off, and exceptions leave cycles
    seen = Seen()
    begun = time.monotonic()
    try:
        async with stream as events:
            async for event in events:
                seen.events.append(event)
                each(event)
    except Exception as error:
        seen.error = error
    seen.seconds = time.monotonic() - begun
    seen.outcome = outcome_of(seen.events, seen.error)
    told = [event.error for event in seen.events if isinstance(event, ms.Error) and event.fatal]
    assert told in ([], [seen.error]), "I2: what was told as an event is what is raised"
    kinds = [event.type for event in seen.events]
    assert kinds.count("finish") <= kinds.count("start") <= 1, "I2"
    assert seen.error is not None or kinds[-1] == "finish", "I2"
    assert stream.state in ("finished", "failed"), stream.state
    return seen
