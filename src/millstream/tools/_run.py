"""`run_steps`: model calls and the tools they ask for, until nothing is left to do, as one stream.

    Start  (StepStart  event*  StepFinish)+  [Error]  Finish

One task walks through the steps; the tools of a step are its children. It does what the consumer asks for: the model's
stream is read, and the next step opened, only while somebody waits for an event. Tools, once called, run by themselves,
and their results go out in the order in which they come. Not known here: providers. A step is opened by a callable.
Source: DESIGN.md section 1; REQUIREMENTS.md rows 9, 104 to 125; STREAMS.md section 9, defect 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any

from anyio import Event as Signal

from millstream.errors import StepLimit, StreamError
from millstream.events import Error, Event, Finish, FinishReason, StepFinish, StepStart
from millstream.messages import Message, MessagesLike, as_messages
from millstream.protocols.history import tool_message
from millstream.streams import Stream
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller
from millstream.streams._tasks import Job, Tasks
from millstream.tools._agent import Agent, OpenStep, Path
from millstream.tools._runner import Approve, OnToolError, ToolRunner
from millstream.tools._state import RunState, Step
from millstream.tools._step import Settings, StepReader
from millstream.tools._tool import AnyTool
from millstream.tools.stop import HARD_CAP, StopCondition, StopWhen, custom

__all__ = ["Run", "run_steps"]

# The answer is not whole: it does not go into the conversation.
CUT = {FinishReason.ERROR, FinishReason.INCOMPLETE}
# After these the model waits for nothing: it was stopped, or is not there any more.
BROKEN = {*CUT, FinishReason.CONTENT_FILTER}


class Run(Stream[Event]):
    """The stream of a run, and how far it has come; both stay readable when it has ended, or failed."""

    def __init__(self, walker: _Walker) -> None:
        super().__init__(walker)
        self._walker = walker

    @property
    def so_far(self) -> RunState:
        """Messages, steps, text, usage: see `RunState`."""
        return self._walker.run

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, to go on with: see `RunState.messages`. A new list."""
        return list(self._walker.run.messages)


def run_steps(
    open_step: OpenStep,
    messages: MessagesLike,
    tools: Iterable[AnyTool] = (),
    *,
    stop_when: StopWhen | None = None,
    protocol: str = "",
    handoffs: Mapping[str, OpenStep | Agent] | None = None,
    max_parallel: int = 10,
    tool_timeout: float | None = 30.0,
    approve: Approve | None = None,
    on_error: OnToolError | None = None,
    eager: bool = True,
    deps: Any = None,
    clock: Clock = ANYIO_CLOCK,
) -> Run:
    """Run a model's tool calls and send the results back, step by step, until it asks for no more.

    Args:
        open_step: opens one model call: gets the messages, returns a `Stream` of events (or another async iterable of
            them, or an awaitable of one). It is closed here.
        messages: the conversation so far; a string is what the user says.
        tools: what the model may call: functions, tools, and `ToolSpec`s of tools that somebody else runs. A call of
            those ends the run after its step, with the reason "tool_calls". `open_step` must tell the model of the
            same tools: `tool_specs(tools)`.
        stop_when: ends the run after a step for which it is true, for example `max_steps(5) | tool_seen("book")`.
        protocol: the decoder's name, so that what only its provider understands goes back to it, and to no other.
        handoffs: who takes over when a `Handoff` event names it, or a tool returns one. It gets the conversation,
            `portable()`. A `Handoff` event to somebody unknown ends the run with ProcessingError, a tool's is an error
            result; without `handoffs` either ends the run after its step, and the caller takes over.
        max_parallel, tool_timeout, approve, on_error: see `ToolRunner`; the timeout is in seconds.
        eager: run each call as soon as it is complete, while the model still writes; False: when its answer is there.
        deps: for `ToolContext.deps`.
        clock: what durations and timeouts go by.

    Returns: a stream to be used in `async with`, whose tasks end with the block. `Finish` carries the total usage and
        the number of steps, and in `meta` the "duration" in seconds, the "tools" that gave a result, and "stopped_by".
    Raises: what opening the first step raises, at `async with`. In the stream: what a step raises, after an `Error`
        event if it is a StreamError, with `step` set; calls that run are waited for first. StepLimit: 100 steps were
        made, and the model still calls tools. What `stop_when` and `on_error` raise.
    """
    runner = partial(
        ToolRunner, max_parallel=max_parallel, timeout=tool_timeout, approve=approve, on_error=on_error, clock=clock
    )
    path = Path(Agent(open_step=open_step, tools=tools, protocol=protocol), handoffs or {}, runner)
    return Run(_Walker(path, as_messages(messages), stop_when, Settings(eager, deps, []), clock))


class _Walker(Puller[Event]):
    """Walks through the steps in a task of its own, as far as it is asked to."""

    needs_tasks = "run_steps"

    def __init__(
        self,
        path: Path,
        messages: list[Message],
        stop_when: StopWhen | None,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.run = RunState(messages=messages)
        self._path = path
        self._stop_when = stop_when if stop_when is None or isinstance(stop_when, StopCondition) else custom(stop_when)
        self._settings = settings
        self._clock = clock
        self._job: Job | None = None
        self._out: list[Event] = []
        self._wanted = self._opened = self._done = False
        self._error: Exception | None = None

    # --- the consumer's side -------------------------------------------------------------------------------------

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the transports of all steps."""
        self._settings.watchers.append(watcher)

    async def open(self, tasks: Tasks) -> None:
        """Open the first step."""
        # That of the running backend, at a third of the cost of asking anyio each time which one it is.
        self._ready, self._wants = Signal(), Signal()
        self._new_signal = type(self._ready)
        self._job = tasks.start(self.needs_tasks, self._walk, self._failed)
        await self._ready.wait()
        if not self._opened and self._error is not None:
            raise self._error

    async def pull(self) -> list[Event]:
        """Return what has come since the last time, or have the model's stream read."""
        while not self._out and not self._done:
            self._ready = self._new_signal()
            self._wanted = True
            self._wants.set()
            await self._ready.wait()
        out, self._out = self._out, []
        if not out and self._error is not None:
            raise self._error
        return out

    async def aclose(self) -> None:
        """Stop the step and its tools, and wait until they have ended."""
        if self._job is not None:
            await self._job.stop()

    # --- the task's side -----------------------------------------------------------------------------------------

    def emit(self, *events: Event) -> None:
        """Hand out events."""
        self._out += events
        self._wanted = False
        self._ready.set()

    async def asked(self) -> None:
        """Wait until somebody waits for events."""
        while not self._wanted:
            self._wants = self._new_signal()
            await self._wants.wait()

    def opened(self) -> None:
        """Note that the model has answered the call: what goes wrong from here on is an event first."""
        self._opened = True
        self._ready.set()

    def _failed(self, error: Exception) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        self._done = True
        self._ready.set()

    async def _walk(self) -> None:
        self._began = self._clock.now()
        try:
            await self._steps()
        except Exception as error:
            self._tell(error)
            raise
        self._end()

    async def _steps(self) -> None:
        path, run = self._path, self.run
        for number in range(1, HARD_CAP + 1):
            if number > 1:
                self.emit(StepStart(number))
                await self.asked()
            reader = await self._step(number)
            if stopped_by := await self._stopped_by(run.steps[-1], reader):
                self.emit(self._finish(run.steps[-1].reason, stopped_by))
                return
            if reader.handoff is not None:
                path.hand_over(run.messages, reader.handoff, answered=reader.answered)
        raise StepLimit(
            f"the model still called tools after {HARD_CAP} steps; give a stop condition: stop_when=max_steps(n)",
            limit=HARD_CAP,
        )

    async def _step(self, number: int) -> StepReader:
        """Make one step, up to its `StepFinish`. Raises: what it failed with."""
        began = self._clock.now()
        path, run = self._path, self.run
        self._reader = reader = StepReader(number, path, path.visible(run.messages), self, self._settings)
        await reader.read()
        now = self._clock.now()
        step = reader.step(now - began)
        run.steps.append(step)
        run.duration = now - self._began
        if reader.failure is not None:
            raise reader.failure
        if step.reason not in CUT:
            new = [step.message] if step.message.parts else []
            path.said(run.messages, *new, *([tool_message(step.results)] if step.results else []))
        self.emit(_finished(step))
        return reader

    def _tell(self, error: Exception) -> None:
        """Note on an exception where it happened and what there was before; of the stream's own ones tell in events."""
        reader = self._reader
        with suppress(AttributeError):  # an exception of somebody else may refuse attributes
            error.step = reader.number  # type: ignore[attr-defined]
            if getattr(error, "partial", None) is None:
                error.partial = self.run  # type: ignore[attr-defined]
        told = reader.error or (Error(error) if isinstance(error, StreamError) else None)
        if not self._opened or told is None:
            return
        self.emit(*reader.beginning(), told)
        if reader.failure is not None:
            self.emit(_finished(self.run.steps[-1]))
        self.emit(self._finish(FinishReason.ERROR))

    async def _stopped_by(self, step: Step, reader: StepReader) -> str:
        """Why the run ends after this step, "" if it goes on."""
        if step.reason in BROKEN:
            return str(step.reason)
        if reader.handoff is None and step.reason is not FinishReason.PAUSE:
            if not step.calls:
                return "answer"
            if len(step.results) < len(step.calls):
                return "calls"
        if self._stop_when is not None:
            holds = self._stop_when(self.run)
            if await holds if isawaitable(holds) else holds:
                return self._stop_when.name
        return "handoff" if reader.handoff is not None and not self._path.names else ""

    def _finish(self, reason: FinishReason, stopped_by: str = "") -> Finish:
        run = self.run
        finish = Finish(reason, run.steps[-1].raw_reason, run.usage, len(run.steps))
        finish.meta.update({"duration": run.duration, "tools": run.tools})
        if stopped_by:
            finish.meta["stopped_by"] = stopped_by
        return finish


def _finished(step: Step) -> StepFinish:
    event = StepFinish(step.number, step.reason, step.usage, step.duration)
    told = {"model": step.model, "id": step.id, "agent": step.agent}
    if any(told.values()):
        event.meta.update({name: value for name, value in told.items() if value})
    return event
