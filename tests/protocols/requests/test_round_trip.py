"""What a provider sent and wants back goes back: every recorded answer, decoded and put into the next request.

The oracle does not decode: it looks for the opaque values in the recorded bytes by their keys.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import millstream as ms
from millstream.protocols._eventstream import EventStreamParser
from protocols.captures import INDEX, corpus
from protocols.decoding import decode
from protocols.requests.oracles import ORACLES

OPAQUE = re.compile(
    r'"(?:signature|thoughtSignature|thought_signature|encrypted_content|redactedContent|encrypted_index)"'
    r'\s*:\s*("(?:[^"\\]|\\.)+")'
)
REDACTED = re.compile(r'"type"\s*:\s*"redacted_thinking"\s*,\s*"data"\s*:\s*("(?:[^"\\]|\\.)+")')
HIDDEN = re.compile(r'\{[^{}]*"type"\s*:\s*"reasoning\.encrypted"[^{}]*\}')
# Bedrock's other wire has no request body here; what Claude says on it goes to `converse`.
TARGETS = {"bedrock-invoke": "bedrock-converse"}
CAPTURES = [entry for entry in INDEX if TARGETS.get(entry["api"], entry["api"]) in ORACLES]


def opaque_values(protocol: str, body: bytes) -> set[str]:
    if protocol == "bedrock-invoke":
        payloads = [json.loads(message.payload) for message in EventStreamParser().feed(body)]
        body = b"\n".join(base64.b64decode(payload["bytes"]) for payload in payloads if "bytes" in payload)
    text = body.decode("utf-8", "replace")
    if protocol == "openai-responses":
        # An item's encrypted content changes while it grows: what it is in the end is what counts.
        text = "\n".join(line for line in text.splitlines() if '"response.output_item.done"' in line)
    found = {json.loads(value) for pattern in (OPAQUE, REDACTED) for value in pattern.findall(text)}
    return found | {json.loads(detail)["data"] for detail in HIDDEN.findall(text) if '"data"' in detail}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def calls_in(value: Any) -> Iterator[tuple[str, Any]]:
    """(name, arguments) of every call in a body, whatever its wire calls them."""
    if isinstance(value, dict):
        for key in ("arguments", "args", "input"):
            if isinstance(value.get("name"), str) and key in value and value.get("type") != "server_tool_use":
                arguments = value[key]
                yield value["name"], json.loads(arguments) if isinstance(arguments, str) else arguments
                return
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from calls_in(inner)


def next_request(events: list[ms.Event], protocol: str) -> tuple[ms.Message, dict]:
    answer = ms.assistant_message(events, protocol)
    calls = [event for event in events if isinstance(event, ms.ToolCall) and event.choice == 0]
    return answer, written(protocol, answer, calls)


def written(protocol: str, answer: ms.Message, calls: list[ms.ToolCall]) -> dict:
    results = [ms.ToolResult(call.id, call.name, {"ok": True}) for call in calls]
    talk = ["Hi", answer, *([ms.tool_message(results)] if results else []), "Go on."]
    return ms.request_body(TARGETS.get(protocol, protocol), ms.Request(messages=talk, model="m"))


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in CAPTURES])
def test_capture(entry: dict) -> None:
    body = (corpus() / entry["file"]).read_bytes()
    truth = json.loads((corpus() / f"{entry['file']}.truth.json").read_bytes())
    events = decode(entry["api"], body)
    answer, request = next_request(events, entry["api"])
    text = json.dumps(request)

    assert answer.text == truth["text"]
    missing = opaque_values(entry["api"], body) - set(strings(request))
    assert missing == set()

    calls = [call for call in events if isinstance(call, ms.ToolCall) and call.choice == 0]
    assert [call.input for call in answer.tool_calls] == [call.input.decode() for call in calls]
    expected = [(c.name, c.arguments) for c in calls if c.validity == "valid" and not isinstance(c.arguments, str)]
    if all(call.validity == "valid" for call in calls):
        assert [found for found in calls_in(request) if found[0] in {c.name for c in calls}] == expected or any(
            isinstance(call.arguments, str) for call in calls
        )
    for call in calls:
        assert call.id in text
    # The SDKs' types know some of the server tools only, so these blocks, which go back verbatim, are left out.
    plain = [part for part in answer.parts if not isinstance(part, ms.messages.ProviderPart)]
    ORACLES[TARGETS.get(entry["api"], entry["api"])](written(entry["api"], ms.Message("assistant", plain), calls))


def test_the_oracle_finds_something_to_look_for() -> None:
    by_wire: dict[str, int] = {}
    for entry in CAPTURES:
        values = opaque_values(entry["api"], (corpus() / entry["file"]).read_bytes())
        by_wire[entry["api"]] = by_wire.get(entry["api"], 0) + len(values)
    rich = {"anthropic-messages", "openai-responses", "gemini", "openrouter", "bedrock-converse"}
    assert {wire for wire in by_wire if by_wire[wire]} >= rich
    assert sum(by_wire.values()) > 100
