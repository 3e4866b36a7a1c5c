"""One step of a run: follow the model's stream, run the calls as they come, collect what it amounts to.

The model's stream is read in the task that calls `read`; each call is a task beside it, in one group, which has ended
when `read` returns. Calls that run are never stopped by an error of the stream: they may have had effects, and what
came of them must be known. Calls that have not begun then are not begun any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from inspect import isawaitable
from typing import Any, Protocol

from anyio import CancelScope, create_task_group
from msgspec.structs import replace

from millstream.events import (
    Data,
    Error,
    Event,
    Finish,
    FinishReason,
    Handoff,
    Start,
    StepFinish,
    StepStart,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from millstream.messages import Message
from millstream.protocols.history import MessageBuilder
from millstream.streams import RESTART, Stream
from millstream.tools._agent import Agent
from millstream.tools._runner import ToolRunner
from millstream.tools._state import Step

__all__ = ["StepReader"]


class Desk(Protocol):
    """Where the events go."""

    def emit(self, *events: Event) -> None:
        """Hand out events."""

    async def asked(self) -> None:
        """Wait until somebody wants events."""


class StepReader:
    """Reads one step.

    Args:
        number: of the step, from 1.
        agent, runner: whose turn it is, and what runs its calls. names: whom it may hand over to.
        messages: what it is asked with.
        desk: where events go. opened: is called when the model has answered the call.
        watchers: see `Puller.watch`. eager, deps: see `run_steps`.

    Attributes: failure: what ended it. told: an `Error` event has said so. handoff: to whom, if to anybody; answered: a
        tool said so. others: see `Step`.
    """

    def __init__(
        self,
        number: int,
        agent: Agent,
        runner: ToolRunner,
        names: list[str],
        messages: list[Message],
        desk: Desk,
        opened: Callable[[], None],
        *,
        watchers: list[Callable[[int], None]],
        eager: bool,
        deps: Any,
    ) -> None:
        self._watchers = watchers
        self._number = number
        self._agent = agent
        self._runner = runner
        self._names = names
        self._messages = messages
        self._desk = desk
        self._opened = opened
        self._eager = eager
        self._deps = deps
        self._begun = self._nested = False
        self.start = Start()
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.failure: Exception | None = None
        self._fatal: Exception | None = None
        self.told = False
        self.handoff: Handoff | None = None
        self.answered = False
        self._forget()

    def _forget(self) -> None:
        self._builder = MessageBuilder(self._agent.protocol)
        self.calls: list[ToolCall] = []
        self._results: dict[int, ToolResult] = {}
        self._indices: set[int] = set()
        self._held: list[int] = []
        self._running: list[CancelScope] = []

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """The results so far, in the order of the calls."""
        return tuple(self._results[at] for at in sorted(self._results))

    def step(self, agent: str, duration: float) -> Step:
        """What it amounts to."""
        # Decoders always tell; a function of the application may simply end.
        finish = self.finish or Finish(FinishReason.TOOL_CALLS if self.calls else FinishReason.STOP)
        return Step(
            number=self._number,
            agent=agent,
            message=self._builder.message(),
            calls=tuple(self.calls),
            results=self.results,
            reason=finish.reason if self.failure is None else FinishReason.ERROR,
            raw_reason=finish.raw_reason,
            usage=finish.usage or self.usage,
            duration=duration,
            model=self.start.model,
            id=self.start.id,
        )

    async def read(self) -> None:
        """Read the stream to its end, and wait for the calls. What goes wrong is in `failure`."""
        async with create_task_group() as self._group:
            try:
                await self._follow()
            except Exception as error:
                self.failure = error
                self._runner.stop_waiting()
            for at in self._held:
                self._run(at)

    async def _follow(self) -> None:
        source: Any = self._agent.open_step(list(self._messages))
        if isawaitable(source):
            source = await source
        if not isinstance(source, AsyncIterable):
            raise TypeError(f"open_step must return a Stream or another async iterable, not {type(source).__name__}")
        stream = source if isinstance(source, Stream) else Stream(source)
        for watcher in self._watchers:
            stream._puller.watch(watcher)
        async with stream:
            self._opened()
            batches = stream.batches()
            while True:
                await self._desk.asked()
                batch = await anext(batches, None)
                if batch is None:
                    break
                self._take(batch)
        if not self._begun:
            self._take([])
        if self._fatal is not None:  # a stream that tells of its error and does not raise it
            raise self._fatal

    def beginning(self) -> list[Event]:
        """What goes out before all other events of the step, if it is not out."""
        begun, self._begun = self._begun, True
        return [] if begun or self._number > 1 else [self.start, StepStart(1)]

    # --- the events ----------------------------------------------------------------------------------------------

    def _take(self, batch: list[Event]) -> None:
        out: list[Event] = []
        if not self._begun:
            if batch and isinstance(batch[0], Start):
                self.start = batch[0]
            out += self.beginning()
        for event in batch:
            match event:
                case Start() | StepFinish():
                    self.start = event if isinstance(event, Start) and not self.start.model else self.start
                    continue
                case StepStart():
                    self._nested = True  # an agent that makes steps of its own, and runs its calls itself
                    continue
                case Finish():
                    self.finish = event
                    continue
                case Data() if event.name == RESTART:
                    self._restart()
                case Usage():
                    self.usage = event
                case Error(fatal=True):
                    self.told = True
                    self._fatal = event.error
                case Handoff():
                    self.handoff = self.handoff or event
                case ToolCall(choice=0) if not self._nested:
                    self._called(event)
            self._build(event)
            out.append(event)
        if out:
            self._desk.emit(*out)

    def _build(self, event: Event) -> None:
        """Put it into the model's message."""
        if self._nested and not isinstance(event, TextDelta):
            return
        if isinstance(event, ToolCall) and event.choice == 0:
            if event.index in self._indices:  # numbered by nobody: the message would keep only the last one
                event = replace(event, index=max(self._indices) + 1)
            self._indices.add(event.index)
        self._builder.add(event)

    def _restart(self) -> None:
        """The answer starts over: what was called in vain is stopped, and its results are dropped."""
        for scope in self._running:
            scope.cancel()
        self._forget()

    # --- the calls -----------------------------------------------------------------------------------------------

    def _called(self, call: ToolCall) -> None:
        self.calls.append(call)
        if self._runner.runs(call):
            at = len(self.calls) - 1
            if self._eager:
                self._run(at)
            else:
                self._held.append(at)

    def _run(self, at: int) -> None:
        scope = CancelScope()
        self._running.append(scope)
        self._group.start_soon(self._one, at, self.calls, scope, name=f"millstream.tool.{self.calls[at].name}")

    async def _one(self, at: int, calls: list[ToolCall], scope: CancelScope) -> None:
        """Run a call. The answer to which it belongs may have been given up meanwhile: then its list is another one."""
        call = calls[at]
        with scope:
            try:
                outcome = await self._runner.run(call, step=self._number, messages=self._messages, deps=self._deps)
            except Exception as error:  # of the application's `on_error`
                self.failure = self.failure or error
                self._group.cancel_scope.cancel()
                return
        if scope.cancel_called or calls is not self.calls:
            return
        if isinstance(outcome, Handoff):
            self._handed_over(at, call, outcome)
        else:
            self._results[at] = outcome
            self._desk.emit(outcome)

    def _handed_over(self, at: int, call: ToolCall, handoff: Handoff) -> None:
        """The call is answered too: no provider takes a conversation with a call that is not."""
        target, error = handoff.target, None
        if self.handoff is not None:
            error = f"the run was handed over to {self.handoff.target!r} already"
        elif self._names and target not in self._names:
            error = f"there is no {target!r} to hand over to; there are: {', '.join(self._names)}"
        value = f"handed over to {target}" if handoff.payload is None else handoff.payload
        self._results[at] = ToolResult(call.id, call.name, value if error is None else None, error)
        self._desk.emit(self._results[at])
        if error is None:
            self.handoff, self.answered = handoff, True
            self._desk.emit(handoff)
