"""How a running stream is shown: live on a terminal, as plain lines elsewhere.

Whatever comes from a model is hostile here: it is never read as rich markup, and control characters that a terminal
could obey are taken out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from millstream.cli._progress import Progress
from millstream.events import Event, ReasoningDelta, TextDelta, ToolCall

__all__ = ["PlainView", "RichView", "View", "facts", "make_view", "printable"]

# C0 and C1 with DEL, but newline and tab stay: ESC begins terminal commands, and so does 0x9B on some terminals.
CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
del CONTROLS[ord("\n")], CONTROLS[ord("\t")]

REFRESH_S = 1 / 15


def printable(text: str, *, one_line: bool = False) -> str:
    """Take out what a terminal could obey.

    Args: one_line: newlines and tabs become spaces, for names and messages.
    """
    text = text.translate(CONTROLS)
    return " ".join(text.split()) if one_line else text


def facts(progress: Progress) -> list[str]:
    """Say in a few lines how a stream went so far."""
    counts = ", ".join(f"{kind} {n}" for kind, n in progress.counts.items())
    first = "-" if progress.first_s is None else f"{progress.first_s * 1000:.0f} ms"
    rate = "-" if progress.deltas_per_s is None else f"{progress.deltas_per_s:.0f}"
    gap = f"{progress.longest_gap_s * 1000:.0f} ms"
    lines = [
        f"events: {counts or '-'}",
        f"first token: {first}   deltas/s: {rate}   stalls: {progress.n_stalls}   longest gap: {gap}",
    ]
    finish = progress.finish
    if finish is not None:
        raw = f" ({printable(finish.raw_reason, one_line=True)})" if finish.raw_reason else ""
        usage = "not told"
        if finish.usage is not None:
            usage = f"{finish.usage.input_tokens} in, {finish.usage.output_tokens} out"
        lines.append(f"finish: {finish.reason}{raw}   usage: {usage}")
    return lines


class View(Protocol):
    """Shows one act after the other."""

    def line(self, text: str) -> None:
        """Show a line of our own."""

    def begin(self, title: str, progress: Progress) -> None:
        """Begin an act."""

    def event(self, event: Event) -> None:
        """Show an event that `progress` has counted already."""

    def end(self) -> None:
        """End the act, also if it failed."""


class PlainView:
    """Lines, each flushed when it is complete. For pipes, files and CI."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pending = ""

    def line(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def begin(self, title: str, progress: Progress) -> None:
        self._progress = progress
        self._pending = ""
        self.line(f"\n== {title}")

    def event(self, event: Event) -> None:
        match event:
            case TextDelta() | ReasoningDelta():
                self._pending += printable(event.text)
                *lines, self._pending = self._pending.split("\n")
                for line in lines:
                    self.line(f"  | {line}")
            case ToolCall():
                self._flush()
                self.line(f"  > {_call(event)}")

    def _flush(self) -> None:
        if self._pending:
            self.line(f"  | {self._pending}")
            self._pending = ""

    def end(self) -> None:
        self._flush()
        for line in facts(self._progress):
            self.line(f"  {line}")


class RichView:
    """A panel that grows while the stream runs, with the facts below it."""

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self._console = console
        self._clock = clock

    def line(self, text: str) -> None:
        self._console.print(Text(text))

    def begin(self, title: str, progress: Progress) -> None:
        self._title = title
        self._progress = progress
        self._drawn = self._clock()
        # No refresh thread: it would read `progress` while it changes.
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            redirect_stderr=False,
            redirect_stdout=False,
        )
        self._live.start(refresh=True)

    def event(self, event: Event) -> None:
        now = self._clock()
        if now - self._drawn >= REFRESH_S:
            self._drawn = now
            self._live.refresh()

    def end(self) -> None:
        self._live.stop()

    def _render(self) -> Group:
        progress = self._progress
        said = Text(printable(progress.reasoning), style="dim italic")
        said.append(printable(progress.text), style="not dim not italic")
        for call in progress.tool_calls:
            said.append(f"\n> {_call(call)}", style="not italic bold")
        border = "red" if progress.error else "green" if progress.finish else "cyan"
        panel = Panel(said, title=Text(self._title), title_align="left", border_style=border)
        return Group(panel, *(Text(f"  {line}", style="dim") for line in facts(progress)))


def make_view(out: TextIO | None = None) -> View:
    """Make the view that fits the output: live if it is a terminal that can move its cursor."""
    out = sys.stdout if out is None else out
    if hasattr(out, "reconfigure"):
        out.reconfigure(errors="replace")  # a narrow encoding must not end the demo
    console = Console(file=out, highlight=False)
    return RichView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(out)


def _call(call: ToolCall) -> str:
    arguments = call.input.decode("utf-8", "replace")
    return f"{printable(call.name, one_line=True)}({printable(arguments, one_line=True)})"
