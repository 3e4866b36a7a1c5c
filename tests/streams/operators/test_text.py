"""`text`: the pieces of the first answer, joined."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import millstream as ms
from millstream.streams import Stream
from millstream.streams._pull import Puller
from protocols.captures import INDEX, body_of, events_of
from protocols.decoding import random_cuts
from protocols.shaped import SHAPED, frame
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


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def outcome(stream: Stream) -> tuple[str, str]:
    """The text, and what was raised."""
    try:
        return await stream.text(), ""
    except ms.StreamError as error:
        return error.partial, repr(error)


@pytest.mark.parametrize("shapes", [True, False])
async def test_of_every_capture_it_is_the_text_of_the_events(shapes: bool) -> None:
    for entry in INDEX:
        api, body = entry["api"], body_of(entry["file"])
        events = events_of(entry["file"])
        said = "".join(event.text for event in events if isinstance(event, ms.TextDelta) and event.choice == 0)
        raised = "".join(repr(event.error) for event in events if isinstance(event, ms.Error) and event.fatal)
        (cut,) = random_cuts(body, entry["file"], 1)
        for chunks in ([body], cut):
            decoder = ms.decoder(api, shapes=shapes)
            assert await outcome(ms.stream(chunks_of(*chunks), decoder)) == (said, raised), entry["file"]
            if api in SHAPED:
                assert decoder._reader.joins


async def test_events_are_joined_where_nobody_sees_them_only() -> None:
    """Through a timeout and a retry; not where something between counts, shows or changes them; not after a reset."""
    body = b"".join(frame(f"{n} ") for n in range(50))

    async def fed(stream: Stream, decoder: ms.protocols.Decoder) -> bool:
        text = await stream.text()
        assert text.upper() == "".join(f"{n} " for n in range(50))
        assert decoder.stats.hits == 48
        return decoder._reader.joins

    def fresh() -> tuple[Stream, ms.protocols.Decoder]:
        decoder = ms.decoder("openai-chat")
        return ms.stream(chunks_of(body), decoder), decoder

    stream, decoder = fresh()
    assert await fed(stream.timeout(idle=5), decoder)
    decoder.reset()
    assert len(decoder.feed(body)) == 51
    stream, decoder = fresh()
    assert await fed(stream.retry(lambda: fresh()[0]), decoder)
    stream, decoder = fresh()
    assert not await fed(stream.retry(lambda: fresh()[0], resume=lambda _: fresh()[0]), decoder)
    stream, decoder = fresh()
    assert not await fed(stream.map(lambda event: event), decoder)
    seen: list[ms.Event] = []
    stream, decoder = fresh()
    assert not await fed(stream.tap(seen.append), decoder)
    assert len(seen) == 52
    stream, decoder = fresh()
    async with stream as events:
        assert await anext(events) == ms.Start()
        assert await fed(events, decoder)
    stream, decoder = fresh()
    assert await anext(stream) == ms.Start()
    assert await fed(stream.timeout(idle=5), decoder)


async def test_a_second_attempt_is_joined_too() -> None:
    decoder = ms.decoder("openai-chat")

    def again() -> Stream:
        return ms.stream(chunks_of(frame("a") * 50), decoder)

    failing = Stream(Probe([], error=ms.ConnectionFailed("x")))
    assert await failing.retry(again, ms.RetryPolicy(max_delay=0.0)).text() == "a" * 50
    assert decoder._reader.joins


def test_what_shows_events_does_not_pass_it_on() -> None:
    """A new operator is on the safe side: only these have been looked at."""
    passing = {cls.__name__ for cls in subclasses(Puller) if "join_texts" in vars(cls)}
    assert passing == {"BodySource", "ResponseSource", "Resumed", "Timeout", "Retry", "Explained"}


def subclasses(cls: type) -> set[type]:
    ms.providers  # noqa: B018 - loads its own
    return {sub for each in cls.__subclasses__() for sub in {each, *subclasses(each)}}
