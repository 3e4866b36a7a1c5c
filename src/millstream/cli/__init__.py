"""The command `millstream`. Each subcommand is one module, imported when it is called: the extras may be missing.

A command returns its exit code or raises; what a user can have caused ends here as one line on stderr.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module

from millstream.cli._arguments import make_parser
from millstream.cli._failure import CommandError, complain, told
from millstream.errors import MillstreamError, UsageError

__all__ = ["main"]

EXTRAS = ("httpx2", "rich", "uvicorn")
FAILED, WRONG_USE = 1, 2
INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def _open_streams() -> None:
    """Let a stream that whoever started the program has closed (`<&-`, `>&-`) be an empty one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  (to the end of the process)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args: argv: the arguments without the program's name; those of the process by default.
    Returns: the exit code: 0, 1 for a failure, 2 for wrong use or a missing extra, 130 after Ctrl-C.
    Raises: SystemExit: by argparse, after `--help`, `--version` and for wrong arguments.
    """
    _open_streams()
    args = make_parser().parse_args(argv)
    try:
        run: Callable[[Namespace], int] = import_module(f"millstream.cli.{args.command}").run
        return run(args)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        extra = "serve" if args.command == "serve" else "cli"
        print(f"millstream: {missing} is missing; run: pip install 'millstream[{extra}]'", file=sys.stderr)
        return WRONG_USE
    except CommandError as error:
        return complain(args.command, str(error), error.code)
    except MillstreamError as error:
        return complain(args.command, told(error), WRONG_USE if isinstance(error, UsageError) else FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`). Python would complain once more when it flushes stdout at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
