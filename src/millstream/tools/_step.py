"""One step of a run: follow the model's stream, and run its calls as they come.

The model's stream is read in the task that calls `read`; each call is a task beside it, in one group, which has ended
when `read` returns. Calls that run are never stopped by an error of the stream: they may have had effects, and what
came of them must be known. Calls that have not begun then are not begun any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Protocol

from anyio import CancelScope, create_task_group

from millstream.events import Data, Error, Event, FinishReason, Handoff, Start, StepStart, ToolCall, ToolResult
from millstream.messages import Message
from millstream.streams import RESTART, Stream
from millstream.tools._agent import Path
from millstream.tools._answer import Answer
from millstream.tools._state import Step

__all__ = ["Settings", "StepReader"]


class Desk(Protocol):
    """Where the events go."""

    def opened(self) -> None:
        """Note that the model has answered the call."""

    def emit(self, *events: Event) -> None:
        """Hand out events."""

    async def asked(self) -> None:
        """Wait until somebody wants events."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all steps of a run share; see `run_steps`. `watchers`: see `Puller.watch`."""

    eager: bool
    deps: Any
    watchers: list[Callable[[int], None]]


class StepReader:
    """Reads one step.

    Args:
        number: of the step, from 1.
        path: whose turn it is, and whom it may hand over to.
        messages: what it is asked with.
        desk: where events go.

    Attributes:
        number: as given.
        failure: what ended it, None if it came to its end.
        handoff: to whom the run goes on, if to anybody. answered: a tool said so, and its call has its result.
    """

    def __init__(self, number: int, path: Path, messages: list[Message], desk: Desk, settings: Settings) -> None:
        self.number = number
        self._path = path
        self._messages = messages
        self._desk = desk
        self._settings = settings
        self._begun = False
        self.failure: Exception | None = None
        self._forget()

    def _forget(self) -> None:
        self._answer = Answer(self._path.agent.protocol)
        self._results: dict[int, ToolResult] = {}
        self._handoff: Handoff | None = None
        self._held: list[int] = []
        self._running: list[CancelScope] = []

    @property
    def handoff(self) -> Handoff | None:
        return self._handoff or self._answer.handoff

    @property
    def answered(self) -> bool:
        return self._handoff is not None

    @property
    def error(self) -> Error | None:
        """The event with which the stream told of the failure, if it did."""
        return self._answer.error

    def step(self, duration: float) -> Step:
        """What it amounts to."""
        answer, finish = self._answer, self._answer.finish
        return Step(
            number=self.number,
            agent=self._path.name,
            message=answer.message(),
            calls=tuple(answer.calls),
            results=tuple(self._results[at] for at in sorted(self._results)),
            reason=finish.reason if self.failure is None else FinishReason.ERROR,
            raw_reason=finish.raw_reason,
            usage=finish.usage or answer.usage,
            duration=duration,
            model=answer.start.model,
            id=answer.start.id,
        )

    async def read(self) -> None:
        """Read the stream to its end, and wait for the calls. What goes wrong is in `failure`."""
        async with create_task_group() as self._group:
            try:
                await self._follow()
            except Exception as error:
                self.failure = self.failure or error
                self._path.runner.stop_waiting()
            for at in self._held:
                self._start(at)

    async def _follow(self) -> None:
        source: Any = self._path.agent.open_step(list(self._messages))
        if isawaitable(source):
            source = await source
        if not isinstance(source, AsyncIterable):
            raise TypeError(f"open_step must return a Stream or another async iterable, not {type(source).__name__}")
        stream = source if isinstance(source, Stream) else Stream(source)
        for watcher in self._settings.watchers:
            stream._puller.watch(watcher)
        async with stream:
            self._desk.opened()
            batches = stream.batches()
            while True:
                await self._desk.asked()
                batch = await anext(batches, None)
                if batch is None:
                    break
                self._take(batch)
        self._take([])
        if self.error is not None:  # a stream that tells of its error and does not raise it
            raise self.error.error

    def _take(self, batch: list[Event]) -> None:
        out = self.beginning(batch)
        for event in batch:
            if isinstance(event, Data) and event.name == RESTART:
                self._restart()
            n_calls = len(self._answer.calls)
            if self._answer.take(event):
                out.append(event)
            if len(self._answer.calls) > n_calls:
                self._called(n_calls)
        if out:
            self._desk.emit(*out)

    def beginning(self, batch: Iterable[Event] = ()) -> list[Event]:
        """What goes out before all other events of the run, if it is not out. The stream's own `Start` comes first."""
        begun, self._begun = self._begun, True
        if begun or self.number > 1:
            return []
        first = next(iter(batch), None)
        return [first if isinstance(first, Start) else Start(), StepStart(1)]

    def _restart(self) -> None:
        """The answer starts over: what was called in vain is stopped, and its results are dropped."""
        for scope in self._running:
            scope.cancel()
        self._forget()

    # --- the calls -----------------------------------------------------------------------------------------------

    def _called(self, at: int) -> None:
        if not self._path.runner.runs(self._answer.calls[at]):
            return
        if self._settings.eager:
            self._start(at)
        else:
            self._held.append(at)

    def _start(self, at: int) -> None:
        scope = CancelScope()
        self._running.append(scope)
        call = self._answer.calls[at]
        self._group.start_soon(self._run, at, call, scope, name=f"millstream.tool.{call.name}")

    async def _run(self, at: int, call: ToolCall, scope: CancelScope) -> None:
        with scope:
            try:
                outcome = await self._path.runner.run(
                    call, step=self.number, messages=self._messages, deps=self._settings.deps
                )
            except Exception as error:  # of the application's `on_error`
                self.failure = self.failure or error
                self._group.cancel_scope.cancel()
                return
        if scope.cancel_called:  # the answer has started over
            return
        if isinstance(outcome, Handoff):
            self._handed_over(at, call, outcome)
        else:
            self._results[at] = outcome
            self._desk.emit(outcome)

    def _handed_over(self, at: int, call: ToolCall, handoff: Handoff) -> None:
        """The call is answered too: no provider takes a conversation with a call that is not."""
        target, names, error = handoff.target, self._path.names, None
        if self.handoff is not None:
            error = f"the run was handed over to {self.handoff.target!r} already"
        elif names and target not in names:
            error = f"there is no {target!r} to hand over to; there are: {', '.join(names)}"
        value = f"handed over to {target}" if handoff.payload is None else handoff.payload
        self._results[at] = ToolResult(call.id, call.name, value if error is None else None, error)
        self._desk.emit(self._results[at])
        if error is None:
            self._handoff = handoff
            self._desk.emit(handoff)
