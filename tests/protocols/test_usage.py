"""What an answer cost, on every wire: a count that is not told is not known, and a total is the sum of two that are."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

import millstream as ms
from protocols.decoding import decode, lines, sse
from protocols.test_bedrock import event

Made = Callable[[dict[str, int]], bytes]


def _invoked(counts: dict[str, int]) -> bytes:
    said = {"generation": "hi", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": counts or None}
    return event("chunk", {"bytes": base64.b64encode(json.dumps(said).encode()).decode()})


# Of each wire: a body with these counts, and what it calls those of the input, of the output and of both.
WIRES: dict[str, tuple[Made, str, str, str]] = {
    "openai-chat": (
        lambda counts: sse({"choices": [], "usage": counts}, "[DONE]"),
        *("prompt_tokens", "completion_tokens", "total_tokens"),
    ),
    "openai-completions": (
        lambda counts: sse({"choices": [], "usage": counts}, "[DONE]"),
        *("prompt_tokens", "completion_tokens", "total_tokens"),
    ),
    "openai-responses": (
        lambda counts: sse({"type": "response.completed", "response": {"status": "completed", "usage": counts}}),
        *("input_tokens", "output_tokens", "total_tokens"),
    ),
    "anthropic-messages": (
        lambda counts: sse({"type": "message_start", "message": {"usage": counts}}, {"type": "message_stop"}),
        *("input_tokens", "output_tokens", ""),
    ),
    "gemini": (
        lambda counts: sse({"candidates": [], "usageMetadata": counts}),
        *("promptTokenCount", "candidatesTokenCount", "totalTokenCount"),
    ),
    "google-interactions": (
        lambda counts: sse({"event_type": "interaction.completed", "interaction": {"usage": counts}}),
        *("total_input_tokens", "total_output_tokens", "total_tokens"),
    ),
    "cohere-v2": (
        lambda counts: sse(
            {
                "type": "message-end",
                "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": counts} if counts else None},
            }
        ),
        *("input_tokens", "output_tokens", ""),
    ),
    "bedrock-converse": (
        lambda counts: event("metadata", {"usage": counts}),
        *("inputTokens", "outputTokens", "totalTokens"),
    ),
    "bedrock-invoke": (_invoked, "inputTokenCount", "outputTokenCount", ""),
    "ollama-chat": (
        lambda counts: lines({"message": {"content": "hi"}, "done": True, **counts}),
        *("prompt_eval_count", "eval_count", ""),
    ),
}
ADDS_WHAT_IT_HAS = {"ollama-chat"}  # a prompt that was cached has no count, and was not evaluated


def cost(protocol: str, **counts: Any) -> tuple[int | None, int | None, int | None] | None:
    made, *names = WIRES[protocol]
    told = {name: counts[key] for key, name in zip(("given", "made", "total"), names, strict=True) if key in counts}
    usage = decode(protocol, made(told))[-1].usage
    return usage and (usage.input_tokens, usage.output_tokens, usage.total_tokens)


@pytest.mark.parametrize("protocol", WIRES)
def test_a_total_that_is_not_told_is_the_sum_of_two_counts_that_are(protocol: str) -> None:
    assert cost(protocol, given=3, made=2) == (3, 2, 5)
    assert cost(protocol, given=0, made=0) == (0, 0, 0)


@pytest.mark.parametrize("protocol", WIRES)
def test_of_one_count_alone_there_is_no_total(protocol: str) -> None:
    total = 3 if protocol in ADDS_WHAT_IT_HAS else None
    assert cost(protocol, given=3) == (3, None, total)
    assert cost(protocol, made=3) == (None, 3, total)


@pytest.mark.parametrize("protocol", [name for name, (*_, total) in WIRES.items() if total])
def test_a_total_that_is_told_counts(protocol: str) -> None:
    """It may be more: thoughts, tools, audio."""
    assert cost(protocol, given=3, made=2, total=9) == (3, 2, 9)
    assert cost(protocol, total=9) == (None, None, 9)


@pytest.mark.parametrize("protocol", WIRES)
def test_what_is_no_count_is_not_known(protocol: str) -> None:
    for odd in ("3", 1.5, True, [3]):
        assert (cost(protocol, given=odd, made=2) or (None,))[0] is None, odd


@pytest.mark.parametrize("protocol", WIRES)
def test_without_any_count_nothing_is_told(protocol: str) -> None:
    events = decode(protocol, WIRES[protocol][0]({}))
    assert not any(isinstance(event, ms.Usage) for event in events)
    assert events[-1].usage is None
