"""Streams that others recorded, decoded under many cuts, against what the official clients made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import millstream as ms
from protocols.captures import INDEX, body_of, corpus, events_of
from protocols.decoding import TINY, check_lifecycle, decode, outcome, pieces, random_cuts, truth_outcome, wire

DISPUTED = dict(
    re.findall(r"^\| `([^`]+)` \| `([a-z_]+)` \|", (Path(__file__).parent / "DISPUTED.md").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in INDEX])
def test_capture(entry: dict) -> None:
    body, events = body_of(entry["file"]), events_of(entry["file"])
    truth = json.loads((corpus() / f"{entry['file']}.truth.json").read_bytes())
    check_lifecycle(events, entry["api"])
    if entry["api"] == "mcp-sse":  # no answer of a model: the truth is the messages themselves
        actual = {"events": [[event.event, event.json()] for event in events if isinstance(event, ms.Raw)]}
        expected = {"events": truth["events"]}
    else:
        actual, expected = outcome(events), truth_outcome(truth)
    disputed = DISPUTED.get(entry["file"])
    if disputed:
        assert actual.pop(disputed) != expected.pop(disputed), "no longer disputed: take it out of DISPUTED.md"
    assert actual == expected

    whole = wire(events)
    if len(body) < TINY:
        assert wire(decode(entry["api"], *pieces(body, 1))) == whole
    for cuts in random_cuts(body, entry["file"]):
        assert wire(decode(entry["api"], *cuts)) == whole


def test_the_corpus_is_there() -> None:
    assert len(INDEX) >= 344


def test_disputed_files_exist() -> None:
    assert len(DISPUTED) <= 5
    assert DISPUTED.keys() <= {entry["file"] for entry in INDEX}
