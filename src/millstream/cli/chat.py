"""`millstream chat`: talk with a model of any provider, turn by turn.

The event loop runs in a thread of its own for the whole talk, so that connections last; the main thread waits for the
user, where Ctrl-C is felt. Ctrl-C during an answer stops it, and its connection is closed.
"""

from __future__ import annotations

import io
import os
import random
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from anyio.from_thread import BlockingPortal, start_blocking_portal

import millstream as ms
from millstream.cli._failure import CommandError, complain, printable, told
from millstream.cli._view import describe

__all__ = ["run"]

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
MAX_STEPS = 8


def run(args: Namespace) -> int:
    """Talk until the user ends it.

    Returns: 0; without a terminal, 1 if an answer failed. Raises: CommandError, MillstreamError: it cannot begin.
    """
    model = _model(args)
    settings = {"system": args.system, "max_tokens": args.max_tokens, "temperature": args.temperature}
    given = {name: value for name, value in settings.items() if value is not None}
    tools = (current_time, throw_dice) if args.tools else ()
    talk = ms.Conversation(model, tools=tools, stop_when=ms.max_steps(MAX_STEPS), **given)
    interactive = sys.stdin.isatty()
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    show = _Shown()
    if interactive:
        print(printable(f"{model!r}: `exit` or Ctrl-D ends, Ctrl-C stops an answer", one_line=True))
        _edit_lines()
    with start_blocking_portal() as portal:
        for said in ms.providers.user_inputs(_lines(interactive)):
            if not _turn(portal, talk, said, show, interactive):
                return 1
    return 0


def _model(args: Namespace) -> ms.Provider:
    name = args.provider or ("compatible" if args.base_url else "")
    if not name:
        known = ", ".join(ms.providers.provider_names())
        raise CommandError(f"whom to talk with? --provider NAME:MODEL or --base-url URL; names: {known}", 2)
    options = {"base_url": args.base_url} if args.base_url else {}
    if args.key_env is not None:
        options["api_key"] = os.environ.get(args.key_env, "").strip()
        if not options["api_key"]:
            raise CommandError(f"the environment variable {args.key_env} is not set", 2)
    try:
        return ms.provider(name, **options)
    except ms.AuthError as error:
        raise CommandError(f"{error.message}; --key-env names another variable", 2) from None
    except TypeError as error:  # by the provider of another package
        raise CommandError(f"the provider {name!r} cannot be made so: {error}", 2) from None


def _turn(portal: BlockingPortal, talk: ms.Conversation, said: str, show: _Shown, interactive: bool) -> bool:
    """Ask and show the answer. Returns: whether to go on."""
    ended = threading.Event()
    future = portal.start_task_soon(_answer, talk, said, show, ended)
    try:
        try:
            future.result()
        except KeyboardInterrupt:
            future.cancel()
            ended.wait()  # the connection is closed, the turn taken back
            if not interactive:
                raise
            print("[stopped; the model does not remember this turn]", file=sys.stderr)
    except ms.MillstreamError as error:
        complain("chat", told(error), 1)
        return interactive
    return True


async def _answer(talk: ms.Conversation, said: str, show: _Shown, ended: threading.Event) -> None:
    try:
        async with talk.say(said) as events:
            async for event in events:
                show.event(event)
                if isinstance(event, ms.Finish) and event.reason is ms.FinishReason.INCOMPLETE:
                    raise ms.IncompleteStream("the answer broke off before its end")
    finally:
        ended.set()
        show.end()


class _Shown:
    """The words as they come; thoughts and tools dimmed, on a terminal."""

    def __init__(self) -> None:
        is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._dim: Callable[[str], str] = (lambda text: f"{DIM}{text}{PLAIN}") if is_colored else str
        self._at_start = True

    def event(self, event: ms.Event) -> None:
        match event:
            case ms.TextDelta():
                self._write(printable(event.text))
            case ms.ReasoningDelta():
                self._write(printable(event.text), self._dim)
            case ms.Error() | ms.StepStart():
                pass
            case _ if line := describe(event):
                self.end()
                self._write(f"> {line}\n", self._dim)

    def _write(self, text: str, style: Callable[[str], str] = str) -> None:
        if text:
            self._at_start = text.endswith("\n")
            sys.stdout.write(style(text))
            sys.stdout.flush()

    def end(self) -> None:
        """End the line that is open."""
        if not self._at_start:
            self._write("\n")


def _lines(interactive: bool) -> Iterator[str]:
    if not interactive:
        yield from sys.stdin
        return
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return


def _edit_lines() -> None:
    """Let `input` have a history and line editing, where Python has it."""
    with suppress(ImportError):
        import readline  # noqa: F401


def current_time(zone: str = "UTC") -> str:
    """Tell the date and the time.

    Args: zone: such as "Europe/Paris".
    """
    return datetime.now(UTC).astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")


def throw_dice(count: int = 1, sides: int = 6) -> list[int]:
    """Throw dice.

    Args:
        count: how many, 100 at most.
        sides: of each.
    """
    return [random.randint(1, max(1, sides)) for _ in range(max(1, min(count, 100)))]  # noqa: S311
