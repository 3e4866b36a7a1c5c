"""Which tools run, which are done: for a display beside the stream. Reads events, changes nothing."""

from __future__ import annotations

from millstream.events import Event, ToolCall, ToolResult

__all__ = ["ToolTracker", "truncate"]


class ToolTracker:
    """Follows the calls of a run: `run.tap(tracker.see)`, or `tracker.see(event)` in the loop.

    Attributes:
        order: names of the tools, in the order of their calls.
        completed: names of the tools, in the order in which they came to their ends, well or not.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.completed: list[str] = []
        self._running: list[ToolCall] = []

    def see(self, event: Event) -> None:
        """Take the next event; those that are no calls and no results are passed over."""
        if isinstance(event, ToolCall) and event.choice == 0:
            self.order.append(event.name)
            self._running.append(event)
        elif isinstance(event, ToolResult):
            self._end(event)

    def _end(self, result: ToolResult) -> None:
        """By id: two calls of one tool are two. A call without an id is known by its number in the answer."""
        index = (result._meta or {}).get("index")
        for call in self._running:
            if call.id == result.id and (result.id or index is None or call.index == index):
                self._running.remove(call)
                self.completed.append(result.name)
                return

    @property
    def running(self) -> list[str]:
        """Names of the tools that were called and have no result yet, in the order of their calls."""
        return [call.name for call in self._running]

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return len(self.order)

    @property
    def percent(self) -> float:
        """How many of the calls are done, of 100; 0.0 if there was none."""
        return 100.0 * len(self.completed) / len(self.order) if self.order else 0.0


def truncate(text: str, n: int, mark: str = "…") -> str:
    """Return the first `n` characters of the text, and `mark` if there were more. Raises ValueError: n below 0."""
    if n < 0:
        raise ValueError(f"n must be 0 or more, not {n!r}")
    return text if len(text) <= n else text[:n] + mark
