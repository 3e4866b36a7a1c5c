"""How a stream begins and ends, and the steps in between."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from millstream.events._base import EventBase, EventType
from millstream.events.usage import Usage

__all__ = ["Finish", "FinishReason", "Handoff", "Start", "StepFinish", "StepStart"]


class FinishReason(StrEnum):
    """Why a stream ended, in one vocabulary for all providers."""

    STOP = "stop"
    """The model had said what it wanted to say, or met a stop sequence."""
    LENGTH = "length"
    """A token limit cut the answer off."""
    TOOL_CALLS = "tool_calls"
    """The model waits for the results of its tool calls."""
    CONTENT_FILTER = "content_filter"
    """A filter or the model's own refusal ended it."""
    PAUSE = "pause"
    """The provider wants the same conversation sent again, to go on."""
    ERROR = "error"
    """An error ended it; an `Error` event came before."""
    INCOMPLETE = "incomplete"
    """The body ended, but the wire's own end was not seen: part of the answer may be missing."""
    OTHER = "other"
    """A reason that this version does not know; see `raw_reason`."""


class Start(EventBase, frozen=True, tag="start"):
    """The first event of every stream.

    Attributes:
        model: the model that answers, "" if not told.
        id: the provider's id of the response, "" if not told.
    """

    type: ClassVar[EventType] = EventType.START

    model: str = ""
    id: str = ""


class Finish(EventBase, frozen=True, tag="finish"):
    """The last event of every stream.

    Attributes:
        reason: why it ended, normalised.
        raw_reason: the provider's own word, "" if there was none.
        usage: the total over all steps, None if not told.
        steps: how many model calls were made.
        choices: the raw reason of each of several answers (`n` > 1), by number; None for one answer.
    """

    type: ClassVar[EventType] = EventType.FINISH

    reason: FinishReason
    raw_reason: str = ""
    usage: Usage | None = None
    steps: int = 1
    choices: dict[int, str] | None = None


class StepStart(EventBase, frozen=True, gc=False, tag="step_start"):
    """A multi-step run begins a model call.

    Attributes: step: its number, from 1.
    """

    type: ClassVar[EventType] = EventType.STEP_START

    step: int


class StepFinish(EventBase, frozen=True, tag="step_finish"):
    """A multi-step run has finished a model call and the tools it asked for.

    Attributes:
        step: its number, from 1.
        reason: why the model stopped.
        usage: of this step alone.
        duration: seconds.
    """

    type: ClassVar[EventType] = EventType.STEP_FINISH

    step: int
    reason: FinishReason = FinishReason.STOP
    usage: Usage | None = None
    duration: float | None = None


class Handoff(EventBase, frozen=True, gc=True, tag="handoff"):
    """The run goes on with another agent.

    Attributes:
        target: its name.
        payload: what is handed over, any JSON value.
    """

    type: ClassVar[EventType] = EventType.HANDOFF

    target: str
    payload: Any = None
