"""The load of bench_transport is what its text says, and a run of it counts right."""

from __future__ import annotations

import pytest

import millstream as ms
from bench import bench_transport as bench


@pytest.mark.parametrize("shape", bench.SHAPES, ids=lambda shape: shape.name)
def test_a_read_has_the_events_and_chunks_of_its_shape(shape: bench.Shape) -> None:
    texts = []
    for data in bench.reads(shape):
        pieces = data.split(b"\r\n")
        assert len(pieces[1::2]) == shape.chunks
        body = b"".join(pieces[1::2])
        assert len(body) == shape.events * bench.EVENT_BYTES
        decoder = ms.decoder("openai-chat")
        found = [event for event in decoder.feed(body) if isinstance(event, ms.TextDelta)]
        assert len(found) == shape.events
        texts += [event.text for event in found]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", [bench.OURS, bench.AIOHTTP, bench.HTTPX2])
def test_a_client_gets_everything(name: str) -> None:
    client = next(one for one in bench.CLIENTS if one.name == name)
    with bench.Server() as base:
        assert bench.once(client, bench.SHAPES[1], base, 3) > 0
