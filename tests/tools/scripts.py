"""Models that follow a script: what each step answers, and what they were asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

import millstream as ms
from millstream.testing import ScriptedSource

CALLS, STOP = ms.FinishReason.TOOL_CALLS, ms.FinishReason.STOP


def call(name: str, arguments: Any = None, *, id: str | None = None, index: int = 0, **more: Any) -> ms.ToolCall:
    data = arguments if isinstance(arguments, bytes) else orjson.dumps({} if arguments is None else arguments)
    try:
        parsed, validity = orjson.loads(data or b"{}"), ms.events.Validity.VALID
    except ValueError:
        parsed, validity = None, ms.events.Validity.INVALID
    facts: dict[str, Any] = {"arguments": parsed, "validity": validity} | more
    return ms.ToolCall(f"call-{index}" if id is None else id, name, data, index=index, **facts)


def step(*events: Any, reason: ms.FinishReason | None = None, usage: ms.Usage | None = None) -> list[Any]:
    """The events of one whole step: strings are text, calls get their numbers."""
    out: list[Any] = [ms.Start("model", "response")]
    n = 0
    for event in events:
        if isinstance(event, str):
            event = ms.TextDelta(event)
        elif isinstance(event, ms.ToolCall) and event.choice == 0:
            event = ms.ToolCall(
                event.id if event.id != "call-0" else f"call-{n}",
                event.name,
                event.input,
                event.arguments,
                event.validity,
                index=n,
            )
            n += 1
        out.append(event)
    if usage is not None:
        out.append(usage)
    return [*out, ms.Finish(reason or (CALLS if n else STOP), "raw", usage)]


class Model:
    """`open_step` by script: each step is a list of events and of steps of `ScriptedSource`, or an exception to raise.

    Attributes: asked: the messages of each call. sources: what was opened.
    """

    def __init__(self, *steps: Iterable[Any] | Exception, clock: Any = None, again: bool = False) -> None:
        self._steps = list(steps)
        self._clock = clock
        self._again = again
        self.asked: list[list[ms.Message]] = []
        self.sources: list[ScriptedSource[ms.Event]] = []

    def __call__(self, messages: list[ms.Message]) -> ms.Stream[ms.Event]:
        self.asked.append(messages)
        given = self._steps[0] if self._again else self._steps.pop(0)
        if isinstance(given, Exception):
            raise given
        self.sources.append(ScriptedSource(*given, clock=self._clock))
        return ms.Stream(self.sources[-1])


async def run(*args: Any, **options: Any) -> tuple[list[Any], ms.tools.Run]:
    """All events of a run, and the run."""
    events: list[Any] = []
    async with ms.tools.run_steps(*args, **options) as stream:
        async for event in stream:
            events.append(event)
    return events, stream


def kinds(events: Iterable[Any]) -> list[str]:
    return [str(event.type) for event in events]


def of(events: Iterable[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def roles(messages: Iterable[ms.Message]) -> list[str]:
    return [message.role for message in messages]
