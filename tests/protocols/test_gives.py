"""What a decoder declares in `gives` is what it gives. `check_lifecycle` shows that it gives no more, this no less."""

from __future__ import annotations

from collections import defaultdict

import pytest

import millstream as ms
from millstream.protocols import DECODERS
from protocols.decoding import decode, lines, sse
from protocols.test_bedrock import event as frame
from protocols.test_corpus import INDEX, corpus

# For the kinds that no capture has: one message that gives them.
SHOWN = {
    "openai-chat": sse(
        {"choices": [{"delta": {"images": [{"image_url": {"url": "https://x/y.png"}}]}}]},
        {"choices": [{"delta": {"executed_tools": [{"type": "search", "arguments": "{}", "output": "x"}]}}]},
    ),
    "gemini": sse({"promptFeedback": {"blockReason": "SAFETY"}}),
    "llamacpp-native": sse({"x": 1}, {"content": "a", "stop": True, "stop_type": "eos"}),
    "ollama-chat": lines(
        {"message": {"thinking": "a", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "done": True}
    ),
    "cohere-v1-ndjson": lines(
        {"event_type": "tool-calls-generation", "text": "a", "tool_calls": [{"name": "f", "parameters": {}}]}
    ),
    "google-interactions": sse(
        {"event_type": "step.delta", "index": 0, "delta": {"type": "image", "mime_type": "image/png", "uri": "u"}}
    ),
    "bedrock-converse": frame(
        "contentBlockDelta", {"delta": {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}}
    ),
}


def given() -> dict[str, set[type]]:
    """By name of the decoder: the kinds that captures and the messages above give."""
    found: dict[str, set[type]] = defaultdict(set)
    for entry in INDEX:
        found[entry["api"]] |= set(map(type, decode(entry["api"], (corpus() / entry["file"]).read_bytes())))
    for name, body in SHOWN.items():
        found[name] |= set(map(type, decode(name, body)))
    return found


GIVEN = given()


@pytest.mark.parametrize("name", [name for name in DECODERS if not name.startswith("millstream")])
def test_each_kind_is_given(name: str) -> None:
    """By this decoder, or by another one that has its `gives`, and so its mapping, from the same class."""
    cls = DECODERS[name]
    alike = [other for other in DECODERS if DECODERS[other].gives is cls.gives]
    seen = set().union(*(GIVEN[other] for other in alike))
    assert set(cls.gives) - seen == set()
    assert GIVEN[name] - {*cls.gives, ms.Start, ms.Error, ms.Finish} == set()
