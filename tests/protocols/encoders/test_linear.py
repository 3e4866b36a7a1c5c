"""What a server sends, in whatever order, costs an encoder time in proportion to it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

import millstream as ms
from millstream.events import Event
from protocols.encoders.expressible import encode

NAMES = ms.protocols.encoder_names()


def delta(number: int, text: str = "1", *, named: bool = True) -> Event:
    return ms.ToolCallDelta(index=number, id=f"c{number}" if named else "", name="f" if named else "", arguments=text)


def done(number: int, text: str) -> Event:
    return ms.ToolCall(f"c{number}", "f", text.encode(), int(text), index=number)


def interleaved(n: int) -> list[Event]:
    return [*map(delta, range(n)), *map(delta, range(n)), *(done(k, "11") for k in range(n))]


def ended_in_reverse(n: int) -> list[Event]:
    return [*map(delta, range(n)), *(done(k, "1") for k in reversed(range(n)))]


def never_ended(n: int) -> list[Event]:
    return [*map(delta, range(n)), *map(delta, range(n))]


def text_between(n: int) -> list[Event]:
    return [delta(0), *(ms.TextDelta("a", index=k % 2) for k in range(n)), *map(delta, range(1, n)), done(0, "1")]


def of_one_id(n: int) -> list[Event]:
    return [ms.ToolCall("c", "f", b"{}", {}, index=k) for k in range(n)]


def run_by_the_server(n: int) -> list[Event]:
    calls = [ms.ToolCall(f"c{k}", "f", b"{}", {}, index=k) for k in range(n)]
    return [ms.StepStart(0), *calls, *(ms.ToolResult(f"c{k}", "f", "ok") for k in reversed(range(n)))]


def run_by_the_provider(n: int) -> list[Event]:
    calls = [ms.ProviderToolCall(f"p{k}", "web_search", {}) for k in range(n)]
    return [*calls, *(ms.ProviderToolResult(f"p{k}", "web_search", "ok") for k in reversed(range(n)))]


def without_ids(n: int) -> list[Event]:
    calls = [ms.ProviderToolCall("", f"t{k}", {}) for k in range(n)]
    return [*calls, *(ms.ProviderToolResult("", f"t{k}", "ok") for k in reversed(range(n)))]


def sources_first(n: int) -> list[Event]:
    return [*(ms.Citations((ms.Citation("http://a"),), index=k) for k in range(n)), ms.TextDelta("a")]


def many_answers(n: int) -> list[Event]:
    return [ms.TextDelta("a", choice=k) for k in range(n)]


HOSTILE = [
    interleaved, ended_in_reverse, never_ended, text_between, of_one_id, run_by_the_server, run_by_the_provider,
    without_ids, sources_first, many_answers,
]  # fmt: skip


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python ran; each turn of a loop counts."""
    n, before = 0, sys.gettrace()

    def trace(frame, kind, arg):
        nonlocal n
        n += kind == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return n


@pytest.mark.parametrize("events", HOSTILE)
@pytest.mark.parametrize("name", NAMES)
def test_twice_the_events_take_twice_the_steps(name: str, events: Callable[[int], list[Event]]) -> None:
    def steps(n: int) -> int:
        given = [ms.Start("m", "r"), *events(n), ms.Finish(ms.FinishReason.STOP)]
        return lines_run(lambda: encode(name, given))

    assert steps(300) < 2.3 * steps(150)


def nameless(n: int) -> list[Event]:
    return [delta(0, "1" * 100, named=False) for _ in range(n)]


def refused_in_pieces(n: int) -> list[Event]:
    return [ms.Safety("refusal", action="refuse", note="no" * 50)] * n


def interleaved_pieces(n: int) -> list[Event]:
    return [delta(0), *(delta(1, "1" * 100) for _ in range(n))]


@pytest.mark.parametrize("events", [nameless, refused_in_pieces, interleaved_pieces])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_copied_for_each_piece_that_joins_it(name: str, events: Callable[[int], list[Event]]) -> None:
    """The steps are few then, and the bytes are many: 160 GB took 20 s and more."""
    given = [ms.Start("m", "r"), *events(60_000), ms.Finish(ms.FinishReason.STOP)]
    began = time.process_time()
    encode(name, given)
    assert time.process_time() - began < 5


def test_thousands_of_calls_that_end_in_reverse_are_each_told_whole() -> None:
    """The wait of one call for another was a call of a function within a call: Python's depth was the limit."""
    out = encode("anthropic-messages", [ms.Start("m", "r"), *ended_in_reverse(3000), ms.Finish(ms.FinishReason.STOP)])
    assert out.count(b"event: content_block_stop") == 3000
    assert out.endswith(b'data: {"type":"message_stop"}\n\n')
