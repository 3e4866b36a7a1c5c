"""How a command says that it cannot go on."""

from __future__ import annotations

import sys

from millstream.errors import MillstreamError, RetriesExhausted, UsageError

__all__ = ["CommandError", "complain", "printable", "told"]

# C0 and C1 with DEL, but newline and tab stay: ESC begins terminal commands, and so does 0x9B on some terminals.
CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
del CONTROLS[ord("\n")], CONTROLS[ord("\t")]


class CommandError(Exception):
    """A command failed; the message, one line, says what to do.

    Args: code: the exit code: 1 if it went wrong, 2 if it was called wrongly.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def complain(command: str, message: str, code: int) -> int:
    """Write one line to stderr. Returns: `code`."""
    print(f"millstream {command}: {printable(message, one_line=True)}", file=sys.stderr, flush=True)
    return code


def told(error: MillstreamError) -> str:
    """Say what went wrong: the kind of failure and the message, which says all if the use was wrong."""
    if isinstance(error, RetriesExhausted):
        return f"{error}: {error.last}"
    return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"


def printable(text: str, *, one_line: bool = False) -> str:
    """Take out what a terminal could obey.

    Args: one_line: newlines and tabs become spaces, for names and messages.
    """
    text = text.translate(CONTROLS)
    return " ".join(text.split()) if one_line else text
