"""core/_shape.pyx: what is kept, what is given back, what it holds in memory. That hits are right: tests/protocols."""

from __future__ import annotations

import gc
import pickle
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import millstream as ms
from millstream.core import Shapes
from millstream.core._shape import layouts_of
from millstream.limits import DEFAULT_LIMITS
from millstream.protocols._base import LAYOUTS
from protocols.decoding import decode, wire
from protocols.shaped import check_twins


def frame(text: str, index: int = 0, more: str = "") -> bytes:
    return b'data: {"choices":[{"index":%d,"delta":{"content":"%b"}}]%b}\n\n' % (index, text.encode(), more.encode())


def warm(n: int = 2, **options: object) -> ms.protocols.Decoder:
    decoder = ms.decoder("openai-chat", **options)
    for _ in range(n):
        decoder.feed(frame("warm"))
    return decoder


def test_events_can_be_made_of_slots() -> None:
    """If msgspec lays out its structs in another way one day, shapes are off, not wrong; this says that they are on."""
    assert all(layout.sound for layout in LAYOUTS.values())


def test_a_class_that_does_more_than_hold_fields_is_not_copied() -> None:
    class Tracked(msgspec.Struct):
        text: str
        _meta: dict | None = None

    class Counting(msgspec.Struct, gc=False):
        text: str
        _meta: dict | None = None

        def __post_init__(self) -> None: ...

    assert not any(layout.sound for layout in layouts_of({Tracked: "text", Counting: "text"}, whole=None).values())


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


def test_fail_and_close_give_the_latest_usage() -> None:
    frames = [frame("a", more=f',"usage":{{"total_tokens":{n}}}') for n in range(6)]
    for end in (lambda it: it.close(), lambda it: it.fail(ms.ConnectionFailed("lost"))):
        decoder = ms.decoder("openai-chat")
        for one in frames:
            decoder.feed(one)
        assert decoder.stats.hits == 4
        assert end(decoder)[-1].usage.total_tokens == 5


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("last", "total"),
    [
        (b'data: {"choices":[],"usage":{"total_tokens":9}}\n\n', 9),  # newer than that of the hits
        (b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n', 5),  # none of its own
        (b"data: [DONE]\n\n", 5),
        (b'data: {"choices":5}\n\n', 5),  # raises
        (b'data: {"choices":5,"usage":{"total_tokens":9}}\n\n', 9),  # raises after it was read
        (b'data: {"choices":[],"usage":[1]}\n\n', 5),
        (b"data: {\n\n", 5),
    ],
)
def test_the_usage_of_hits_gives_way_to_a_newer_one_only(last: bytes, total: int, together: bool) -> None:
    frames = [*(frame("a", more=f',"usage":{{"total_tokens":{n}}}') for n in range(6)), last]
    found = []
    for options in ({}, {"shapes": False}):
        decoder = ms.decoder("openai-chat", **options)
        for one in [b"".join(frames)] if together else frames:
            decoder.feed(one)
        assert decoder.stats.hits == (0 if options else 4)
        found.append(decoder.close() or decoder._usage)
        assert decoder._usage.total_tokens == total
    assert found[0] == found[1]


@pytest.mark.parametrize("shapes", [True, False])
@pytest.mark.parametrize("text", ["é", "漢字 😀", "\u2028"])
def test_what_is_not_ascii_is_read_from_the_bytes_as_from_the_text(text: str, shapes: bool) -> None:
    body = frame(text)
    for ill in (b"", b"\xff", b"\xed\xa0\x80"):  # ill-formed: U+FFFD, as the standard says
        given = [
            it.text for it in ms.decoder("openai-chat", shapes=shapes).feed(body.replace(b'"}}', ill + b'"}}'))[1:]
        ]
        assert given == [text + ill.decode(errors="replace")]


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


def test_errors_after_hits_have_the_offset_and_line_that_they_have_without() -> None:
    check_twins("openai-chat", [frame("a")] * 5 + [b'data: {"choices": 5}\n\n'])
    check_twins("openai-chat", [frame("a")] * 5 + [b"data: {\n\n"])
    line = b'{"model":"m","response":"x","done":false}\n'
    check_twins("ollama-generate", [line] * 5 + [b"{nonsense\n"])
    check_twins("ollama-generate", [line] * 5 + [b"null\n"])


def test_a_decoder_used_from_inside_its_own_message_is_refused() -> None:
    decoder = warm(3)
    caught = []

    def _object(*_: object) -> None:
        for misuse in (lambda: decoder.feed(frame("x")), decoder.close, decoder.reset):
            with pytest.raises(ms.errors.ConcurrentUseError):
                misuse()
            caught.append(misuse)

    decoder._object = _object
    decoder.feed(b"data: {}\n\n")
    assert len(caught) == 3


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


def test_declarations() -> None:
    shapes = Shapes(payload=("a.0.b",), ignored=["c"], latest=("u.**",), meta=("m",))
    assert shapes.declared() == {
        "payload": ("a.0.b",),
        "ignored": ("c",),
        "seldom": (),
        "latest": ("u.**",),
        "meta": ("m",),
    }
    with pytest.raises(ValueError, match="at most 32 paths"):
        Shapes(payload=[str(n) for n in range(33)])
    with pytest.raises(TypeError):
        pickle.dumps(shapes)


def test_the_page_says_what_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "topics" / "shapes.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert f"decoder.stats                                  # {names['decoder'].stats}\n" in blocks[0]
