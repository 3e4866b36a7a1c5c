"""What is measured: streams of providers, as bytes, whose texts are those of the packaged recordings.

The order is random with a fixed seed, and the recorded texts vary in length and script: equal events, or words in equal
lengths, would flatter branch prediction. Each load knows the answer from its making.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from millstream.events import ReasoningDelta, TextDelta
from millstream.protocols import iter_events
from millstream.server.replay import load_recordings

__all__ = ["CHUNK_BYTES", "Load", "chat", "document", "messages", "texts"]

SEED = 20261121
CHUNK_BYTES = 16 * 1024
NAMES = {"openai-chat": "chat-", "anthropic-messages": "messages-"}

# About 327 bytes with its text, as OpenAI sends it.
CHAT = (
    '{"id":"chatcmpl-BzBhxpRCtL0jVQRGNm7GNMHzSSQUX","object":"chat.completion.chunk","created":1754071301,'
    '"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_197a02a720","choices":'
    '[{"index":0,"delta":{"content":%s},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%s"}'
)
MESSAGE = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}'
BEGIN = (
    '{"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,'
    '"output_tokens":1}}}',
    '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
)
END = (
    '{"type":"content_block_stop","index":0}',
    '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}',
    '{"type":"message_stop"}',
)


@dataclass(frozen=True)
class Load:
    """A stream of one provider.

    Attributes:
        protocol: its wire.
        frames: the messages as they are sent, each with its blank line.
        data: the JSON of each message that is JSON.
        types: what stands in `event:` of each message; None where it has no such line.
        texts: what the answer says, delta by delta.
    """

    protocol: str
    frames: list[bytes]
    data: list[bytes]
    types: list[str | None]
    texts: list[str]

    def chunks(self, n_bytes: int = CHUNK_BYTES) -> list[bytes]:
        """Cut the stream as a network may: without regard to its messages."""
        body = b"".join(self.frames)
        return [body[at : at + n_bytes] for at in range(0, len(body), n_bytes)]

    def groups(self, n: int) -> list[bytes]:
        """Put `n` messages into each chunk."""
        return [b"".join(self.frames[at : at + n]) for at in range(0, len(self.frames), n)]


def _rng() -> random.Random:
    return random.Random(SEED)  # noqa: S311  # not for secrets


@cache
def texts(n: int) -> list[str]:
    """Return `n` texts of deltas as models gave them."""
    found = [
        event.text
        for name, recording in sorted(load_recordings().items())
        for wire, prefix in NAMES.items()
        if name.startswith(prefix)
        for event in iter_events([chunk for _, chunk in recording.chunks], wire)
        if isinstance(event, TextDelta | ReasoningDelta) and event.text
    ]
    return _rng().choices(found, k=n)


@cache
def chat(n: int) -> Load:
    """Return `n` text deltas of OpenAI's chat completions, each with the random letters that OpenAI adds."""
    rng = _rng()
    said = texts(n)
    data = [
        CHAT % (orjson.dumps(text).decode(), "".join(rng.choices(string.ascii_letters, k=rng.randrange(2, 12))))
        for text in said
    ]
    frames = [f"data: {one}\n\n".encode() for one in [*data, "[DONE]"]]
    return Load("openai-chat", frames, [one.encode() for one in data], [None] * (n + 1), said)


@cache
def messages(n: int) -> Load:
    """Return an answer of Anthropic's messages with `n` text deltas."""
    said = texts(n)
    data = [*BEGIN, *(MESSAGE % orjson.dumps(text).decode() for text in said), *END]
    types: list[str | None] = [one.split('"')[3] for one in data]
    frames = [f"event: {type}\ndata: {one}\n\n".encode() for type, one in zip(types, data, strict=True)]
    return Load("anthropic-messages", frames, [one.encode() for one in data], types, said)


@cache
def document(n_bytes: int) -> tuple[bytes, Any]:
    """Return a JSON document of rows, as an extraction gives them, with its value."""
    rng = _rng()
    items: list[Any] = []
    while len(orjson.dumps(items)) < n_bytes:
        items.append(
            {
                "id": len(items),
                "name": "".join(rng.sample(texts(1000), 3)),
                "price": round(rng.uniform(1, 1000), 2),
                "available": rng.random() < 0.8,
                "discount": None,
                "description": "".join(rng.sample(texts(1000), 15)),
                "size": {"width": rng.randrange(100), "height": rng.randrange(1000), "unit": "mm"},
            }
        )
    return orjson.dumps({"items": items}), {"items": items}
