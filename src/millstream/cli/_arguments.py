"""The arguments of all commands. Imports nothing of an extra, so that `--help` always works."""

from __future__ import annotations

import argparse
import math

import millstream as ms

__all__ = ["make_parser"]

SOURCE = "an address (http://, https://), a file, or - for standard input"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; `command` of what it gives is the module to run."""
    parser = argparse.ArgumentParser(prog="millstream", description="Typed events from the streams of AI providers.")
    parser.add_argument("--version", action="version", version=f"millstream {ms.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _demo(
        commands.add_parser(
            "demo",
            help="watch text, an object, tools, health and a backend at work; needs no key and no network",
            description="Five acts over HTTP on a local port: text, a typed object that grows, a run with tools, the "
            "health of a stream that falls silent, and a stream served on as NDJSON; 13 s, or less with --speed.",
        )
    )
    _tail(
        commands.add_parser(
            "tail",
            help="watch any SSE or NDJSON stream, as messages or as typed events",
            description="Show a stream while it arrives: its messages as they are, or with --protocol what they mean.",
        )
    )
    _record(
        commands.add_parser(
            "record",
            help="write a stream to a file, with its timing",
            description="Write a stream as it comes, chunk for chunk, with its timing. Keys are never written.",
        )
    )
    _replay(
        commands.add_parser(
            "replay",
            help="serve recordings as a provider's endpoint",
            description="Serve recordings over HTTP at the paths, in the chunks and at the pace of the original.",
        )
    )
    _serve(
        commands.add_parser(
            "serve",
            help="a gateway: models of any provider behind one address",
            description="Serve models to clients of OpenAI and to useChat, with resume, health, metrics and draining.",
        )
    )
    _chat(
        commands.add_parser(
            "chat",
            help="talk with a model",
            description="Talk with a model, turn by turn. `exit` or Ctrl-D ends; Ctrl-C stops an answer.",
        )
    )
    _bench(
        commands.add_parser(
            "bench",
            help="what decoding and streaming cost on this machine, beside what else is installed",
            description="Measure the core beside other libraries that are installed, by turns, in CPU time; every "
            "answer is checked. Less than a minute.",
        )
    )
    return parser


def _demo(demo: argparse.ArgumentParser) -> None:
    _add_speed(demo)
    demo.add_argument(
        "--recording",
        action="append",
        default=[],
        metavar="NAME",
        help="play this recording in place of the text of its provider; may be repeated",
    )


def _tail(tail: argparse.ArgumentParser) -> None:
    tail.add_argument("source", metavar="URL|FILE|-", help=SOURCE)
    tail.add_argument("--protocol", "-p", metavar="NAME", help="the wire, such as openai-chat: show typed events")
    tail.add_argument("--json", action="store_true", help="one JSON object per line, for programs")
    tail.add_argument(
        "--framing", choices=("sse", "ndjson"), help="of the messages; by default it is found out from the stream"
    )
    tail.add_argument("--follow", "-f", action="store_true", help="wait at the end of a file until it grows")
    _add_request(tail)


def _record(record: argparse.ArgumentParser) -> None:
    record.add_argument("source", metavar="URL|FILE|-", help=SOURCE)
    record.add_argument("to", metavar="FOLDER/NAME", help="what to call it; the folder is made if need be")
    record.add_argument("--endpoint", metavar="PATH", help="where it is replayed; by default the path of the address")
    record.add_argument("--protocol", "-p", metavar="NAME", default="", help="the wire, to be noted beside it")
    record.add_argument("--note", default="", help="a sentence to be noted beside it")
    record.add_argument("--force", action="store_true", help="replace a recording of that name")
    _add_request(record)


def _replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument(
        "folder", nargs="?", help="made by `millstream record`; by default the recordings in the package"
    )
    replay.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    replay.add_argument("--port", type=_port, default=8000, help="port to listen on (8000); 0 for any free one")
    replay.add_argument(
        "--recording",
        action="append",
        default=[],
        metavar="NAME",
        help="what its endpoint serves if the request names none; several of one endpoint answer one after the other",
    )
    _add_speed(replay)


def _serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--provider",
        action="append",
        required=True,
        metavar="[NAME=]PROVIDER:MODEL[,base_url=URL][,key_env=VARIABLE]",
        help="a model, such as openai:gpt-5.1 or fast=compatible:llama,base_url=http://127.0.0.1:8080/v1; may be "
        "repeated. Clients call it NAME, else MODEL; the first one answers those that name none",
    )
    keys = serve.add_argument_group("who may ask (one of these is needed)")
    keys.add_argument(
        "--api-key-env",
        action="append",
        default=[],
        metavar="VARIABLE",
        help="environment variable with keys for clients, apart by spaces: each at least 16 characters, or sha256:HASH",
    )
    keys.add_argument("--no-auth", action="store_true", help="everybody on this machine; only with a loopback address")
    keys.add_argument(
        "--metrics-key-env", metavar="VARIABLE", help="other keys for /metrics and the figures of /health"
    )
    keys.add_argument("--origin", action="append", default=[], metavar="URL", help="of pages that may ask; repeated")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (8000); 0 for any free one")
    serve.add_argument("--workers", type=_count, default=1, metavar="N", help="processes that share the port (1)")
    serve.add_argument(
        "--redis", metavar="URL", help="where streams are kept, so that any worker or machine resumes them"
    )
    serve.add_argument(
        "--resume",
        choices=("asked", "always", "never"),
        help="which answers outlive their connection: those with x-millstream-resume: 1 (default), all, none",
    )
    serve.add_argument(
        "--max-streams", type=_count, default=64, metavar="N", help="of one key at once, per worker (64)"
    )
    serve.add_argument("--expose-errors", action="store_true", help="tell clients the words of providers' errors")
    serve.add_argument(
        "--grace", type=_seconds, default=10.0, metavar="SECONDS", help="that streams have to finish after SIGTERM (10)"
    )
    serve.add_argument(
        "--notice", type=_seconds, default=0.0, metavar="SECONDS", help="that /health says 503 before the port closes"
    )


def _chat(chat: argparse.ArgumentParser) -> None:
    chat.add_argument(
        "--provider", metavar="NAME[:MODEL]", help="such as openai:gpt-5.1; with --base-url by default: compatible"
    )
    chat.add_argument("--base-url", metavar="URL", help="where the API begins, such as http://127.0.0.1:8080/v1")
    chat.add_argument(
        "--key-env",
        metavar="NAME",
        help="environment variable with the key; by default the provider's own, sent to its own address only",
    )
    chat.add_argument("--system", metavar="TEXT", help="what the conversation starts with")
    chat.add_argument("--max-tokens", type=int, metavar="N", help="of each answer")
    chat.add_argument("--temperature", type=float, metavar="T")
    chat.add_argument("--tools", action="store_true", help="let the model tell the time and throw dice")


def _bench(bench: argparse.ArgumentParser) -> None:
    bench.add_argument(
        "group",
        nargs="*",
        metavar="GROUP",
        help="only these: text, one, anthropic, framing, json, async, single, answer, operators, encode",
    )
    bench.add_argument("--json", action="store_true", help="one JSON object, for programs")
    bench.add_argument(
        "--seconds", type=_seconds, default=25.0, help="about so long, and at least five rounds of each group (25)"
    )


def _add_request(parser: argparse.ArgumentParser) -> None:
    request = parser.add_argument_group("the request, for an address")
    request.add_argument("--data", "-d", metavar="BODY", help="POST this; @FILE for a file, @- for standard input")
    request.add_argument(
        "--header",
        "-H",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="$NAME in the value becomes that environment variable, so that other users do not see a key",
    )
    request.add_argument("--method", "-X", help="by default GET, or POST with --data")
    request.add_argument(
        "--idle-timeout", type=_seconds, metavar="SECONDS", help="give up after a silence; by default never"
    )


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speed", type=_speed, default=1.0, help="1 = as recorded (default), 10 = ten times, or max")


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    speed = _number(text)
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 or 'max', not {text!r}")
    return speed


def _seconds(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text!r}")
    return seconds


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a number from 0 to 65535, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"a number from 1 to 100000, not {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
