"""Texts of messages that are alike, joined where nothing but the text is wanted: never another text, nothing else lost.

Every capture and damaged messages, however they are cut, beside a decoder that has neither shapes nor rules.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

import millstream as ms
from protocols.captures import INDEX, body_of
from protocols.decoding import pieces, random_cuts, wire
from protocols.shape_mutations import window
from protocols.shaped import SHAPED, frame, state_of, warm
from protocols.test_shapes_mutation import cut

captures = pytest.mark.parametrize(
    "entry", [entry for entry in INDEX if entry["api"] in SHAPED], ids=lambda entry: entry["file"]
)


def joining(api: str, **options: bool) -> ms.protocols.Decoder:
    decoder = ms.decoder(api, **options)
    decoder._reader.joins = True
    return decoder


def smooth(events: Iterable[ms.Event]) -> list[ms.Event]:
    """The events, with deltas one after another that differ in nothing but their text as one."""
    out: list[ms.Event] = []
    for event in events:
        before = out[-1] if out else None
        if (
            isinstance(event, ms.TextDelta | ms.ReasoningDelta)
            and type(event) is type(before)
            and (event.index, event.choice, event.meta) == (before.index, before.choice, before.meta)
            and not getattr(event, "signature", "")
            and not getattr(before, "signature", "")
        ):
            out[-1] = type(event)(before.text + event.text, event.index, event.choice)
            out[-1].meta.update(event.meta)
        else:
            out.append(event)
    return out


def read(decoder: ms.protocols.Decoder, chunks: Iterable[bytes]) -> tuple[list[bytes], dict]:
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()
    return wire(smooth(events)), state_of(decoder)


def check(api: str, chunks: list[bytes], truth: tuple[list[bytes], dict]) -> int:
    """Returns: how many messages were hits."""
    decoder = joining(api)
    assert read(decoder, chunks) == truth, chunks
    return decoder.stats.hits


@captures
def test_every_capture(entry: dict) -> None:
    api, body = entry["api"], body_of(entry["file"])
    truth = read(ms.decoder(api, shapes=False, rules=False), [body])
    check(api, [body], truth)
    assert read(joining(api, rules=False), [body]) == truth
    assert read(joining(api, shapes=False), [body]) == truth
    for chunks in random_cuts(body, entry["file"], 2):
        check(api, chunks, truth)
    if len(body) < 40_000:
        check(api, pieces(body, 700), truth)
        check(api, pieces(body, 1), truth)


def test_damaged_messages() -> None:
    hits = 0
    for n in range(2_000):
        rng = random.Random(n)
        api, frames = window(rng)
        truth = read(ms.decoder(api, shapes=False, rules=False), [b"".join(frames)])
        hits += check(api, cut(frames, rng), truth)
    assert hits > 2_000, "nothing was matched: this proves nothing"


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"],
        ["a"] * 200,
        ["x" * 5_000] * 70,
        ["\\n", "\\u00e9", "\\ud83d\\ude00", "\\\\"],
        ["é", "a", "漢", "😀"] * 40,
        ['\\"', "é\\t", "b"],
    ],
    ids=["two", "runs", "long", "escapes", "wide", "both"],
)
def test_a_run_is_one_event(texts: list[str]) -> None:
    decoder, slow = warm(2), ms.decoder("openai-chat", shapes=False)
    decoder._reader.joins = True
    body = b"".join(map(frame, texts))
    joined = decoder.feed(body)
    assert decoder.stats.hits == len(texts)
    assert len(joined) == -(-len(texts) // 64)
    assert "".join(event.text for event in joined) == "".join(event.text for event in slow.feed(body)[1:])
    assert {(type(event), event.index, event.choice) for event in joined} == {(ms.TextDelta, 0, 0)}


def test_other_answers_are_not_mixed() -> None:
    decoder = warm(2)
    decoder._reader.joins = True
    body = b"".join(frame(str(n), index=n // 5 % 2) for n in range(40))
    events = decoder.feed(body)
    assert len(events) < 30
    for choice in (0, 1):
        said = "".join(event.text for event in events if event.choice == choice)
        assert said == "".join(str(n) for n in range(40) if n // 5 % 2 == choice)


def test_arguments_of_tools_are_not_joined() -> None:
    """They are kept elsewhere too, for the call; and events with a `meta` have it each."""
    call = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,%b"function":{%b"arguments":"%b"}}]}}]}\n\n'
    begin = call % (b'"id":"c",', b'"name":"f",', b"")
    decoder = joining("openai-chat")
    events = decoder.feed(begin + b"".join(call % (b"", b"", b"%d" % n) for n in range(9))) + decoder.feed(
        b"data: [DONE]\n\n"
    )
    assert decoder.stats.hits == 8
    assert [event.arguments for event in events if isinstance(event, ms.ToolCallDelta)] == ["", *"012345678"]
    plan = b'data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"p"}}}\n\n'
    assert len(joining("cohere-v2").feed(plan * 9)) == 10


def test_reset_ends_it() -> None:
    decoder = warm(2)
    decoder._reader.joins = True
    assert len(decoder.feed(frame("a") * 9)) == 1
    decoder.reset()
    assert len(decoder.feed(frame("a") * 9)) == 10
