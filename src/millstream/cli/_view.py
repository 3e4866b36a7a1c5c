"""How a running stream is shown: live on a terminal, as plain lines elsewhere.

Whatever comes from a model is hostile here: it is never read as rich markup, and control characters that a terminal
could obey are taken out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper
from time import monotonic
from typing import Any, Protocol, TextIO

import msgspec
from rich.console import Console, Group
from rich.highlighter import JSONHighlighter
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from millstream.cli._failure import printable
from millstream.cli._progress import Progress
from millstream.events import (
    Citations,
    Data,
    Error,
    Event,
    File,
    Handoff,
    ObjectDelta,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    StepStart,
    TextDelta,
    ToolCall,
    ToolResult,
    Validity,
)

__all__ = ["PlainView", "RichView", "View", "describe", "facts", "make_view", "printable"]

REFRESH_S = 1 / 15


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

    def message(self, seconds: float, name: str, text: str) -> None:
        """Show a message of an untyped stream: when it came, what it is called, what is in it."""

    def begin(self, title: str, progress: Progress) -> None:
        """Begin an act."""

    def event(self, event: Event) -> None:
        """Show an event that `progress` has counted already."""

    def state(self, value: Any) -> None:
        """Show a value that grows, in the place of what it was before."""

    def status(self, text: str) -> None:
        """Show how it is going, in the place of what was said before."""

    def end(self) -> None:
        """End the act, also if it failed."""


class PlainView:
    """Lines, each flushed when it is complete. For pipes, files and CI."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pending: list[str] = []

    def line(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def message(self, seconds: float, name: str, text: str) -> None:
        self.line(f"{seconds:8.3f}  " + "  ".join(filter(None, _columns(name, text))))

    def begin(self, title: str, progress: Progress) -> None:
        self._progress = progress
        self._pending.clear()
        self.line(f"\n== {title}")

    def event(self, event: Event) -> None:
        match event:
            case TextDelta() | ReasoningDelta():
                *ended, rest = printable(event.text).split("\n")
                for end in ended:
                    self.line(f"  | {''.join(self._pending)}{end}")
                    self._pending.clear()
                self._pending.append(rest)
            case _ if line := describe(event):
                self._flush()
                self.line(f"  > {line}")

    def state(self, value: Any) -> None:
        self._flush()
        self.line(f"  = {printable(_json(value), one_line=True)}")

    def status(self, text: str) -> None:
        self._flush()
        self.line(f"  * {printable(text, one_line=True)}")

    def _flush(self) -> None:
        if line := "".join(self._pending):
            self.line(f"  | {line}")
        self._pending.clear()

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

    def message(self, seconds: float, name: str, text: str) -> None:
        name, text = _columns(name, text)
        shown = Text(f"{seconds:8.3f}  ", style="dim")
        shown.append(f"{name}  " if name else "", style="not dim bold cyan")
        shown.append_text(JSONHighlighter()(Text(text, style="not dim")))
        self._console.print(shown, soft_wrap=True)

    def begin(self, title: str, progress: Progress) -> None:
        self._title = title
        self._progress = progress
        self._said = Text()
        self._state = Text()
        self._status = Text()
        self._ended = False
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
        match event:
            case ReasoningDelta():
                self._said.append(printable(event.text), style="dim italic")
            case TextDelta():
                self._said.append(printable(event.text))
            case _ if line := describe(event):
                if self._said and not self._said.plain.endswith("\n"):
                    self._said.append("\n")
                self._said.append(f"> {line}\n", style="bold")
        self._draw()

    def state(self, value: Any) -> None:
        text = msgspec.json.format(_json(value), indent=2)
        self._state = JSONHighlighter()(Text(printable(text)))
        self._draw()

    def status(self, text: str) -> None:
        self._status = Text(f"  {printable(text, one_line=True)}", style="bold")
        self._draw(at_once=True)

    def _draw(self, *, at_once: bool = False) -> None:
        now = self._clock()
        if at_once or now - self._drawn >= REFRESH_S:
            self._drawn = now
            self._live.refresh()

    def end(self) -> None:
        self._ended = True
        self._live.stop()

    def _render(self) -> Group:
        progress = self._progress
        said = self._said
        if not self._ended:  # what does not fit the screen would be cut off below, and cost time with each drawing
            said = said[-self._console.width * self._console.height :]
            said = Text("\n").join(said.split("\n", allow_blank=True)[-max(self._console.height - 8, 1) :])
        border = "red" if progress.error else "green" if progress.finish else "cyan"
        shown = Group(*filter(None, (said, self._state))) if self._state else said
        panel = Panel(shown, title=Text(self._title), title_align="left", border_style=border)
        below = [self._status] if self._status else []
        return Group(panel, *below, *(Text(f"  {line}", style="dim") for line in facts(progress)))


def make_view(out: TextIO | None = None) -> View:
    """Make the view that fits the output: live if it is a terminal that can move its cursor."""
    there: TextIO = sys.stdout if out is None else out
    if isinstance(there, TextIOWrapper):
        there.reconfigure(errors="replace")  # a narrow encoding must not end the demo
    console = Console(file=there, highlight=False)
    return RichView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(there)


def describe(event: Event) -> str:
    """Say in a line what an event is that is no piece of text; "" for those that are told elsewhere or too small."""
    match event:
        case ToolCall():
            cut = "" if event.validity is Validity.VALID else f" [{event.validity}: not to be run]"
            said = f"{event.name.strip()}({event.input.decode('utf-8', 'replace').strip()}){cut}"
        case ToolResult():
            said = f"{event.name} gave {_json(event.result)}" if event.error is None else f"{event.name}: {event.error}"
        case ProviderToolCall():
            said = f"the provider runs {event.name}({_json(event.input)})"
        case ProviderToolResult():
            said = f"the provider's {event.name} gave {_json(event.result if event.error is None else event.error)}"
        case Citations():
            said = "source: " + ", ".join(one.url or one.title or one.source or one.text for one in event.citations)
        case Safety():
            said = f"{event.action} ({event.category}) {event.note}"
        case Error():
            said = f"{'error' if event.fatal else 'warning'}: {event.error.message}"
        case StepStart():
            said = f"step {event.step}"
        case Handoff():
            said = f"goes on with {event.target}"
        case File():
            said = f"file {event.media_type}, {event.url or f'{len(event.data)} bytes'}"
        case ObjectDelta():
            said = f"{'.'.join(map(str, event.path))} {event.op} {_json(event.value)}"
        case Data():
            said = f"{event.name or 'data'} {_json(event.payload)}"
        case Raw():
            said = f"unknown: {event.event} {event.data}"
        case _:
            return ""
    return printable(said, one_line=True)


def _columns(name: str, text: str) -> tuple[str, str]:
    return printable(name, one_line=True), printable(text).replace("\n", f"\n{'':10}")


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=repr).decode()
