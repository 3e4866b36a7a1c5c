"""Every capture with shapes and without, however it is cut: equal events, errors and state.

`MILLSTREAM_LONG=1` feeds all of them byte by byte and by seven bytes, and cuts each at random six times.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

import millstream as ms
from protocols.captures import INDEX, body_of
from protocols.decoding import pieces, random_cuts
from protocols.shaped import SHAPED, check_twins, run

LONG = os.environ.get("MILLSTREAM_LONG") == "1"
SMALL = 10**9 if LONG else 40_000
captures = pytest.mark.parametrize(
    "entry", [entry for entry in INDEX if entry["api"] in SHAPED], ids=lambda entry: entry["file"]
)


@captures
def test_shapes_change_nothing(entry: dict) -> None:
    api, body = entry["api"], body_of(entry["file"])
    truth = run(ms.decoder(api, shapes=False, rules=False), [body])
    check_twins(api, [body], truth)
    for cut in random_cuts(body, entry["file"], 6 if LONG else 1):
        check_twins(api, cut, truth)
    if len(body) < SMALL:
        check_twins(api, pieces(body, 7), truth)
        check_twins(api, pieces(body, 1), truth)


def test_one_message_per_chunk_and_every_place_of_a_cut() -> None:
    """The cut that matters is inside a frame that would match: each byte of one, in both line ends."""
    for end in (b"\n", b"\r\n"):
        frames = [
            b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}],"usage":{"total_tokens":%d}}' % (text, n)
            + end * 2
            for n, text in enumerate([b"a", b"bc", b"d\\n\\u00e9\\ud83d\\ude00", "é€😀".encode(), b"e"])
        ]
        body = b"".join(frames)
        decoder = check_twins("openai-chat", frames)
        assert decoder.stats.hits == 3
        for at in range(len(body)):
            check_twins("openai-chat", [body[:at], body[at:]])
            check_twins(
                "openai-chat", [*frames[:2], frames[2][: at % len(frames[2])], frames[2][at % len(frames[2]) :]]
            )


def test_what_is_hit() -> None:
    """Hits per message that could be one: the promise of docs/topics/shapes.md, on all captures together."""
    n: Counter[str] = Counter()
    for entry in INDEX:
        if entry["api"] in SHAPED:
            decoder = ms.decoder(entry["api"])
            decoder.feed(body_of(entry["file"]))
            n["hits"] += decoder.stats.hits
            n["compiles"] += decoder.stats.compiles
            n["all"] += decoder.stats.hits + decoder.stats.misses
    assert n["hits"] / (n["hits"] + n["compiles"]) > 0.97
    assert n["hits"] / n["all"] > 0.89
