"""Encoders take events in any order: what comes late, twice, or without what it belongs to is never an exception."""

from __future__ import annotations

import random

import pytest

import millstream as ms
from millstream.events import Event, Validity

NAMES = ms.protocols.encoder_names()


def any_event(chance: random.Random) -> Event:
    index, choice = chance.randrange(3), chance.choice((0, 0, 0, 1))
    id, name = chance.choice(("", "a", f"c{index}")), chance.choice(("", "f", "g"))
    text = chance.choice(("", "1", "{}"))
    return chance.choice(
        (
            lambda: ms.TextDelta(text, index=index, choice=choice),
            lambda: ms.ReasoningDelta(text, index=index, choice=choice, signature=chance.choice((None, "s"))),
            lambda: ms.ToolCallDelta(index=index, choice=choice, id=id, name=name, arguments=text),
            lambda: ms.ToolCallDelta(index=index, choice=choice, id=id, name=name, arguments=text),
            lambda: ms.ToolCall(
                id, name, text.encode(), {}, index=index, choice=choice, validity=chance.choice([*Validity])
            ),
            lambda: ms.ToolResult(id, name, "ok"),
            lambda: ms.ProviderToolCall(id, "web_search", {}),
            lambda: ms.ProviderToolResult(id, "web_search", "ok"),
            lambda: ms.Citations((ms.Citation("http://a"),), index=index),
            lambda: ms.Safety("refusal", action="refuse", note="no"),
            lambda: ms.File("image/png", data=b"1"),
            lambda: ms.StepStart(index),
            lambda: ms.StepFinish(index, ms.FinishReason.STOP),
            lambda: ms.Error(ms.RateLimited("x"), fatal=chance.random() < 0.5),
            lambda: ms.Usage(1, 2),
            lambda: ms.Finish(chance.choice([*ms.FinishReason])) if chance.random() < 0.1 else ms.TextDelta("a"),
        )
    )()


@pytest.mark.parametrize("name", NAMES)
def test_no_order_of_events_is_an_exception(name: str) -> None:
    for seed in range(1500):
        chance = random.Random(seed)
        encoder = ms.encoder(name)
        events = [any_event(chance) for _ in range(30)]
        try:
            for event in events:
                encoder.encode(event)
            encoder.close()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
