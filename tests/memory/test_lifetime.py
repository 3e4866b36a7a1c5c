"""Buffers and calls in the wrong order, for each parser: what is fed is let go, what comes out is its own, nothing runs
twice at once, and after an end comes nothing."""

from __future__ import annotations

import array
import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from memory.kinds import CALLS, KINDS, Kind, shown, undisturbed
from millstream.errors import ConcurrentUseError, InvalidJSON, InvalidUTF8, LimitExceeded, ParserClosed


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@contextmanager
def inside(do: Callable[[], None]) -> Iterator[None]:
    """Run `do` in the middle of the call that finds an error: where the exception is made."""
    with pytest.MonkeyPatch.context() as patch:
        for error in (InvalidUTF8, InvalidJSON, LimitExceeded):
            made = error.__init__

            def init(self: Any, *args: Any, made: Any = made, **kwargs: Any) -> None:
                made(self, *args, **kwargs)
                do()

            patch.setattr(error, "__init__", init)
        yield


def in_mmap(data: bytes) -> mmap.mmap:
    made = mmap.mmap(-1, len(data))
    made[:] = data
    return made


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray, memoryview, lambda data: memoryview(bytearray(data)), lambda data: array.array("B", data), in_mmap,
        lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data), lambda data: memoryview(b"x" + data)[1:],
    ],
    ids=["bytearray", "memoryview", "mutable view", "array", "mmap", "ctypes", "slice"],
)  # fmt: skip
def test_any_contiguous_buffer_will_do(kind: Kind, buffer: Callable[[bytes], Any]) -> None:
    parser = kind.make()
    out = parser.feed(buffer(kind.part)) + parser.feed(buffer(kind.rest)) + parser.close()
    assert shown(parser, out) == undisturbed(kind)


def test_one_buffer_for_all_pieces_as_recv_into_uses_it(kind: Kind) -> None:
    data, buffer = kind.part + kind.rest, bytearray(8)
    separate, shared = kind.make(), kind.make()
    want, got = [], []
    for start in range(0, len(data), 8):
        piece = data[start : start + 8]
        want += separate.feed(piece)
        buffer[: len(piece)] = piece
        got += shared.feed(memoryview(buffer)[: len(piece)])
        buffer[:] = b"\xff" * 8  # what came out, and what is kept, must not look at it again
    assert shown(shared, got + shared.close()) == shown(separate, want + separate.close())


def test_a_buffer_is_free_after_the_call(kind: Kind) -> None:
    buffer = bytearray(kind.part)
    parser = kind.make()
    out = parser.feed(buffer)
    buffer.clear()  # BufferError if anything still held it
    assert out is not None


def test_a_buffer_is_pinned_during_the_call(kind: Kind) -> None:
    parser, buffer, seen = kind.make(), bytearray(kind.bad), []
    parser.feed(kind.part)

    def shrink() -> None:
        with pytest.raises(BufferError):
            buffer.clear()
        seen.append(True)

    with inside(shrink), suppress(kind.error):  # deltas of the text before it are returned first
        parser.feed(buffer)
    assert seen
    buffer.clear()


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_call_from_within_a_call_is_refused_and_disturbs_nothing(name: str, call: str) -> None:
    kind = KINDS[name]
    parser, seen = kind.make(), []
    parser.feed(kind.part)
    calls = {"feed": lambda: parser.feed(b"x"), "value": lambda: parser.value}

    def again() -> None:
        with pytest.raises(ConcurrentUseError):
            calls.get(call, lambda: getattr(parser, call)())()
        seen.append(True)

    with inside(again), suppress(kind.error):
        parser.feed(kind.bad)
    assert seen
    assert isinstance(parser.error, kind.error)
    parser.reset()
    out = parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()
    assert shown(parser, out) == undisturbed(kind)


def test_the_last_reference_may_go_during_the_call(kind: Kind) -> None:
    holder = [kind.make()]
    holder[0].feed(kind.part)
    with inside(holder.clear), suppress(kind.error):
        holder[0].feed(kind.bad)
    assert holder == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (lambda: memoryview(b"abcdef")[::2], BufferError), (lambda: memoryview(b"abcdef")[::-1], BufferError),
        (lambda: released(), ValueError), (lambda: None, TypeError), (lambda: 7, TypeError), (lambda: ["a"], TypeError),
    ],
    ids=["every second", "backwards", "released", "None", "int", "list"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_disturbs_nothing(
    kind: Kind, data: Callable[[], Any], error: type[Exception]
) -> None:
    parser = kind.make()
    out = parser.feed(kind.part)
    with pytest.raises(error):
        parser.feed(data())
    out += parser.feed(kind.rest) + parser.close()
    assert shown(parser, out) == undisturbed(kind)


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


def test_after_an_error_comes_nothing_until_reset(kind: Kind) -> None:
    parser = kind.make()
    parser.feed(kind.part)
    with pytest.raises(kind.error) as raised:
        [parser.feed(data) for data in (kind.bad, b"")]  # by the second call at the latest
    assert raised.value is parser.error
    for call in (parser.close, lambda: parser.feed(b""), lambda: parser.feed(kind.rest)) * 2:
        with pytest.raises(ParserClosed) as caught:
            call()
        assert caught.value.__cause__ is parser.error
    parser.reset()
    assert parser.error is None
    out = parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()
    assert shown(parser, out) == undisturbed(kind)


def test_after_close_comes_nothing_until_reset(kind: Kind) -> None:
    parser = kind.make()
    parser.feed(kind.part)
    parser.feed(kind.rest)
    parser.close()
    assert parser.close() == []
    with pytest.raises(ParserClosed):
        parser.feed(kind.part)
    parser.reset()
    out = parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()
    assert shown(parser, out) == undisturbed(kind)
