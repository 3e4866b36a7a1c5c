"""Our own recordings against golden events, at every cut.

The golden files hold one encoded event per line. After an intended change of the events, make them
anew and read the diff:

    MILLSTREAM_REGEN=1 python -m pytest tests/protocols/test_recordings.py
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from pathlib import Path

import pytest

import millstream as ms
from protocols.cutting import Cutter, messages
from protocols.decoding import check_lifecycle, decode, outcome, pieces, random_cuts, truth_outcome, wire

FOLDERS = (Path(ms.__file__).parent / "_recordings", Path(__file__).parents[1] / "recordings")
GOLDEN = Path(__file__).parent / "golden"
FOUND = {
    entry["file"].removesuffix(".sse"): (entry["api"], folder / entry["file"])
    for folder in FOLDERS
    for entry in json.loads((folder / "INDEX.json").read_bytes())
}
NAMES = sorted(FOUND)
EDGE = 2_000

recordings = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> tuple[str, bytes]:
    api, file = FOUND[name]
    return api, file.read_bytes()


def golden(name: str) -> list[bytes]:
    return (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()


@recordings
def test_whole_equals_golden_and_truth(name: str) -> None:
    api, body = read(name)
    events = decode(api, body)
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        (GOLDEN / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in wire(events)))
    assert wire(events) == golden(name)
    check_lifecycle(events)
    assert outcome(events) == truth_outcome(json.loads(FOUND[name][1].with_suffix(".sse.truth.json").read_bytes()))


@recordings
def test_golden_events_read_back(name: str) -> None:
    assert wire(ms.events.decode_event(line) for line in golden(name)) == golden(name)


@recordings
def test_pieces_equal_golden(name: str) -> None:
    api, body = read(name)
    for size in (1, 2, 3, 64, 1448):
        assert wire(decode(api, *pieces(body, size))) == golden(name), size
    for cuts in random_cuts(body, name, 10):
        assert wire(decode(api, *cuts)) == golden(name)


@recordings
def test_a_single_cut_anywhere_equals_golden(name: str) -> None:
    """The message that was cut and the one after it, at nearly every byte; the whole body, at a few."""
    api, body = read(name)
    whole = decode(api, body)  # events compare by value; none here holds an exception, whose equality is identity
    cutter = Cutter(api, body, whole)
    ends = [stop for _, stop in messages(body, cutter.media_type)]
    for at in [*range(EDGE), *range(EDGE, len(body), 3)]:
        _, n, there = cutter.cut(at)
        after = ends[min(bisect_right(ends, at) + 1, len(ends) - 1)]
        cutter.expect(n, there.feed(body[at:after]))
    for at in range(0, len(body) + 1, max(1, len(body) // 100)):
        assert decode(api, body[:at], body[at:]) == whole, at


def test_the_recordings_are_there() -> None:
    assert {"chat-text", "chat-text-usage", "chat-tool-call", "messages-text", "messages-thinking"} <= set(NAMES)
    assert len(NAMES) == len(list(GOLDEN.glob("*.jsonl"))) == 17
