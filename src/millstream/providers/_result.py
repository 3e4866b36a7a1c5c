"""What the generate forms return: the events of a stream, collected. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from millstream.events import (
    Citations,
    Event,
    File,
    Finish,
    FinishReason,
    ReasoningDelta,
    Safety,
    Start,
    StepFinish,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from millstream.messages import Message
from millstream.protocols.history import MessageBuilder, tool_message
from millstream.tools import Run

__all__ = ["Collector", "ObjectResult", "TextResult"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResult:
    """A whole answer, of one model call or of a run of several.

    Attributes:
        text: the words of the first answer, of all steps.
        reasoning: what the model showed of its thoughts.
        finish: how it ended; `usage` and `reason` are its.
        start: which model answered, under which id.
        messages: what the answer adds to the conversation: the assistant's message, and with tools the results and the
            assistant's next ones. Send them back with the next request.
        tool_calls, tool_results, citations, safety, files: those events, in order.
    """

    text: str
    reasoning: str
    finish: Finish | None
    start: Start | None
    messages: tuple[Message, ...]
    tool_calls: tuple[ToolCall, ...]
    tool_results: tuple[ToolResult, ...]
    citations: tuple[Citations, ...]
    safety: tuple[Safety, ...]
    files: tuple[File, ...]
    usage: Usage | None

    @property
    def reason(self) -> FinishReason:
        """Why it ended; "incomplete" if its end never came."""
        return FinishReason.INCOMPLETE if self.finish is None else self.finish.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectResult(Generic[T]):
    """A whole object.

    Attributes:
        object: the validated value.
        raw: its JSON text.
        finish: how the answer ended.
        usage: what it cost.
    """

    object: T
    raw: bytes
    finish: Finish | None
    usage: Usage | None


class Collector:
    """Collects the events of a stream.

    Args: protocol: whose opaque parts these are, see `MessageBuilder`. source: where they come from; a `Run` knows
        better what each of its agents said.
    """

    def __init__(self, protocol: str = "", source: object = None) -> None:
        self._protocol = protocol
        self._run = source if isinstance(source, Run) else None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._kept: dict[type, list[Event]] = {
            cls: [] for cls in (Citations, File, Safety, Start, ToolCall, ToolResult)
        }
        self._usage: Usage | None = None
        self._messages: list[Message] = []
        self._step()
        self.finish: Finish | None = None

    def _step(self) -> None:
        self._builder = MessageBuilder(self._protocol)
        self._results: list[ToolResult] = []

    def add(self, event: Event) -> None:
        """Take the next event."""
        if getattr(event, "choice", 0) != 0:
            return
        self._builder.add(event)
        match event:
            case TextDelta():
                self._text.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolResult():
                self._results.append(event)
                self._kept[ToolResult].append(event)
            case StepFinish():
                self._flush()
            case Usage():
                self._usage = event
            case Finish():
                self.finish = event
            case _ if type(event) in self._kept:
                self._kept[type(event)].append(event)

    def _flush(self) -> None:
        self._messages += self._unfinished()
        self._step()

    def _unfinished(self) -> list[Message]:
        message = self._builder.message()
        order = {call.id: at for at, call in enumerate(message.tool_calls)}
        return _said(message, sorted(self._results, key=lambda result: order.get(result.id, len(order))))

    def messages(self) -> list[Message]:
        """What the answer adds to the conversation, as far as it has come."""
        if self._run is not None and self.finish is not None:
            steps = self._run.so_far.steps
            return [message for step in steps for message in _said(step.message, step.results)]
        return [*self._messages, *self._unfinished()]

    def result(self) -> TextResult:
        """Return all of it, as far as it has come."""
        kept = {cls: tuple(events) for cls, events in self._kept.items()}
        return TextResult(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            finish=self.finish,
            start=next(iter(kept[Start]), None),  # type: ignore[arg-type]
            messages=tuple(self.messages()),
            tool_calls=kept[ToolCall],  # type: ignore[arg-type]
            tool_results=kept[ToolResult],  # type: ignore[arg-type]
            citations=kept[Citations],  # type: ignore[arg-type]
            safety=kept[Safety],  # type: ignore[arg-type]
            files=kept[File],  # type: ignore[arg-type]
            usage=(self.finish and self.finish.usage) or self._usage,
        )


def _said(message: Message, results: Sequence[ToolResult]) -> list[Message]:
    """What one step adds."""
    return [*([message] if message.parts else []), *([tool_message(results)] if results else [])]
