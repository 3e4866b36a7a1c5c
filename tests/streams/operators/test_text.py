"""`text`: the pieces of the first answer, joined."""

from __future__ import annotations

import pytest

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe

pytestmark = pytest.mark.anyio

EVENTS = [ms.Start(), ms.TextDelta("a"), ms.TextDelta("other", choice=1), ms.ReasoningDelta("hm"), ms.TextDelta("b")]


async def test_text_of_the_first_choice_only() -> None:
    assert await Stream(Probe(EVENTS)).text() == "ab"
    assert await Stream(Probe()).text() == ""


async def test_partial() -> None:
    source = Probe(EVENTS, error=ms.ConnectionFailed("x"))
    with pytest.raises(ms.ConnectionFailed) as caught:
        await Stream(source).text()
    assert caught.value.partial == "ab"
    assert source.closes == 1
