"""Every capture cut, and damaged: what comes out is true, ends once, and is not made up.

The laws, for a decoder that is fed some bytes and then closed:

1. Cut. What it had given before the end of the input are the first of the true events, one for one. What `close` adds
   are true events too (of a last message that lacked only its blank line), then calls marked incomplete, `Usage` and
   one `Finish`. No error: a cut is a truncation.
2. Failed connection. The first of the true events, then calls marked incomplete, one `Error`, `Usage`, `Finish`.
3. Damage at byte p. What had been given before p stands. Then anything that is in the damaged bytes: each piece of
   text, each name and value is found there by a reader that shares no code with us (`naive.py`); no text is used twice.
4. However damaged bytes are cut, the events are the same.

`MILLSTREAM_LONG=1` cuts every capture at every byte, nine million cuts (of a message of more than 20 kB its ends and a
sample), and damages it 300 times: about seven minutes, no failure. Otherwise the ends
and a sample, in 18 s.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import millstream as ms
from millstream.protocols import DECODERS
from protocols import naive
from protocols.captures import INDEX, body_of, events_of
from protocols.cutting import Cutter, comparable, messages
from protocols.decoding import check_lifecycle, decode, random_cuts, wire

LONG = os.environ.get("MILLSTREAM_LONG") == "1"
EDGE = 200  # bytes at both ends of a capture, each of which is a cut
N_CUTS = 300  # and so many in between
HUGE = 20_000  # a message of more bytes is cut at such places only, in the long form too: each cut reads it anew
N_MUTATIONS = 300 if LONG else 10
LARGE = 200_000  # fewer mutations of larger bodies
INSERTED = (b"\n", b'"', b"}", b"\r\n\r\n", b"\xff", b"\\", b"[", b"0")
LOST = ms.ConnectionFailed("gone")

WORD = re.compile(r"[a-zA-Z]{3,}")

captures = pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in INDEX])


def read(entry: dict) -> tuple[str, bytes]:
    return entry["api"], body_of(entry["file"])


# --- cuts ------------------------------------------------------------------------------------------------------------


def cuts(body: bytes, seed: str, media_type: str) -> list[int]:
    """All positions, but of a message of over `HUGE` bytes its ends and a sample; in the short form: of the body."""
    spans = messages(body, media_type) if LONG else [(0, len(body))]
    chosen: list[int] = []
    for start, stop in spans:
        if stop - start <= (HUGE if LONG else 2 * EDGE + N_CUTS):
            chosen += range(start, stop)
            continue
        middle = random.Random(f"{seed}{start}").sample(range(start + EDGE, stop - EDGE), N_CUTS)
        chosen += [*range(start, start + EDGE), *sorted(middle), *range(stop - EDGE, stop)]
    return chosen


@captures
def test_cut(entry: dict) -> None:
    api, body = read(entry)
    truth = comparable(events_of(entry["file"]))
    cutter = Cutter(api, body, truth)
    for at in cuts(body, entry["file"], cutter.media_type):
        moved, n, closed = cutter.cut(at)
        if moved or n > cutter.n:  # a lost connection is the same anywhere inside of a message
            check_failed(n, cutter.again(at).fail(LOST), truth)
        check_truncated(n, comparable(closed.close()), truth)


@captures
def test_the_decoders_of_the_test_above_are_like_new_ones(entry: dict) -> None:
    api, body = read(entry)
    truth = comparable(events_of(entry["file"]))
    cutter = Cutter(api, body, truth)
    for at in sorted(random.Random(entry["file"]).sample(range(len(body)), 4)):
        _, n, closed = cutter.cut(at)
        assert truth[:n] + comparable(closed.close()) == comparable(decode(api, body[:at])), at


def check_truncated(n: int, tail: list[Any], truth: list[Any]) -> None:
    rest = truth[n : n + len(tail)]
    n_true = next((at for at, (a, b) in enumerate(zip(tail, rest, strict=False)) if a != b), min(len(tail), len(rest)))
    finish = check_terminal(n, tail[n_true:] or tail[-1:], truth) if tail else truth[n - 1]
    assert isinstance(finish, ms.Finish)
    # The reason is the true one, or that the end was not seen.
    true_finish = truth[-1]
    assert isinstance(true_finish, ms.Finish)
    # (An error that came after a finish reason is what was cut off.)
    assert finish.reason in ("incomplete", true_finish.reason) or true_finish.reason == "error"
    if finish.reason != "incomplete" and true_finish.reason != "error":
        assert finish.raw_reason in ("", true_finish.raw_reason)


def check_failed(n: int, tail: list[ms.Event], truth: list[Any]) -> None:
    if n == len(truth):
        assert tail == []
        return
    assert [event.error for event in tail if isinstance(event, ms.Error)] == [LOST]
    finish = check_terminal(n, [event for event in tail if not isinstance(event, ms.Error)], truth)
    assert finish.reason == "error"


def check_terminal(n: int, tail: list[Any], truth: list[Any]) -> ms.Finish:
    """[Start] [what waited for it] (a call cut off)* [Usage] Finish: returns it."""
    kinds = [event.type for event in tail]
    if n == 0 and "start" in kinds:
        assert kinds.pop(0) == "start"
    assert kinds[-1] == "finish"
    assert sorted(kinds, key=["safety", "tool_call", "usage", "finish"].index) == kinds
    assert kinds.count("usage") <= 1
    for call in tail:
        if isinstance(call, ms.ToolCall):
            check_cut_call(call, truth)
    finish = tail[-1]
    assert isinstance(finish, ms.Finish)
    return finish


def check_cut_call(call: ms.ToolCall, truth: list[Any]) -> None:
    """It began as a true call did, and is not passed as valid unless it is that call."""
    if call in truth:
        return
    assert call.validity == "incomplete"
    assert call.arguments is None
    assert any(
        (true.index, true.choice) == (call.index, call.choice)
        and true.id.startswith(call.id)
        and true.name.startswith(call.name)
        and true.input.startswith(call.input)
        for true in truth
        if isinstance(true, ms.ToolCall)
    )


# --- damage ----------------------------------------------------------------------------------------------------------


def mutations(body: bytes, seed: str) -> Iterator[tuple[int, bytes, str]]:
    """Damaged bodies, each with the position of the first change and what was done."""
    rng = random.Random(seed)
    for n in range(N_MUTATIONS if len(body) < LARGE else N_MUTATIONS // 5):
        a, b = sorted(rng.sample(range(len(body)), 2))
        size = rng.choice((1, 2, 7, 40, 300))
        match kind := ("flip", "delete", "duplicate", "swap", "insert")[n % 5]:
            case "flip":
                yield a, body[:a] + bytes([body[a] ^ 1 << rng.randrange(8)]) + body[a + 1 :], kind
            case "delete":
                yield a, body[:a] + body[a + size :], kind
            case "duplicate":
                yield a, body[: a + size] + body[a:], kind
            case "swap":
                b = max(b, a + size)
                one, two = body[a : a + size], body[b : b + size]
                yield a, body[:a] + two + body[a + size : b] + one + body[b + size :], kind
            case _:
                yield a, body[:a] + rng.choice(INSERTED) + body[a:], kind


@captures
def test_damaged(entry: dict) -> None:
    api, body = read(entry)
    for p, bad, kind in mutations(body, entry["file"]):
        decoder = ms.decoder(api)
        before = decoder.feed(bad[:p])
        events = before + decoder.feed(bad[p:]) + decoder.close()
        check_lifecycle(events, api)
        check_not_made_up(events, naive.values(bad, DECODERS[api].media_types[0]), api)
        assert comparable(before) == comparable(ms.decoder(api).feed(body[:p])), f"{kind} at {p}"
        for pieces in random_cuts(bad, f"{entry['file']}{p}", 1):
            assert wire(decode(api, *pieces)) == wire(events), f"{kind} at {p}"


SAYS = {
    "text_delta": ["text"],
    "reasoning_delta": ["text", "signature", "encrypted"],
    "tool_call": ["id", "name"],
    "provider_tool_call": ["id"],
    "provider_tool_result": ["id"],
    "safety": ["category", "note"],
    "start": ["model", "id"],
    "finish": ["raw_reason"],
    "file": ["media_type", "url"],
}
"""The fields of an event that are text of the provider."""


def check_not_made_up(events: list[ms.Event], values: list[Any], api: str) -> None:
    found = [leaf for value in values for leaf in naive.leaves(value)]
    strings = {leaf if isinstance(leaf, str) else str(leaf) for leaf in found if isinstance(leaf, (str, int))} | {""}
    in_order = {kind: iter(found) for kind in ("text_delta", "reasoning_delta")}
    fragments: dict[tuple[int, int], str] = {}
    for event in events:
        for name in SAYS.get(event.type, ()):
            said = getattr(event, name) or ""
            assert said in strings or is_derived(said, strings), (event, name)
        if event.type in in_order and event.text:
            # Each occurrence speaks once: nothing is doubled, nothing is out of order.
            assert any(leaf == event.text for leaf in in_order[event.type]), event
        elif isinstance(event, ms.ToolCallDelta):
            assert is_fragment(event.arguments, found, strings), event
            key = event.choice, event.index
            fragments[key] = fragments.get(key, "") + event.arguments
        elif isinstance(event, ms.ToolCall):
            assert event.input.decode() == fragments.pop((event.choice, event.index))
            check_value(event)
        elif isinstance(event, ms.ProviderToolCall):
            asked = "".join(naive.under(values, "partial_json", "input", "arguments"))
            assert event.input in (None, {}) or event.input in found or is_joined(event.input, asked), event
        elif isinstance(event, ms.ProviderToolResult):
            assert event.result is None or event.result in found
        elif isinstance(event, ms.Raw):
            assert event.data in strings or is_part(json.loads(event.data), found), event
        elif isinstance(event, ms.Citations):
            for citation in event.citations:
                for said in (citation.url, citation.title, citation.source):
                    assert said in strings, citation
    assert fragments == {}, "each call that began is given once"


def is_derived(said: str, strings: set[str]) -> bool:
    """Names that decoders put together: `incomplete:max_tokens`, `image/png`."""
    return any(part in strings for part in (said.removeprefix("incomplete:"), said.removeprefix("image/"))) or (
        said in ("refusal", "eos", "word", "limit", "none", "stop", "completed", "failed", "image/png")
    )


def is_fragment(text: str, found: list[Any], strings: set[str]) -> bool:
    """A string of the body, a value of it as JSON, or (Gemini's `partialArgs`) JSON put together from its strings."""
    if text in strings or text == "{}":  # no arguments at all
        return True
    try:
        return json.loads(text) in found
    except ValueError:
        return "jsonPath" in strings and all(any(word in each for each in strings) for word in WORD.findall(text))


def is_part(value: Any, found: list[Any]) -> bool:
    """A value of the body, or one member of such a value with its name."""
    return value in found or (isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) in found)


def is_joined(value: Any, fragments: str) -> bool:
    """A value whose JSON came in pieces, of which some may be lost: no letter of it is from elsewhere."""
    letters = Counter(filter(str.isalnum, json.dumps(value, ensure_ascii=False)))
    return letters <= Counter(filter(str.isalnum, fragments + json.dumps(fragments)))


def check_value(call: ms.ToolCall) -> None:
    """What is called valid is what its own text says."""
    if call.validity != "valid":
        assert call.arguments is None
    elif isinstance(call.arguments, str) and not call.input.startswith(b'"'):
        assert call.arguments == call.input.decode()  # free text
    else:
        assert call.arguments == json.loads(call.input or b"{}")
