"""JSON of any shape: no decoder raises, and no event gets a field of another type than it promises."""

from __future__ import annotations

import random

import pytest

import millstream as ms
from protocols.decoding import check_lifecycle, decode, lines, sse, wire

JUNK = [None, True, -1, 0.5, 2**64 - 1, "", "x", [], {}, [1], {"a": 1}, ["x", None], {"type": "text", "text": 5}]


def spoil(value, rng: random.Random):
    """The same JSON with one value somewhere replaced by something of another shape."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        return value | {key: spoil(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [*value[:at], spoil(value[at], rng), *value[at + 1 :]]
    return rng.choice(JUNK)


MESSAGES = {
    "openai-chat": [
        {
            "id": "i",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "delta": {
                        "content": "x",
                        "reasoning": "r",
                        "refusal": "n",
                        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
                        "annotations": [{"url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}],
                    },
                }
            ],
        },
        {
            "choices": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
        },
        {
            "choices": [
                {"delta": {"content": [{"text": "x", "thinking": [{"text": "y"}]}], "function_call": {"name": "f"}}}
            ]
        },
    ],
    "anthropic-messages": [
        {"type": "message_start", "message": {"id": "i", "model": "m", "usage": {"input_tokens": 1}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}},
        },
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "thinking", "thinking": "x", "signature": "y"},
        },
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "y"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "x"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "citations_delta", "citation": {"url": "u", "cited_text": "x", "start_char_index": 1}},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_details": {"category": "c", "explanation": "e"}},
            "usage": {"output_tokens": 3, "input_tokens": 4},
        },
        {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
    ],
    "ollama-chat": [
        {
            "model": "m",
            "message": {
                "content": "x",
                "thinking": "y",
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}],
            },
        },
        {"done": True, "done_reason": "stop", "eval_count": 1, "prompt_eval_count": 2},
    ],
    "ollama-generate": [
        {"model": "m", "response": "x", "thinking": "y"},
        {"done": True, "done_reason": "stop", "eval_count": 1},
    ],
}


@pytest.mark.parametrize("protocol", MESSAGES)
def test_hostile_shapes_never_raise_nor_get_into_events(protocol: str) -> None:
    """Whatever JSON a server sends, the events have the types that they promise: they survive their own wire."""
    for seed in range(400):
        rng = random.Random(seed)
        messages = list(MESSAGES[protocol])
        at = rng.randrange(len(messages))
        messages[at] = spoil(messages[at], rng)
        body = sse(*messages) if protocol in ("openai-chat", "anthropic-messages") else lines(*messages)
        for cut in (len(body), len(body) - 1, len(body) - 2):
            events = decode(protocol, body[:cut])
            check_lifecycle(events)
            assert wire(ms.events.decode_event(line) for line in wire(events)) == wire(events)
