"""Bedrock's invoke-with-response-stream: the model's own wire inside of AWS's; its answers are in `test_wires.py`."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from zlib import crc32

import orjson
import pytest

import millstream as ms
from providers.live import KEY, Scripted, chunk, head

pytestmark = pytest.mark.anyio


def framed(inner: dict[str, Any]) -> bytes:
    """One `chunk` message of an event stream."""
    told = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in told.items()
    )
    payload = orjson.dumps({"bytes": b64encode(orjson.dumps(inner)).decode()})
    start = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    message = start + crc32(start).to_bytes(4, "big") + headers + payload
    return message + crc32(message).to_bytes(4, "big")


def answering(*inner: dict[str, Any]) -> bytes:
    body = b"".join(chunk(framed(one)) for one in inner)
    return head(content_type="application/vnd.amazon.eventstream") + body + b"0\r\n\r\n"


GPT = answering(
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]},
    {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
)


def model(url: str, invoke: str) -> ms.providers.Bedrock:
    return ms.providers.Bedrock("us.model-v1:0", region="eu-west-1", invoke=invoke, api_key=KEY, base_url=url)


async def test_a_model_is_spoken_to_in_its_own_words() -> None:
    with Scripted(GPT) as server:
        result = await model(server.url, "openai-chat").generate_text("hi", max_tokens=9)
    assert (result.text, result.reason) == ("Hello", ms.FinishReason.STOP)
    text, body = server.asked[0]
    assert text.split()[1] == "/model/us.model-v1%3A0/invoke-with-response-stream"
    assert f"authorization: Bearer {KEY}" in text
    assert "accept: application/vnd.amazon.eventstream" in text
    assert orjson.loads(body) == {"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 9}


async def test_anthropics_version_stands_in_the_body_and_the_rest_in_the_path() -> None:
    with Scripted(answering({"type": "message_stop"})) as server:
        await model(server.url, "anthropic-messages").generate_text("hi", max_tokens=9)
    assert orjson.loads(server.asked[0][1]) == {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 9,
    }


async def test_an_object_is_asked_for_with_a_tool() -> None:
    with Scripted(GPT) as server, pytest.raises(ms.StreamError):
        await model(server.url, "anthropic-messages").generate_object("hi", dict[str, int])
    asked = orjson.loads(server.asked[0][1])
    assert asked["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in asked["tools"]] == ["answer"]


def test_another_wire_is_refused() -> None:
    with pytest.raises(ms.UsageError, match="invoke must be one of anthropic-messages, openai-chat, not 'nova'"):
        model("http://127.0.0.1:9", "nova")
