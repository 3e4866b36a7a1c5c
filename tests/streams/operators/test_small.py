"""`tap`, `on_event`, `scan`, `flat_map`, `concat`, `chunk_text`: what each does beyond the contract."""

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def test_tap_sees_each_item_before_it_goes_on() -> None:
    seen: list[int] = []

    async def look(item: int) -> str:
        await checkpoint()
        seen.append(item)
        return "ignored"

    async with Stream(Probe([1, 2])).tap(look) as stream:
        assert await anext(stream) == 1
        assert seen == [1]


async def test_on_event_by_class_by_classes_and_by_type() -> None:
    seen: list[Any] = []
    events = [ms.Start(), ms.TextDelta("a"), ms.ReasoningDelta("b"), ms.Finish(ms.FinishReason.STOP)]
    stream = Stream(Probe(events)).on_event(ms.TextDelta, seen.append).on_event(ms.EventType.FINISH, seen.append)
    assert await stream.on_event((ms.Start, ms.ReasoningDelta), seen.append).collect() == events
    assert sorted(map(repr, seen)) == sorted(map(repr, events))


async def test_scan_with_a_coroutine() -> None:
    async def add(total: str, item: int) -> str:
        await checkpoint()
        return total + str(item)

    assert await Stream(Probe(range(4))).scan(add, "").collect() == ["0", "01", "012", "0123"]


async def test_flat_map() -> None:
    assert await Stream(Probe([2, 0, 1])).flat_map(range).collect() == [0, 1, 0]

    async def later(item: int) -> list[int]:
        await checkpoint()
        return [item] * item

    assert await Stream(Probe([2, 0, 1])).flat_map(later).collect() == [2, 2, 1]


async def test_concat_opens_the_next_when_the_one_before_is_closed() -> None:
    one, two = Probe([1]), Probe([2])
    async with Stream(one).concat(Stream(two).map(str), Probe()) as stream:
        assert await anext(stream) == 1
        assert (one.closes, two.pulls) == (0, 0)
        assert await anext(stream) == "2"
        assert one.closes == 1
    assert two.closes == 1


async def test_concat_takes_the_others_over() -> None:
    other = Stream(Probe([2]))
    stream = Stream(Probe([1])).concat(other)
    with pytest.raises(ms.errors.StreamBusy):
        await anext(other)
    await other.aclose()
    assert stream.state == "closed"


@pytest.mark.parametrize("size", [1, 7, 100, 3000])
async def test_r0154_r0155_text_goes_out_above_1024_bytes_and_the_rest_at_the_end(size: int) -> None:
    deltas = [ms.TextDelta("é" * size) for _ in range(5000 // size + 2)]
    got = await Stream(Probe(deltas)).chunk_text(1024).collect()
    assert all(len(event.text.encode()) >= 1025 for event in got[:-1])
    assert "".join(event.text for event in got) == "".join(event.text for event in deltas)
    assert all(len(event.text.encode()) - 2 * size <= 1024 for event in got)


async def test_chunk_text_keeps_order_and_joins_only_what_belongs_together() -> None:
    delta = ms.TextDelta
    call, error = ms.ToolCall("1", "f"), ms.Error(ms.Overloaded("x"))
    events = [delta("a"), delta("b"), call, delta("c"), delta("d", index=1), delta("e", choice=1), error, delta("f")]
    got: list[Any] = []
    with pytest.raises(KeyError):
        await drain(Stream(Probe(events, error=KeyError())).chunk_text(), got)
    assert got == [delta("ab"), call, delta("c"), delta("d", index=1), delta("e", choice=1), error, delta("f")]
    noted = delta("a")
    noted.meta["mine"] = 1
    assert await Stream(Probe([noted, delta("b")])).chunk_text().collect() == [noted, delta("b")]


async def test_concat_closed_early_closes_all_and_reports_every_error() -> None:
    class Stuck(Probe):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError(f"cannot close {id(self)}")

    sources = [Probe([1, 2]), Stuck([3]), Stuck([4])]
    with pytest.raises(OSError, match=f"cannot close {id(sources[1])}") as caught:
        async with Stream(sources[0]).concat(*sources[1:]) as stream:
            assert await anext(stream) == 1
    assert [source.closes for source in sources] == [1, 1, 1]
    assert f"cannot close {id(sources[2])}" in caught.value.__notes__[0]


def test_chunk_text_takes_no_negative_size() -> None:
    with pytest.raises(ValueError, match="min_bytes cannot be negative, got -1"):
        Stream(Probe()).chunk_text(-1)
