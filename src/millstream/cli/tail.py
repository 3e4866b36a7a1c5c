"""`millstream tail`: a stream as it arrives, as messages of its framing, or typed if a protocol is given."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from time import monotonic
from typing import Any

import orjson

from millstream.cli._failure import CommandError, printable
from millstream.cli._progress import Progress
from millstream.cli._secrets import Secrets
from millstream.cli._source import Source, open_source
from millstream.cli._view import View, make_view
from millstream.core import NDJSONParser, SSEMessage, SSEParser
from millstream.errors import IncompleteStream, InvalidJSON, StreamError
from millstream.events import Event, encode_event
from millstream.protocols import Decoder, decoder

__all__ = ["run"]

# JSON has these in strings only, where it may escape them; what is written can be shown on any terminal then.
ESCAPES = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def run(args: Namespace) -> int:
    """Show `args.source`. Returns: 0. Raises: CommandError, MillstreamError: it did not come to its proper end."""
    wire = decoder(args.protocol) if args.protocol else None
    if wire is not None and args.framing:
        raise CommandError("--framing is for streams without --protocol: a protocol knows its framing", 2)
    if args.json and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON always is
    with open_source(args, Secrets(), wire) as source:
        if wire is not None:
            _typed(source, wire, as_json=args.json)
        else:
            _messages(source, args.framing or source.framing(), as_json=args.json)
    return 0


def _typed(source: Source, wire: Decoder, *, as_json: bool) -> None:
    progress = Progress()
    view = None if as_json else make_view()
    if view is not None:
        view.begin(printable(f"{wire.name}: {source.name}", one_line=True), progress)
    try:
        for event in _events(source.chunks, wire):
            progress.add(event)
            if view is not None:
                view.event(event)
            else:
                _write(encode_event(event).decode())
    finally:
        if view is not None:
            view.end()
    if progress.error is not None and progress.error.fatal:
        raise progress.error.error
    if not progress.is_complete:
        raise IncompleteStream(f"{source.name}: the stream stopped before its own end; what had arrived is above")


def _events(chunks: Iterator[bytes], wire: Decoder) -> Iterator[Event]:
    """Decode; a connection that fails is an event too, so that nobody takes it for an end."""
    try:
        for data in chunks:
            yield from wire.feed(data)
            if wire.ended:
                return
    except StreamError as error:
        yield from wire.fail(error)
    yield from wire.close()


def _messages(source: Source, framing: str, *, as_json: bool) -> None:
    begun, n_bytes, n_messages = monotonic(), 0, 0
    view = None if as_json else make_view()
    parser: SSEParser | NDJSONParser
    show: Callable[[Any, View | None, float], None]
    if framing == "sse":
        parser, show = SSEParser(at_eof="deliver", keep_unknown=True), _show_sse
    else:
        parser, show = NDJSONParser(decode=False), _show_line

    def some(messages: Sequence[Any]) -> None:
        nonlocal n_messages
        for message in messages:
            n_messages += framing == "ndjson" or bool(message.data or not message.unknown)
            show(message, view, monotonic() - begun)

    for data in source.chunks:
        n_bytes += len(data)
        some(parser.feed(data))
        if parser.error is not None:
            raise parser.error
    some(parser.close())
    if n_bytes and not n_messages:
        raise CommandError(f"{source.name}: {n_bytes} bytes and no message: is this SSE? see --framing and --protocol")
    if view is not None:
        view.line(f"{n_messages} messages, {n_bytes} bytes, {monotonic() - begun:.1f} s")


def _show_sse(message: SSEMessage, view: View | None, seconds: float) -> None:
    if view is None:
        facts = {"t": round(seconds, 6), "event": message.event, "data": message.data, "id": message.id}
        more = {"retry": message.retry, "unknown": message.unknown or None}
        _write(orjson.dumps(facts | {key: value for key, value in more.items() if value is not None}).decode())
        return
    if message.data or not message.unknown:
        view.message(seconds, message.event if message.named else "", message.data)
    if message.unknown:
        view.message(seconds, "no SSE field:", message.unknown)


def _show_line(line: bytes, view: View | None, seconds: float) -> None:
    try:
        orjson.loads(line)  # the bytes themselves are shown: no number is rounded
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"a line is not JSON: {error}; see --framing and --protocol") from None
    if view is None:
        _write(line.decode())
    else:
        view.message(seconds, "", line.decode())


def _write(json: str) -> None:
    sys.stdout.write(json.translate(ESCAPES).strip() + "\n")
    sys.stdout.flush()
