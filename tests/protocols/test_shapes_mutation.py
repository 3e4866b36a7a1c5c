"""Damaged messages, with shapes and without: the same events, errors and state.

In CI some thousands of windows; `MILLSTREAM_LONG=1` tries `MILLSTREAM_WINDOWS` of them (two million, 20 minutes), from
`MILLSTREAM_SEED` on.
"""

from __future__ import annotations

import os
import random

import pytest

from protocols.shape_mutations import window
from protocols.shaped import check_twins

LONG = os.environ.get("MILLSTREAM_LONG") == "1"
WINDOWS = int(os.environ.get("MILLSTREAM_WINDOWS", "2000000")) if LONG else 12_000
SEED = int(os.environ.get("MILLSTREAM_SEED", "0"))
PARTS = 40 if LONG else 4


@pytest.mark.timeout(3600 if LONG else 60)
@pytest.mark.parametrize("part", range(PARTS))
def test_damage(part: int) -> None:
    hits = 0
    for n in range(part, WINDOWS, PARTS):
        rng = random.Random(SEED + n)
        api, frames = window(rng)
        hits += check_twins(api, cut(frames, rng)).stats.hits
    assert hits > WINDOWS / PARTS, "nothing was matched: this proves nothing"


def cut(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """Whole, frame by frame, or at random."""
    body = b"".join(frames)
    kind = rng.randrange(3)
    if kind == 0:
        return [body]
    if kind == 1:
        return frames
    ats = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(1, 12)))
    return [body[a:b] for a, b in zip([0, *ats], [*ats, len(body)], strict=True)]
