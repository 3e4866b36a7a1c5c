"""What the events of one step amount to: the model's message, its calls, why it stopped. Reads only; starts nothing."""

from __future__ import annotations

from msgspec.structs import replace

from millstream.events import (
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
    Usage,
)
from millstream.messages import Message
from millstream.protocols.history import MessageBuilder

__all__ = ["Answer"]


class Answer:
    """Collects the events of one answer; of several (`choice`) the first.

    An agent that makes steps of its own (its stream has a `StepStart`) runs its calls itself: its words are its answer.

    Args: protocol: see `run_steps`.

    Attributes:
        start: with the model's name. usage: None if not told.
        calls: in order. handoff: to whom the run goes on, if to anybody.
        error: the fatal `Error` event. It is kept back, because the results of calls that run still come before it.
    """

    def __init__(self, protocol: str) -> None:
        self.start = Start()
        self.usage: Usage | None = None
        self.calls: list[ToolCall] = []
        self.handoff: Handoff | None = None
        self.error: Error | None = None
        self._finish: Finish | None = None
        self._builder = MessageBuilder(protocol)
        self._words: list[str] = []
        self._block: int | None = None
        self._indices: set[int] = set()
        self._nested = False
        self._offered: Handoff | None = None

    @property
    def finish(self) -> Finish:
        """Why it ended. Decoders always tell; a function of the application may simply end."""
        return self._finish or Finish(FinishReason.TOOL_CALLS if self.calls else FinishReason.STOP, usage=self.usage)

    def message(self) -> Message:
        """The model's message."""
        self._build(None)
        return self._builder.message()

    def take(self, event: Event) -> bool:
        """Take the next event. Returns: whether it is handed on; start, end, error and steps are the run's own."""
        if type(event) is TextDelta and event._meta is None and event.choice == 0:  # nearly all of an answer
            self._write(event)
            return True
        match event:
            case Start():
                self.start = self.start if self.start.model else event
                return False
            case Finish():
                self._finished(event)
                return False
            case StepStart():
                self._nested = True
                return False
            case StepFinish():
                return False
            case Usage():
                self.usage = event
            case Error(fatal=True):
                self.error = event
                return False
            case Handoff() if self._nested:
                self._offered = event
            case Handoff():
                self.handoff = self.handoff or event
            case ToolCall(choice=0) if not self._nested:
                self.calls.append(event)
        self._build(event)
        return True

    def _finished(self, event: Finish) -> None:
        self._finish = event
        # A run inside knows whom to hand over to; what it could not place is for the one around it.
        if self._nested and (event._meta or {}).get("stopped_by") == "handoff":
            self.handoff = self._offered

    def _write(self, event: TextDelta) -> None:
        """Put words into the message: those of one block, from the second piece on, as one piece.

        The first one after something else may be signed by that, and then stands by itself.
        """
        if event.index == self._block:
            self._words.append(event.text)
        else:
            self._build(event)
            self._block = event.index

    def _build(self, event: Event | None) -> None:
        """Put the words so far into the message, and an event after them."""
        if self._words:
            self._builder.add(TextDelta("".join(self._words), self._block or 0))
            self._words = []
        self._block = None
        if event is None or (self._nested and not isinstance(event, TextDelta)):
            return
        if isinstance(event, ToolCall) and event.choice == 0:
            if event.index in self._indices:  # numbered by nobody: the message would keep only the last one
                event = replace(event, index=max(self._indices) + 1)
            self._indices.add(event.index)
        self._builder.add(event)
