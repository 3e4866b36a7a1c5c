"""core/_frames.pyx: what is kept, what is given back, what it holds in memory. That hits are right: tests/protocols."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import pytest

import millstream as ms
from millstream.limits import DEFAULT_LIMITS
from protocols.decoding import decode, wire
from protocols.shaped import check_twins, frame, warm


def test_a_hit_is_an_event_like_any_other() -> None:
    decoder = warm()
    (made,) = decoder.feed(frame("hit"))
    (slow,) = warm(shapes=False).feed(frame("hit"))
    assert decoder.stats == (1, 2, 1)
    assert made == slow
    assert type(made) is type(slow)
    assert hash(made) == hash(slow)
    assert repr(made) == repr(slow)
    made.meta["own"] = 1
    (other,) = decoder.feed(frame("hit"))
    assert other.meta == {}
    kept = [decoder.feed(frame(str(n)))[0] for n in range(1000)]
    assert [event.text for event in kept] == [str(n) for n in range(1000)]


def test_events_with_meta_do_not_share_it() -> None:
    plan = b'data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"p"}}}\n\n'
    decoder = ms.decoder("cohere-v2")
    events = [event for _ in range(4) for event in decoder.feed(plan) if isinstance(event, ms.ReasoningDelta)]
    assert decoder.stats.hits == 2
    events[-1].meta["own"] = 1
    assert [event.meta for event in events] == [{"part": "tool_plan"}] * 3 + [{"part": "tool_plan", "own": 1}]


def test_stats_and_reset() -> None:
    assert ms.decoder("bedrock-converse").stats == (0, 0, 0)
    assert warm(shapes=False).stats == (0, 2, 0)
    decoder = warm(5)
    assert decoder.stats == (3, 2, 1)
    decoder.feed(frame("cut")[:20])
    decoder.reset()
    assert decoder.stats == (0, 0, 0)
    assert wire(decoder.feed(frame("a")) + decoder.close()) == wire(decode("openai-chat", frame("a")))


def test_more_streams_at_once_than_shapes() -> None:
    """Eleven answers in turn: each has a shape of its own, the cache has eight."""
    body = b"".join(frame(str(n), n % 11) for n in range(200))
    check_twins("openai-chat", [body])
    decoder = check_twins("openai-chat", [frame(str(n), n % 5) for n in range(200)])
    assert decoder.stats.hits == 194


@pytest.mark.parametrize("limit", range(60, 90))
def test_limits_hold_for_hits(limit: int) -> None:
    """A shape never lets through what the parser would refuse, nor holds back more than it may."""
    frames = [frame("a"), frame("b"), frame("c" * 9), frame("d" * 15), frame("e" * 40), frame("f")]
    limits = replace(DEFAULT_LIMITS, max_event_bytes=limit, max_line_bytes=limit)
    check_twins("openai-chat", frames, limits=limits)
    check_twins("openai-chat", [bytes([byte]) for byte in b"".join(frames)], limits=limits)
    lines = [b'{"model":"m","response":"%b","done":false}\n' % (b"x" * n) for n in (1, 2, 20, 30, 40, 50, 1)]
    check_twins("ollama-generate", lines, limits=limits)
    check_twins("ollama-generate", [bytes([byte]) for byte in b"".join(lines)], limits=limits)


def test_a_long_frame_in_small_pieces_is_not_read_again_and_again() -> None:
    decoder = warm(3)
    long = frame("x" * 50_000)
    events = [event for at in range(0, len(long), 10) for event in decoder.feed(long[at : at + 10])]
    assert [event.text for event in events] == ["x" * 50_000]
    assert decoder.feed(frame("after"))[0].text == "after"


def test_an_open_stream_is_small() -> None:
    """4 KiB with a shape and a frame that was cut, where a stream has one kind of text."""
    frames = [frame("w", more=f',"id":"chatcmpl-BzBhxpRCtL0jVQRGNm7GNMHzSSQUX","created":{n}') for n in range(5)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        decoders = [ms.decoder("openai-chat") for _ in range(200)]
        for decoder in decoders:
            for one in frames:
                decoder.feed(one)
            decoder.feed(frames[0][:60])
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / len(decoders)
    finally:
        tracemalloc.stop()
    assert each < 4096
