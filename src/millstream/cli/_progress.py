"""What can be told of a stream while it runs: counts, times, gaps. No I/O; the clock is injected.

Cost: one clock reading and a few additions per event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic

from millstream.events import (
    Error,
    Event,
    EventType,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["Progress"]


class Progress:
    """Measure one stream, from the request to its end.

    Args:
        stall_s: a longer gap between two events is a stall, in seconds.
        clock: gives seconds, never goes back.

    Attributes:
        counts: events by type.
        n_characters: of text and reasoning so far. tool_calls: the finished calls.
        model: from Start. `finish`: the last event, None before. `error`: the last Error event.
        first_s: seconds from the request to the first delta, None before.
        n_stalls, longest_gap_s: gaps between events after the first delta.
    """

    def __init__(self, *, stall_s: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stall_s = stall_s
        self._requested = clock()
        self._first: float | None = None
        self._last_delta = 0.0
        self._last_event: float | None = None
        self._n_deltas = 0
        self.counts: Counter[EventType] = Counter()
        self._text: list[str] = []  # joined when they are asked for: adding to a string copies it
        self._reasoning: list[str] = []
        self.n_characters = 0
        self.tool_calls: list[ToolCall] = []
        self.model = ""
        self.finish: Finish | None = None
        self.error: Error | None = None
        self.n_stalls = 0
        self.longest_gap_s = 0.0

    def add(self, event: Event) -> None:
        """Count an event that has just arrived."""
        now = self._clock()
        self.counts[event.type] += 1
        if self._last_event is not None and self._first is not None:
            gap = now - self._last_event
            self.longest_gap_s = max(self.longest_gap_s, gap)
            self.n_stalls += gap > self._stall_s
        self._last_event = now
        match event:
            case TextDelta():
                self._text.append(event.text)
                self.n_characters += len(event.text)
                self._delta(now)
            case ReasoningDelta():
                self._reasoning.append(event.text)
                self.n_characters += len(event.text)
                self._delta(now)
            case ToolCallDelta():
                self._delta(now)
            case ToolCall():
                self.tool_calls.append(event)
            case Start():
                self.model = event.model
            case Error():
                self.error = event
            case Finish():
                self.finish = event

    def _delta(self, now: float) -> None:
        if self._first is None:
            self._first = now
        self._last_delta = now
        self._n_deltas += 1

    @property
    def n_events(self) -> int:
        """Number of events so far."""
        return self.counts.total()

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The thoughts so far."""
        return "".join(self._reasoning)

    @property
    def first_s(self) -> float | None:
        """Time to the first delta in seconds, None before it."""
        return None if self._first is None else self._first - self._requested

    @property
    def deltas_per_s(self) -> float | None:
        """Rate between the first delta and the last, None while there are fewer than two or no time has passed."""
        if self._first is None or self._last_delta <= self._first:
            return None
        return (self._n_deltas - 1) / (self._last_delta - self._first)

    @property
    def is_complete(self) -> bool:
        """Whether the wire's own end was seen and no error came."""
        return self.finish is not None and self.finish.reason not in (FinishReason.ERROR, FinishReason.INCOMPLETE)
