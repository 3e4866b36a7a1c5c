"""`TextProgress`: how far a text has come, for a person who watches it. Reported at most once a second.

No timer: reports are made while events come; for silence see `StreamMonitor`. Memory is fixed: the text is not kept.
Source: REQUIREMENTS.md rows 80-87.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from millstream.events import Finish, TextDelta, Usage

__all__ = ["ProgressReport", "TextProgress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """Where a text stands. Rates are 0.0 while no time has passed."""

    chars: int
    """Characters (code points) so far."""
    words: int
    """Fields between white space so far; the last one may still grow."""
    elapsed: float
    """Seconds since the start."""
    chars_per_second: float
    """Since the start."""
    words_per_second: float
    """Since the start."""
    usage: Usage | None
    """The provider's token counts, None before it told; each of them may be None."""
    is_final: bool
    """Whether the answer has ended."""

    def __str__(self) -> str:
        rate = f"{self.chars_per_second:.1f} characters/s"
        text = f"{self.chars} characters, {self.words} words in {self.elapsed:.1f} s ({rate})"
        if self.usage is None:
            return text
        counts = (self.usage.input_tokens, self.usage.output_tokens, self.usage.total_tokens)
        return text + ", tokens: {} in, {} out, {} in all".format(*("?" if n is None else n for n in counts))


class TextProgress:
    """Measures the text of one stream: `stream.on_event(progress.add)`, or call `add` yourself.

    Args:
        on_report: gets a `ProgressReport` at most once per `every` seconds, and a final one at the end.
        every: seconds.
        now: gives seconds and never goes back.

    Attributes:
        chars, words: see `ProgressReport`.
        start_time, last_update: when it was made, and when the last report was.
        usage: the last `Usage` seen.
        final: the final report, None before the end.

    Raises: ValueError: every is not positive.
    """

    def __init__(
        self,
        on_report: Callable[[ProgressReport], Any] | None = None,
        *,
        every: float = 1.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not every > 0:
            raise ValueError(f"every must be positive, not {every!r}")
        self._on_report = on_report
        self._every = every
        self._now = now
        self._in_word: set[tuple[int, int]] = set()
        self.start_time = self.last_update = now()
        self.chars = 0
        self.words = 0
        self.usage: Usage | None = None
        self.final: ProgressReport | None = None

    def observe(self, batch: Iterable[Any]) -> None:
        """Count the events that arrived together, a batch."""
        for event in batch:
            self.add(event)

    def add(self, event: Any) -> None:
        """Count one event; kinds that say nothing about the text are passed over."""
        if isinstance(event, TextDelta):
            self._count(event)
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Finish):
            self.usage = event.usage or self.usage
            self.close()
            return
        now = self._now()
        if self.final is None and now - self.last_update >= self._every:
            self.last_update = now
            if self._on_report is not None:
                self._on_report(self.report())

    def close(self) -> None:
        """The text has ended: make the final report. Only needed when no `Finish` came; idempotent."""
        if self.final is None:
            self.final = self._report(is_final=True)
            self.last_update = self.start_time + self.final.elapsed
            if self._on_report is not None:
                self._on_report(self.final)

    def report(self) -> ProgressReport:
        """Return where the text stands now; after the end, the final report."""
        return self.final or self._report(is_final=False)

    def _report(self, *, is_final: bool) -> ProgressReport:
        elapsed = max(0.0, self._now() - self.start_time)
        return ProgressReport(
            chars=self.chars,
            words=self.words,
            elapsed=elapsed,
            chars_per_second=self.chars / elapsed if elapsed else 0.0,
            words_per_second=self.words / elapsed if elapsed else 0.0,
            usage=self.usage,
            is_final=is_final,
        )

    def _count(self, delta: TextDelta) -> None:
        text = delta.text
        if not text:
            return
        self.chars += len(text)
        # A word that goes on from the delta before was counted there: of the same block of the same answer.
        block = (delta.choice, delta.index)
        continued = block in self._in_word and not text[0].isspace()
        self.words += len(text.split()) - continued
        if text[-1].isspace():
            self._in_word.discard(block)
        else:
            self._in_word.add(block)
