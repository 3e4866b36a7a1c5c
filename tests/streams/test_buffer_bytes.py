"""The operators that hold items hold so many bytes, too: `buffer`, `merge`, `tee`, `broadcast`, `share`, `fan_out`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from anyio import create_task_group, fail_after

import millstream as ms
from millstream.errors import LimitExceeded
from millstream.streams import Stream, fan_out, merge
from millstream.streams._weight import PROCESS_BUFFERS, weight
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

KiB = 1024


def image(name: str, n_bytes: int = 1000 * KiB) -> ms.File:
    return ms.File("image/png", data=name.encode() * n_bytes)


A, B, C, D = (image(name) for name in "abcd")
ROOM = 2 * weight(A) + 100


@pytest.fixture(autouse=True)
def before() -> Iterator[int]:
    """What is held by what other tests have left to the collector: it may only become less."""
    gc.collect()
    before = PROCESS_BUFFERS.held_bytes
    yield before
    assert PROCESS_BUFFERS.held_bytes <= before, "everything is given back"


@pytest.fixture
def _little_for_all(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROCESS_BUFFERS, "max_bytes", before + ROOM)


async def test_a_buffer_runs_ahead_by_its_bytes_and_one_in_hand() -> None:
    source = Probe(image(str(i)) for i in range(9))
    async with Stream(source).buffer(100, max_bytes=ROOM) as stream:
        await settle()
        assert (len(stream), source.pulls, stream.n_bytes) == (2, 3, 2 * weight(A))
        assert [file.data[:1] for file in await stream.collect()] == [str(i).encode() for i in range(9)]
        assert stream.dropped == 0


async def test_merge_holds_its_bytes_and_one_in_the_hand_of_each() -> None:
    one, other = Probe([A] * 9), Probe([B] * 9)
    async with merge(Stream(one), Stream(other), max_bytes=ROOM) as stream:
        await settle()
        assert one.pulls + other.pulls == 2 + 2
        assert len(await stream.collect()) == 18


async def test_a_stalled_branch_of_a_tee_stops_the_source_at_its_bytes() -> None:
    source = Probe([A] * 9)
    async with Stream(source).tee(2, max_bytes=ROOM) as (stuck, other), create_task_group() as group:
        got: list[Any] = []
        group.start_soon(drain, other, got)
        await settle()
        assert (len(got), source.pulls) == (3, 3), "two in the branch that is stuck, and one that waits for it"
        assert await stuck.collect() == [A] * 9
    assert got == [A] * 9


async def test_share_holds_its_bytes() -> None:
    source = Probe([A] * 9)
    async with Stream(source).share(2, max_bytes=ROOM) as (one, other):
        await settle()
        assert source.pulls == 3
        assert len(await one.collect()) + len(await other.collect()) == 9


async def test_broadcast_loses_by_bytes_for_who_is_slow_and_nothing_for_who_keeps_up() -> None:
    files = [image(name) for name in "abcdefghi"]
    lost: list[Any] = []
    broadcast = Stream.from_batches(Probe([files])).broadcast(
        2, max_bytes=ROOM, overflow="drop_newest", on_drop=lost.append
    )
    async with broadcast as (stuck, other):
        assert await other.collect() == files, "though they came together, and are more than it may hold"
        assert await stuck.collect() == files[:2]
        assert (stuck.dropped, other.dropped) == (7, 0)
    assert lost == files[2:]


async def test_fan_out_counts_what_a_handler_lost_by_bytes() -> None:
    seen: list[Any] = []
    n_lost = await fan_out(Probe([A, image("x", 9 * KiB * KiB), B]), seen.append, select=None, max_bytes=ROOM)
    assert (seen, n_lost) == ([A, B], [1])


SPLITS: list[Callable[[Stream[Any]], Any]] = [
    lambda stream: stream.tee(2, max_bytes=ROOM),
    lambda stream: stream.broadcast(2, overflow="wait", max_bytes=ROOM),
]


@pytest.mark.parametrize("build", SPLITS, ids=["tee", "broadcast"])
async def test_an_item_larger_than_a_branch_comes_to_all_branches_as_an_error_after_the_same_items(build: Any) -> None:
    source = Stream.from_batches(Probe([[A, image("x", 3 * KiB * KiB), B]]))
    async with build(source) as branches:
        for branch in branches:
            got: list[Any] = []
            with pytest.raises(LimitExceeded, match="max_bytes"):
                await drain(branch, got)
            assert got == [A]


@pytest.mark.parametrize(
    "build",
    [lambda stream: stream.buffer(9, max_bytes=ROOM), lambda stream: stream.merge(max_bytes=ROOM)],
    ids=["buffer", "merge"],
)
async def test_an_item_larger_than_the_buffer_is_an_error_after_what_came_before(build: Any) -> None:
    source = Probe([A, B, image("x", 3 * KiB * KiB), C])
    got: list[Any] = []
    async with build(Stream(source)) as stream:
        with pytest.raises(LimitExceeded, match=r"File takes some .* larger max_bytes"):
            await drain(stream, got)
        assert stream.dropped == 1
    assert [file.data for file in got] == [A.data, B.data]
    assert source.closes == 1


@pytest.mark.usefixtures("_little_for_all")
async def test_when_all_buffers_together_are_full_each_stream_goes_on_item_by_item(before: int) -> None:
    """A hog holds all that there is; who shares nothing with it still gets everything, in order."""
    files = [image(name) for name in "abcdefghi"]
    async with Stream(Probe(count())).map(lambda i: A).buffer(50) as hog, Stream(Probe(files)).buffer(50) as stream:
        await settle()
        assert len(hog) >= 1
        assert PROCESS_BUFFERS.held_bytes <= before + ROOM + weight(A)
        with fail_after(5):
            assert await stream.collect() == files
        async with Stream(Probe(files)).tee(2) as (one, other):
            with fail_after(5):
                for file in files:  # one task reads both in turn
                    assert (await anext(one), await anext(other)) == (file, file)


@pytest.mark.usefixtures("_little_for_all")
async def test_what_a_stream_left_early_held_is_given_back() -> None:
    async with Stream(Probe(count())).map(lambda i: A).buffer(50) as stream:
        await anext(stream)
        await settle()
        assert PROCESS_BUFFERS.held_bytes >= weight(A)


@pytest.mark.parametrize(
    "protect", [ms.File, (ms.File, ms.Data), ms.events.EventType.FILE, lambda item: item == A], ids=str
)
async def test_protect_takes_a_kind_as_filter_does(protect: Any) -> None:
    text = [ms.TextDelta(letter) for letter in "abcdef"]
    async with Stream(Probe([*text, A])).buffer(2, overflow="drop_newest", protect=protect) as stream:
        await settle()
        assert await stream.collect() == [text[0], A]
        assert stream.dropped == 5


async def test_a_class_that_protects_does_not_protect_everything() -> None:
    text = [ms.TextDelta(letter) for letter in "abcdef"]
    async with Stream(Probe(text)).buffer(2, overflow="drop_oldest", protect=ms.File) as stream:
        await settle()
        assert await stream.collect() == text[-2:]


@pytest.mark.parametrize("method", ["tee", "broadcast", "share"])
def test_bounds_are_checked_at_the_call(method: str) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        getattr(Stream(Probe([])), method)(2, max_bytes=0)
    with pytest.raises(ValueError, match="max_bytes"):
        Stream(Probe([])).buffer(2, max_bytes=0)
