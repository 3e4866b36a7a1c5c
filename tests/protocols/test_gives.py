"""What a decoder declares in `gives` is what it gives. `check_lifecycle` shows that it gives no more, this no less.

Each name is held to it by itself: besides its own captures it reads those of the wires whose mapping it shares.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

import millstream as ms
from millstream.protocols import DECODERS
from protocols import naive
from protocols.captures import APIS, body_of, events_of
from protocols.decoding import decode, lines, sse
from protocols.test_bedrock import event as frame

CHAT = ["openai-chat", "azure-openai-chat", "groq", "openai-compatible", "openrouter"]
SHARED = {
    **dict.fromkeys([*CHAT, "deepseek", "mistral", "openai-completions"], CHAT),
    "gemini": ["gemini"],
    "gemini-json-array": ["gemini"],
    "bedrock-invoke": ["anthropic-messages", "openai-chat", "groq"],
}
"""Name -> the names whose captures show what it gives, where its own do not."""

# For the kinds that no capture has: one message that gives them.
SHOWN = {
    "openai-chat": [
        {"choices": [{"delta": {"images": [{"image_url": {"url": "https://x/y.png"}}]}}]},
        {"choices": [{"delta": {"executed_tools": [{"type": "search", "arguments": "{}", "output": "x"}]}}]},
    ],
    "gemini": [{"promptFeedback": {"blockReason": "SAFETY"}}],
    "llamacpp-native": [{"x": 1}, {"content": "a", "stop": True, "stop_type": "eos"}],
    "ollama-chat": [
        {"message": {"thinking": "a", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}, "done": True}
    ],
    "cohere-v1-ndjson": [
        {"event_type": "tool-calls-generation", "text": "a", "tool_calls": [{"name": "f", "parameters": {}}]}
    ],
    "cohere-v2": [{"type": "new"}],
    "google-interactions": [
        {"event_type": "step.delta", "index": 0, "delta": {"type": "image", "mime_type": "image/png", "uri": "u"}}
    ],
}
IMAGE = frame("contentBlockDelta", {"delta": {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}})


def framed(name: str, messages: list) -> bytes:
    """The messages as this wire carries them."""
    match DECODERS[name].media_types[0]:
        case "text/event-stream":
            return sse(*messages)
        case "application/json":
            return json.dumps(messages).encode()
        case "application/vnd.amazon.eventstream":
            inner = [base64.b64encode(json.dumps(message).encode()).decode() for message in messages]
            return b"".join(frame("chunk", {"bytes": one}) for one in inner)
        case _:
            return lines(*messages)


def bodies(name: str) -> Iterator[bytes]:
    for source in SHARED.get(name, [name]):
        if source in SHOWN:
            yield framed(name, SHOWN[source])
        for file in (file for file, api in APIS.items() if api == source != name):
            yield framed(name, naive.values(body_of(file), DECODERS[source].media_types[0]))
    if name == "bedrock-converse":
        yield IMAGE


@pytest.mark.parametrize("name", [name for name in DECODERS if not name.startswith("millstream")])
def test_each_kind_is_given(name: str) -> None:
    declared = set(DECODERS[name].gives)
    missing = set(declared)
    for file in (file for file, api in APIS.items() if api == name):
        missing -= {type(event) for event in events_of(file)}
    for body in bodies(name):
        if not missing:
            break
        given = {type(event) for event in decode(name, body)}
        assert given <= {*declared, ms.Start, ms.Error, ms.Finish}
        missing -= given
    assert missing == set()
