"""What the protocol tests share: decode bytes under any cuts, write SSE, and say what events amount to."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import millstream as ms
from millstream.protocols import DECODERS

TINY = 64_000  # larger bodies are not fed byte by byte
BY_HAND = 4_000  # larger ones are recordings, which test_rules.py and test_shapes.py compare


def decode(protocol: str, *chunks: bytes, **options) -> list[ms.Event]:
    """All events. Of what is written by hand they are the same without shapes and rules."""
    out = _decode(protocol, chunks, options)
    if sum(map(len, chunks)) < BY_HAND and not options.keys() & {"shapes", "rules"}:
        assert wire(_decode(protocol, chunks, options | {"shapes": False, "rules": False})) == wire(out)
    return out


def _decode(protocol: str, chunks: Iterable[bytes], options: dict[str, Any]) -> list[ms.Event]:
    decoder = ms.decoder(protocol, **options)
    out = [event for chunk in chunks for event in decoder.feed(chunk)]
    out += decoder.close()
    assert decoder.ended
    return out


def wire(events: Iterable[ms.Event]) -> list[bytes]:
    """Events compared by all that they say: exceptions have no equality of their own."""
    return [ms.events.encode_event(event) for event in events]


def sse(*messages) -> bytes:
    """Each message a `data:` line of JSON; a string goes in as it is."""
    return b"".join(
        b"data: " + (m if isinstance(m, str) else json.dumps(m, ensure_ascii=False)).encode() + b"\n\n"
        for m in messages
    )


def lines(*messages) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def random_cuts(data: bytes, seed: str, n: int = 3) -> Iterator[list[bytes]]:
    rng = random.Random(seed)
    for _ in range(n):
        at = [0, *sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 40))), len(data)]
        yield [data[a:b] for a, b in pairwise(at)]


def text_of(events: Iterable[ms.Event], choice: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, ms.TextDelta) and event.choice == choice)


def calls_of(events: Iterable[ms.Event]) -> list[ms.ToolCall]:
    return [event for event in events if isinstance(event, ms.ToolCall)]


def errors_of(events: Iterable[ms.Event]) -> list[ms.StreamError]:
    return [event.error for event in events if isinstance(event, ms.Error)]


def outcome(events: list[ms.Event]) -> dict:
    """The facts that a truth file states, for the first choice."""
    first = [event for event in events if getattr(event, "choice", 0) == 0]
    usage = events[-1].usage
    return {
        "text": text_of(first),
        "reasoning": "".join(event.text for event in first if isinstance(event, ms.ReasoningDelta)),
        "refusal": "".join(e.note for e in first if isinstance(e, ms.Safety) and e.category == "refusal") or None,
        "tool_calls": [(call.id, call.name, _arguments(call)) for call in calls_of(first)],
        "finish_reason": events[-1].raw_reason or None,
        "usage": usage and (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        "n_text_deltas": sum(isinstance(event, ms.TextDelta) for event in first),
        "error": bool(errors_of(events)),
    }


def truth_outcome(truth: dict) -> dict:
    """The same facts from a `.truth.json`."""
    usage, reason = truth["usage"], truth["finish_reason"]
    return {
        **{key: truth[key] for key in ("text", "reasoning", "refusal", "n_text_deltas")},
        "tool_calls": [(c["id"] or "", c["name"], _parsed(c["arguments_json"])) for c in truth["tool_calls"]],
        "finish_reason": str(reason) if reason else None,
        "usage": usage and (usage.get("input"), usage.get("output"), usage.get("total")),
        "error": bool(truth["error"]),
    }


def _arguments(call: ms.ToolCall):
    """Free text (a custom tool's input) counts as in the truths: by what it is as JSON."""
    return _parsed(call.input) if isinstance(call.arguments, str) else call.arguments


def _parsed(text: str | bytes):
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return None


def check_lifecycle(events: list[ms.Event], protocol: str = "") -> None:
    """Start (anything else)* [Error] [Usage] Finish; our own wire passes through what it is given in between."""
    kinds = [event.type for event in events]
    if protocol:
        assert {type(event) for event in events} <= {*DECODERS[protocol].gives, ms.Start, ms.Error, ms.Finish}
    assert kinds[0] == "start"
    assert kinds[-1] == "finish"
    assert kinds.count("start") == kinds.count("finish") == 1
    if not protocol.startswith("millstream"):
        assert "usage" not in kinds[:-2]
        assert kinds.count("error") <= 1
        if "error" in kinds:
            assert kinds.index("error") >= len(kinds) - 3
            assert events[-1].reason == "error"
