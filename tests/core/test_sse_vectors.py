"""Every case of the shared SSE vectors, whole, byte by byte, at every two-way split, and in random pieces."""

from __future__ import annotations

import base64
import json
import random
from itertools import pairwise

import pytest

from conftest import shared_dir
from millstream.core import MAX_RETRY_MS, SSEParser
from reference import sse as oracle


def load():
    cases = json.loads((shared_dir() / "vectors" / "sse_vectors.json").read_bytes())
    # `accept: false` is about the response header, which the HTTP layer refuses before a parser sees a byte.
    return [pytest.param(case, id=case["name"]) for case in cases if case.get("accept", True)]


CASES = load()
LONG = 6000  # every split of a longer input would take minutes


def clamp(retry):
    return None if retry is None else min(retry, MAX_RETRY_MS)


def check(case, chunks):
    parser = SSEParser()
    messages = [message for chunk in chunks for message in parser.feed(chunk)] + parser.close()
    assert [(m.event, m.data, m.id, m.retry) for m in messages] == [
        (e["event"], e["data"], e["id"], clamp(e["retry"])) for e in case["events"]
    ]
    assert parser.last_event_id == case["last_event_id"]
    assert parser.reconnection_time == clamp(case["reconnection_time"])


def data_of(case):
    return base64.b64decode(case["input_b64"])


@pytest.mark.parametrize("case", CASES)
def test_whole(case):
    check(case, [data_of(case)])


@pytest.mark.parametrize("case", CASES)
def test_reference(case):
    result = oracle.parse(data_of(case))
    assert [(m.event, m.data, m.id, m.retry) for m in result.messages] == [
        (e["event"], e["data"], e["id"], clamp(e["retry"])) for e in case["events"]
    ]
    assert result.last_event_id == case["last_event_id"]
    assert result.reconnection_time == clamp(case["reconnection_time"])


@pytest.mark.parametrize("case", CASES)
def test_every_split(case):
    data = data_of(case)
    positions = range(len(data) + 1) if len(data) <= LONG else range(0, len(data) + 1, 997)
    for i in positions:
        check(case, [data[:i], data[i:]])


@pytest.mark.parametrize("case", CASES)
def test_random_pieces_with_empty_ones(case):
    data, rng = data_of(case), random.Random(case["name"])
    for _ in range(20):
        bounds = [0, *sorted(rng.choices(range(len(data) + 1), k=8)), len(data)]
        check(case, [piece for a, b in pairwise(bounds) for piece in (data[a:b], b"")])


@pytest.mark.parametrize("case", [c for c in CASES if "chunks" in c.values[0]])
def test_named_pieces(case):
    data, chunks = data_of(case), []
    for size in case["chunks"]:
        chunks.append(data[:size])
        data = data[size:]
    check(case, [*chunks, data])


@pytest.mark.parametrize("case", CASES)
def test_byte_by_byte_each_event_in_time(case):
    data, parser, n_seen = data_of(case), SSEParser(), 0
    check(case, [data[i : i + 1] for i in range(len(data))])
    for i in range(len(data)):
        n_seen += len(parser.feed(data[i : i + 1]))
        # Not before the blank line either: an event is due at exactly that byte.
        assert n_seen == sum(at <= i + 1 for at in case["dispatch_at"])
