"""The command `millstream`. Each subcommand is one module, imported when it is called: the extras may be missing."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence

import millstream as ms

__all__ = ["main"]

EXTRAS = ("httpx2", "rich", "uvicorn")
INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args: argv: the arguments without the program's name; those of the process by default.
    Returns: the exit code: 0, 1 for a failure, 2 for wrong use or a missing extra, 130 after Ctrl-C.
    Raises: SystemExit: by argparse, after `--help`, `--version` and for wrong arguments.
    """
    args = _parser().parse_args(argv)
    try:
        from millstream.cli.demo import run

        return run(speed=args.speed, recordings=args.recording)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        print(f"millstream: {missing} is missing; run: pip install 'millstream[cli]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`). Python would complain once more when it flushes stdout at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="millstream", description="Typed events from the streams of AI providers.")
    parser.add_argument("--version", action="version", version=f"millstream {ms.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="watch recorded streams of two providers arrive; needs no key and no network",
        description="Serve recorded streams on a local port, read them over HTTP, and serve one on as NDJSON.",
    )
    demo.add_argument("--speed", type=_speed, default=1.0, help="1 = as recorded (default), 10 = ten times, or max")
    demo.add_argument(
        "--recording",
        action="append",
        default=[],
        metavar="NAME",
        help="play this recording in the acts of its provider; may be repeated",
    )
    return parser


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 or 'max', not {text!r}")
    return speed
