"""The load is what its text says, its check sees every fault, and a small run of each part counts right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench.load import wire

import millstream as ms

ROOT = Path(__file__).parents[2]


def test_an_event_has_its_length_and_is_a_chunk_of_its_own() -> None:
    data = wire.write_of((b"a-text-of-12", b"another-text"))
    assert len(data) == 2 * wire.CHUNK_BYTES
    bodies = data.split(b"\r\n")[1::2]
    assert [len(body) for body in bodies] == [wire.EVENT_BYTES] * 2
    decoder = ms.decoder("openai-chat")
    texts = [event.text for event in decoder.feed(b"".join(bodies)) if isinstance(event, ms.TextDelta)]
    assert texts == ["a-text-of-12", "another-text"]


def test_a_canary_knows_its_own() -> None:
    sent, came = wire.Canary(7), wire.Canary(7)
    for n in (1, 3, 10):
        came.took([text.decode() for text in sent.texts(n)])
    assert came.digest() == sent.digest()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda own, other: own[1:], id="lost"),
        pytest.param(lambda own, other: own[:1] + own, id="doubled"),
        pytest.param(lambda own, other: own[:-1], id="the last lost"),
        pytest.param(lambda own, other: own[:2] + own[3:], id="one in the middle lost"),
        pytest.param(lambda own, other: [own[0], own[2], own[1], *own[3:]], id="swapped"),
        pytest.param(lambda own, other: [*own[:2], other[2], *own[3:]], id="foreign"),
    ],
)
def test_a_canary_sees_what_is_wrong(fault: object) -> None:
    sent, came = wire.Canary(7), wire.Canary(7)
    own, other = ([text.decode() for text in one.texts(6)] for one in (sent, wire.Canary(8)))
    try:
        came.took(fault(own, other))  # type: ignore[operator]
    except AssertionError:
        return
    assert came.digest() != sent.digest()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("part", ["clients", "served", "soak", "churn"])
def test_a_small_run(part: str) -> None:
    words = ["--streams", "60", "--served", "60", "--turns", "1", "--soak", "20000", "--churn", "200", "--only", part]
    command = [sys.executable, "-m", "bench.load", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = {
        "soak": "none lost",
        "churn": "0 connections and 0 tasks left",
        "clients": "ms.stream",
        "served": "uvicorn",
    }
    assert wanted[part] in done.stdout
