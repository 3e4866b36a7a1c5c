"""What the compiled parsers and the decoders must do with any bytes: one function a law, for atheris and for pytest.

A target takes bytes and raises AssertionError. The last byte of an input chooses options, so that a corpus consists of
plain documents; cuts follow from all of it.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import jiter

import millstream as ms
from millstream.core import MISSING, JSONParser, NDJSONParser, SSEParser, parse_partial_json
from millstream.errors import ConcurrentUseError, ParseError, ParserClosed
from millstream.protocols import DECODERS
from protocols.decoding import check_lifecycle, wire
from reference import json as json_oracle
from reference import ndjson as ndjson_oracle
from reference import sse as sse_oracle

APIS = sorted(DECODERS)
MOST = 4096  # bytes: oracles are slow

MESSAGE_FIELDS = ("event", "data", "id", "retry", "named", "offset", "unterminated", "unknown")


def cuttings(data: bytes) -> Iterator[list[bytes]]:
    """Whole, at random in two ways, and byte by byte if it is short."""
    yield [data]
    rng = random.Random(zlib.crc32(data))
    for most in (3, 40):
        at = [0, *sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(most))), len(data)]
        yield [data[a:b] for a, b in pairwise(at)]
    if len(data) <= 600:
        yield [data[i : i + 1] for i in range(len(data))]


def run(parser: Any, chunks: list[bytes]) -> tuple[list[Any], ParseError | None]:
    """Feed and close: what came before an error, and the error; which must poison the parser."""
    out: list[Any] = []
    found: ParseError | None = None
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
        out += parser.close()
    except ParseError as error:
        found = error
    assert parser.error is found
    if found is not None:
        assert _refuses(parser.close)
        assert _refuses(lambda: parser.feed(b"{"))
        return out, found
    assert parser.offset == sum(map(len, chunks))
    return out, None


def _refuses(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ParserClosed:
        return True
    return False


def sse(data: bytes) -> None:
    data, chosen = data[:MOST], data[-1] if data else 0
    options = {
        "mode": "spec" if chosen & 1 else "compat",
        "at_eof": (None, "discard", "deliver", "deliver")[chosen >> 2 & 3],
        "utf8": "strict" if chosen & 0x10 else "replace",
        "keep_unknown": not chosen & 0x20,
        "max_event_bytes": chosen & 0x1F or 1 if chosen & 0x80 else 1 << 20,
    }
    want = sse_oracle.parse(data, **options)
    wanted = [tuple(getattr(message, name) for name in MESSAGE_FIELDS) for message in want.messages]
    parser = SSEParser(**options)
    for chunks in cuttings(data):
        messages, error = run(parser, chunks)
        assert [tuple(getattr(message, name) for name in MESSAGE_FIELDS) for message in messages] == wanted
        assert (error and (type(error).__name__, error.offset)) == want.error
        assert (parser.last_event_id, parser.reconnection_time) == (want.last_event_id, want.reconnection_time)
        parser.reset()


def ndjson(data: bytes) -> None:
    data, chosen = data[:MOST], data[-1] if data else 0
    options = {
        "decode": not chosen & 1,
        "on_error": ("raise", "skip", "yield", "yield")[chosen >> 2 & 3],
        "max_line_bytes": chosen & 0x1F or 1 if chosen & 0x80 else 1 << 20,
    }
    want = ndjson_oracle.parse(data, **options)
    parser = NDJSONParser(**options)
    for chunks in cuttings(data):
        values, error = run(parser, chunks)
        assert repr([_bad(value) for value in values]) == repr(want.values)
        assert (error and _bad(error)) == want.error
        assert (parser.line, parser.skipped) == (want.line, want.skipped)
        parser.reset()


def _bad(value: Any) -> Any:
    if not isinstance(value, ParseError):
        return value
    return ndjson_oracle.Bad(type(value).__name__, value.offset, value.reason, getattr(value, "line", None))


def json(data: bytes) -> None:
    data, chosen = data[:MOST], data[-1] if data else 0
    options = {
        "max_depth": (128, 1, 3, 6)[chosen >> 6],
        "max_digits": (4300, 1, 5, 19)[chosen >> 4 & 3],
        "duplicate_keys": "last" if chosen & 2 else "error",
        "allow_nan": bool(chosen & 1),
        "multiple": bool(chosen & 4),
    }
    want = json_oracle.parse(data, **options)
    parser = JSONParser(**options)
    eager = JSONParser(**options, numbers="eager", deltas=False)
    for chunks in cuttings(data):
        deltas, error = [], None
        grown = Replayed()
        kept: list[tuple[Any, str]] = []  # snapshots, which must stay as they are
        try:
            for chunk in chunks:
                new = parser.feed(chunk)
                deltas += new
                grown.replay(new)
                assert repr(parser.value) == repr(grown.value)
                kept.append((parser.snapshot(), repr(parser.value)))
                eager.feed(chunk)
                _ = eager.value
            new = parser.close()
            deltas += new
            grown.replay(new)
        except ParseError as found:
            error = found
        for snapshot, text in kept[-20:]:
            assert repr(snapshot) == text
        value = json_oracle.NOTHING if parser.value is MISSING else parser.value
        assert repr(value) == repr(want.value)
        assert repr(parser.value) == repr(grown.value)
        assert (error and (type(error).__name__, error.offset, error.reason)) == want.error
        if want.error and want.error[0] == "InvalidJSON":
            assert (error.line, error.column) == (want.line, want.column)
        if chunks == [data]:  # else strings that were cut have spans too
            assert [(delta.path, delta.value) for delta in deltas if delta.op == "end"] == want.spans
        if error is None:
            eager.close()
            assert repr(eager.value) == repr(parser.value)
        parser.reset()
        eager.reset()


class Replayed:
    """The value that deltas lead to."""

    def __init__(self) -> None:
        self.root: list[Any] = []

    @property
    def value(self) -> Any:
        return self.root[-1] if self.root else MISSING

    def replay(self, deltas: list[Any]) -> None:
        for path, op, value in deltas:
            if op == "end":
                continue
            if not path and op == "set":
                self.root = [value]
                continue
            at: Any = self.root
            key: Any = 0
            for step in path:
                at, key = at[key], step
            if op == "append":
                at[key] += value
            elif isinstance(at, list) and key == len(at):
                at.append(value)
            else:
                at[key] = value


def partial(data: bytes) -> None:
    """The same values as jiter, and the same words about errors, in every mode."""
    data, chosen = data[:MOST], data[-1] if data else 0
    options = {
        "allow_inf_nan": not chosen & 1,
        "catch_duplicate_keys": bool(chosen & 4),
        "cache_mode": ("all", "keys", "none", "all")[chosen >> 4 & 3],
        "float_mode": ("float", "decimal", "lossless-float", "float")[chosen >> 6],
    }
    for mode in ("off", "on", "trailing-strings"):
        want = _outcome(jiter.from_json, data, partial_mode=mode, **options)
        assert _outcome(parse_partial_json, data, mode=mode, **options) == want


def _outcome(parse: Callable[..., Any], data: bytes, **options: Any) -> str:
    try:
        return repr(parse(data, **options))
    except ParseError as error:
        return f"error: {error.message}"
    except ValueError as error:
        return f"error: {error}"


def decoders(data: bytes) -> None:
    """Start, anything, Finish, whatever comes; and the same under any cuts. The last byte chooses the protocol."""
    api = APIS[(data[-1] if data else 0) % len(APIS)]
    data = data[:-1][: 4 * MOST]
    want: list[bytes] | None = None
    for chunks in cuttings(data):
        decoder = ms.decoder(api)
        events = [event for chunk in chunks for event in decoder.feed(chunk)]
        events += decoder.close()
        check_lifecycle(events, api)
        got = wire(events)
        want = want or got
        assert got == want, api


def shapes(data: bytes) -> None:
    """With shapes and rules the events are those without. Frames come again, some with a few bytes changed."""
    api = APIS[(data[-1] if data else 0) % len(APIS)]
    rng = random.Random(zlib.crc32(data))
    frames: list[bytes] = []
    for frame in re.findall(rb".*?(?:\n\n|\r\n\r\n|\Z)" if b"\n\n" in data else rb".*?(?:\n|\Z)", data[:-1], re.S):
        frames += [frame, frame]
        for _ in range(2):
            changed = bytearray(frame)
            for _ in range(rng.randrange(3)):
                at = rng.randrange(len(changed) + 1)
                changed[at : at + rng.randrange(2)] = rng.choice(CHANGES)
            frames += [bytes(changed), frame]
    body = b"".join(frames)[: 8 * MOST]
    want = _decoded(api, [body], shapes=False, rules=False)
    for chunks in (*cuttings(body), [frame for frame in frames if frame]):
        if b"".join(chunks) == body:
            for both in (True, False):
                assert _decoded(api, chunks, shapes=both) == want, api


CHANGES = [
    b"", b'"', b"\\", b"\\u00e9", b"\\ud83d", b"a", b" ", b"0", b"-", b".", b"{", b"}", b"[", b"]", b",", b":", b"\n",
    b"\r", b"\x00", b"\xff", b"\xc3\xa9", b"null", b"1e5", b"\xe2\x82", b"99999999999999999999",
]  # fmt: skip


def _decoded(api: str, chunks: list[bytes], **options: bool) -> list[bytes]:
    decoder = ms.decoder(api, **options)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.close()
    check_lifecycle(events, api)
    return [type(event).__name__.encode() + each for event, each in zip(events, wire(events), strict=True)]


def calls(data: bytes) -> None:
    """Any calls in any order on one parser: only the errors that its documentation names. Under ASan, no more."""
    kinds: list[Callable[[], Any]] = [
        JSONParser, lambda: JSONParser(numbers="eager", multiple=True), SSEParser,
        lambda: SSEParser("compat", utf8="strict", keep_unknown=True), lambda: NDJSONParser(on_error="yield"),
        lambda: NDJSONParser(decode=False),
    ]  # fmt: skip
    rng = random.Random(zlib.crc32(data))
    parser = kinds[(data[-1] if data else 0) % len(kinds)]()
    rest = bytearray(data[:MOST])
    kept: list[Any] = []
    while rest:
        op, n = rest[0] % 12, rng.randrange(1, 60)
        piece = rest[:n]
        try:
            match op:
                case 0:
                    kept.append(parser.close())
                case 1:
                    parser.reset()
                case 2:
                    view = memoryview(piece)
                    kept.append(parser.feed(view))
                    piece[:] = b"\xff" * len(piece)  # what was fed is not looked at again
                    view.release()
                    piece.clear()  # nothing holds it
                case 3 if isinstance(parser, JSONParser):
                    kept.append(parser.value)
                case 4 if isinstance(parser, JSONParser):
                    kept.append(parser.snapshot())
                case 5 if isinstance(parser, JSONParser):
                    _spoil(parser.value, rng)
                case 6:
                    kept.clear()
                case 7:
                    parser.feed(memoryview(bytes(piece) * 2)[::2])  # not contiguous
                case _:
                    kept.append(parser.feed(bytes(piece)))
        except (ParseError, ParserClosed, ConcurrentUseError, BufferError, RuntimeError):
            pass
        del rest[:n]
        repr(kept[-1:])


def _spoil(value: Any, rng: random.Random) -> None:
    """What a user may do with a live value."""
    while isinstance(value, (list, dict)) and value and rng.random() < 0.7:
        value = value[-1] if isinstance(value, list) else value[next(reversed(value))]
    if isinstance(value, list):
        rng.choice((value.clear, lambda: value.append("mine"), value.reverse))()
    elif isinstance(value, dict):
        rng.choice((value.clear, lambda: value.update(mine=[]), lambda: value.pop(next(iter(value), ""), None)))()


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (sse, ndjson, json, partial, decoders, shapes, calls)
}
