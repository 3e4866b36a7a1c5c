"""How far a run has come: what stop conditions look at, and what is left when it ends, or fails."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from millstream.events import FinishReason, ToolCall, ToolResult, Usage
from millstream.messages import Message

__all__ = ["RunState", "Step", "counted", "total_usage"]

COUNTS = [name for name in Usage.__struct_fields__ if name.endswith("_tokens")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One model call of a run, and the tools it asked for.

    Attributes:
        number: from 1.
        agent: the target of the `Handoff` that led to it, "" before any.
        message: what the model said, with its calls; partial if `reason` is "error" or "incomplete".
        calls: its calls, in order, also those that were not run.
        results: what came of them, in the order of the calls; none for calls that somebody else runs.
        reason: why the model stopped. raw_reason: in its provider's word.
        usage: tokens, None if not told.
        duration: seconds, tools included.
        model, id: as the provider told them.
    """

    number: int
    message: Message
    agent: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    reason: FinishReason = FinishReason.STOP
    raw_reason: str = ""
    usage: Usage | None = None
    duration: float = 0.0
    model: str = ""
    id: str = ""

    @property
    def text(self) -> str:
        """The words of the model."""
        return self.message.text


@dataclass(slots=True, kw_only=True)
class RunState:
    """A run so far.

    Attributes:
        messages: the conversation: what was given, and of each whole step the model's message and the tool results.
        steps: the steps so far; a last one that failed or was cut off is among them, but not in `messages`.
        duration: seconds since the run began, at the end of the last step.
    """

    messages: list[Message]
    steps: list[Step] = field(default_factory=list)
    duration: float = 0.0

    @property
    def usage(self) -> Usage | None:
        """Tokens of all steps, None if nothing was told."""
        return total_usage(step.usage for step in self.steps)

    @property
    def text(self) -> str:
        """The words of all steps."""
        return "".join(step.text for step in self.steps)

    @property
    def calls(self) -> list[ToolCall]:
        """The calls of all steps."""
        return [call for step in self.steps for call in step.calls]

    @property
    def results(self) -> list[ToolResult]:
        """The results of all steps."""
        return [result for step in self.steps for result in step.results]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that gave a result, each once, in the order of the calls."""
        return list(dict.fromkeys(result.name for result in self.results if result.error is None))


def total_usage(several: Iterable[Usage | None]) -> Usage | None:
    """Add token counts; what nobody told stays None. One alone is returned as it is."""
    known = [usage for usage in several if usage is not None]
    if len(known) < 2:
        return known[0] if known else None
    counts: dict[str, Any] = {}
    for name in COUNTS:
        told = [count for usage in known if (count := counted(usage, name)) is not None]
        counts[name] = sum(told) if told else None
    raw: dict[str, Any] | None = None
    for usage in known:
        raw = _added(raw, usage.raw) if raw and usage.raw else raw or usage.raw
    return Usage(**counts, raw=raw)


def counted(usage: Usage, name: str = "total_tokens") -> int | None:
    """One of the counts; the total also where only its parts were told."""
    count: int | None = getattr(usage, name)
    if count is None and name == "total_tokens" and usage.input_tokens is not None and usage.output_tokens is not None:
        return usage.input_tokens + usage.output_tokens
    return count


def _added(one: Any, other: Any) -> Any:
    """The providers' own objects, count by count: their keys tell encoders in which sense the counts are meant."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            key: _added(one[key], other[key]) if key in one and key in other else value
            for key, value in (one | other).items()
        }
    if type(one) in (int, float) and type(other) in (int, float):
        return one + other
    return other
