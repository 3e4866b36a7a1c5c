"""What the encoders write, read by the clients that people have: `ai`, `openai` and `eventsource-parser` from npm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import millstream as ms
from protocols.decoding import calls_of, text_of
from protocols.encoders.expressible import encode
from protocols.encoders.npm_clients import node, require_node, serving
from protocols.encoders.test_round_trip import CAPTURES, events_of

require_node()

PER_API = 2
MAX_BYTES = 60_000


def chosen() -> list[str]:
    """Of each api the first captures that hold a whole answer of one choice."""
    found: dict[str, list[str]] = {}
    for file, (api, path) in CAPTURES.items():
        if path.stat().st_size < MAX_BYTES and len(found.get(api, ())) < PER_API and api != "mcp-sse":
            events = events_of(file)
            if events[-1].reason in ("stop", "tool_calls", "length") and not events[-1].choices:
                found.setdefault(api, []).append(file)
    return [file for files in found.values() for file in files]


CHOSEN = chosen()


def thoughts(events: list[ms.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ms.ReasoningDelta))


def refusals(events: list[ms.Event]) -> str:
    return "".join(event.note for event in events if isinstance(event, ms.Safety) and event.category == "refusal")


# --- ai: the UI message stream ---------------------------------------------------------------------------------------


def test_ai_reads_every_provider() -> None:
    """Text, reasoning, tool calls and their arguments arrive as they were decoded, with three versions of the SDK."""
    assert len({CAPTURES[file][0] for file in CHOSEN}) >= 18
    with serving("ui-message", {file: encode("ui-message", events_of(file)) for file in CHOSEN}) as urls:
        read = node("ui_message.mjs", *urls)
    assert len(read) == 3 * len(CHOSEN)
    for number, result in enumerate(read):
        events = events_of(CHOSEN[number // 3])
        assert (result["header"], result["invalid"], result["errors"]) == ("v1", [], []), CHOSEN[number // 3]
        parts = result["message"]["parts"] if result["message"] else []
        said = {kind: "".join(p["text"] for p in parts if p["type"] == kind) for kind in ("text", "reasoning")}
        assert said == {"text": text_of(events) + refusals(events), "reasoning": thoughts(events)}
        tools = [p for p in parts if p["type"].startswith("tool-") and not p.get("providerExecuted")]
        assert [(p["type"], p["input"], p["state"]) for p in tools] == [
            (f"tool-{call.name}", call.arguments, "input-available") for call in calls_of(events)
        ]
        assert all(p.get("state") in (None, "done") for p in parts if p["type"] in ("text", "reasoning"))


EVERYTHING = [
    ms.Start("m", "r"),
    ms.StepStart(1),
    ms.ReasoningDelta("hm"),
    ms.ReasoningDelta(signature="sig"),
    ms.ReasoningDelta(index=1, encrypted="gAAA", _meta={"id": "rs_1"}),
    ms.TextDelta("A"),
    ms.Citations(
        (ms.Citation("https://x.org", "X", start=0, end=1), ms.Citation(title="T"), ms.Citation("javascript:1"))
    ),
    ms.TextDelta("B\u2028"),
    ms.ToolCallDelta("c1", "f"),
    ms.ToolCallDelta("c2", "g", '{"b":', 1),
    ms.ToolCallDelta("c1", "f", '{"a":1}'),
    ms.ToolCall("c1", "f", b'{"a":1}', {"a": 1}),
    ms.ToolCall("c2", "g", b'{"b":', None, ms.events.Validity.INCOMPLETE, 1),
    ms.ToolResult("c1", "f", {"ok": [1]}),
    ms.ToolCall("c3", "h", b"{}", {}, index=2),
    ms.ToolResult("c3", "h", error="secret path"),
    ms.ToolResult("c9", "never asked", 1),
    ms.ProviderToolCall("s1", "web_search", {"q": "x"}),
    ms.ProviderToolResult("s1", "web_search", ["hit"]),
    ms.StepFinish(1),
    ms.StepStart(2),
    ms.File("image/png", b"\x89PNG"),
    ms.File("image/png", url="https://x.org/a.png"),
    ms.File("image/png", url="gs://bucket/a.png"),
    ms.Data({"n": 1}, "weather", _meta={"id": "w"}),
    ms.Data({"n": 2}, "weather", _meta={"id": "w"}),
    ms.Data("gone", _meta={"transient": True}),
    ms.ObjectDelta(("a",), "set", 1),
    ms.Handoff("other agent", {"secret": 1}),
    ms.Safety("violence", "warn", 0.5, "hm"),
    ms.Safety("refusal", "refuse", note="No."),
    ms.Raw("{}"),
    ms.Error(ms.StreamError("careful"), fatal=False),
    ms.Usage(1, 2, 3),
    ms.StepFinish(2),
    ms.Finish(ms.FinishReason.STOP, "stop"),
]


def usage_of(event: ms.Event) -> dict[str, Any] | None:
    match event:
        case ms.Start(model=model):
            return {"model": model}
        case ms.Usage(total_tokens=total):
            return {"tokens": {"total": total}}
        case ms.Finish(raw_reason=reason):
            return {"reason": reason}
    return None


def test_ai_understands_every_part() -> None:
    body = encode("ui-message", EVERYTHING, message_id="m1", metadata=usage_of)
    with serving("ui-message", {"": body}) as urls:
        for result in node("ui_message.mjs", *urls):
            assert (result["invalid"], result["errors"]) == ([], []), result["sdk"]
            message = result["message"]
            assert message["id"] == "m1"
            assert message["metadata"] == {"model": "m", "tokens": {"total": 3}, "reason": "stop"}
            assert {chunk["type"] for chunk in result["chunks"]} >= {
                "start", "start-step", "finish-step", "finish", "message-metadata", "file", "source-url",
                "source-document", "text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta",
                "reasoning-end", "tool-input-start", "tool-input-delta", "tool-input-available", "tool-input-error",
                "tool-output-available", "tool-output-error", "data-weather", "data-payload",
            }  # fmt: skip
            assert [shown(part) for part in message["parts"]] == PARTS


def shown(part: dict[str, Any]) -> tuple:
    kind = part["type"]
    marks = (part.get("providerMetadata") or {}).get("millstream")
    match kind:
        case "text" | "reasoning":
            return kind, part["text"], part["state"], marks
        case "source-url" | "source-document":
            return kind, part.get("url"), part.get("title")
        case "file":
            return kind, part["mediaType"], part["url"]
        case _ if kind.startswith("tool-"):
            outcome = part.get("output", part.get("errorText"))
            return (
                kind,
                part["toolCallId"],
                part["state"],
                part.get("input", part.get("rawInput")),
                outcome,
                part.get("providerExecuted"),
            )
        case _:
            return kind, part.get("data")


PARTS = [
    ("step-start", None),
    ("reasoning", "hm", "done", {"signature": "sig"}),
    ("reasoning", "", "done", {"encrypted": "gAAA", "id": "rs_1"}),
    ("text", "AB\u2028", "done", None),
    ("source-url", "https://x.org", "X"),
    ("source-document", None, "T"),
    ("source-document", None, "javascript:1"),
    ("tool-f", "c1", "output-available", {"a": 1}, {"ok": [1]}, None),
    ("tool-g", "c2", "output-error", '{"b":', "The input was cut off.", None),
    ("tool-h", "c3", "output-error", {}, "The tool failed.", None),
    ("tool-never asked", "c9", "output-available", None, 1, None),
    ("tool-web_search", "s1", "output-available", {"q": "x"}, ["hit"], True),
    ("step-start", None),
    ("file", "image/png", "data:image/png;base64,iVBORw=="),
    ("file", "image/png", "https://x.org/a.png"),
    ("data-file", {"mediaType": "image/png", "url": "gs://bucket/a.png"}),
    ("data-weather", {"n": 2}),
    ("data-handoff", {"target": "other agent"}),
    ("data-safety", {"category": "violence", "action": "warn", "score": 0.5, "note": "hm"}),
    ("text", "No.", "done", {"refusal": True}),
]


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ([ms.Error(ms.RateLimited("org-123 has no quota")), ms.Finish(ms.FinishReason.ERROR)], "Too many requests"),
        ([ms.Finish(ms.FinishReason.ERROR)], "An error occurred"),
        ([ms.Finish(ms.FinishReason.INCOMPLETE)], "broke off"),
        ([], None),
    ],
    ids=["error", "error without cause", "cut off", "closed"],
)
def test_ai_is_told_of_a_bad_end(ends: list[ms.Event], error: str | None) -> None:
    body = encode("ui-message", [ms.Start(), ms.TextDelta("Hi"), *ends])
    with serving("ui-message", {"": body}) as urls:
        for result in node("ui_message.mjs", *urls):
            assert [error in text for text in result["errors"]] == [True] * (error is not None)
            assert result["message"]["parts"][-1] == {"type": "text", "text": "Hi", "state": "done"}
            assert ("abort" in [chunk["type"] for chunk in result["chunks"]]) is (error is None)
            assert result["invalid"] == []


def test_use_chat_reads_through_its_transport() -> None:
    with serving("ui-message", {"": encode("ui-message", EVERYTHING)}) as urls:
        (result,) = node("chat_transport.mjs", *urls)
    assert [shown(part) for part in result["message"]["parts"]] == PARTS
    assert result["finish"]["finishReason"] == "stop"


# --- openai ----------------------------------------------------------------------------------------------------------


def test_openai_accumulates_chat_completions() -> None:
    files = [file for file in CHOSEN if not refusals(events_of(file))]
    with serving("openai-chat", {file: encode("openai-chat", events_of(file)) for file in files}) as urls:
        read = node("openai.mjs", "chat", *urls)
    for file, result in zip(files, read, strict=True):
        events = events_of(file)
        assert "error" not in result, (file, result)
        (choice,) = result["final"]["choices"]
        assert (choice["message"].get("content") or "") == text_of(events)
        calls = [call["function"] for call in choice["message"].get("tool_calls") or ()]
        assert [(c["name"], json.loads(c["arguments"])) for c in calls] == [
            (call.name, call.arguments) for call in calls_of(events)
        ]


def test_openai_accumulates_responses() -> None:
    """From the deltas alone, from the items alone and with the final response, it is what was sent."""
    files = CHOSEN
    bodies = {file: encode("openai-responses", events_of(file)) for file in files}
    deltas = {file + " deltas": without(body, ".done", "output") for file, body in bodies.items()}
    items = {file + " items": without(body, "no such kind", "output") for file, body in bodies.items()}
    with serving("openai-responses", bodies | deltas | items) as urls:
        read = node("openai.mjs", "responses", *urls)
    n = len(files)
    for file, whole, by_delta, by_item in zip(files, read[:n], read[n : 2 * n], read[2 * n :], strict=True):
        events = events_of(file)
        final = ended(bodies[file])["response"]
        assert [result.get("error") for result in (whole, by_delta, by_item)] == [None] * 3, file
        assert bare(whole["final"]["output"]) == bare(by_item["final"]["output"]) == bare(final["output"])
        assert words(by_delta["final"]["output"]) == words(final["output"])
        assert whole["final"]["output_text"] == text_of(events)
        assert whole["final"]["usage"] == final["usage"]
        calls = [item for item in final["output"] if item["type"] == "function_call"]
        assert [(item["name"], json.loads(item["arguments"])) for item in calls] == [
            (call.name, call.arguments) for call in calls_of(events)
        ]


def messages(body: bytes) -> list[dict[str, Any]]:
    parser = ms.SSEParser()
    return [message.json() for message in parser.feed(body) + parser.close()]


def ended(body: bytes) -> dict[str, Any]:
    return messages(body)[-1]


def without(body: bytes, kind: str, member: str) -> bytes:
    """Take messages out, and a member of the last response; without the items' ends it cannot be called complete."""
    kept = [message for message in messages(body) if not message["type"].endswith(kind)]
    kept[-1]["response"].pop(member)
    if kind == ".done":
        kept[-1]["type"] = "response.incomplete"
    return b"".join(f"event: {m['type']}\ndata: {json.dumps(m)}\n\n".encode() for m in kept)


def bare(value: Any) -> Any:
    """The SDK adds what it parsed."""
    if isinstance(value, dict):
        return {key: bare(member) for key, member in value.items() if not key.startswith("parsed")}
    return [bare(member) for member in value] if isinstance(value, list) else value


def words(output: list[dict[str, Any]]) -> list[tuple]:
    said = []
    for item in output:
        parts = item.get("content", item.get("summary", ()))
        told = [(part["type"], part.get("text", part.get("refusal"))) for part in parts]
        said.append((item["type"], item["id"], item.get("call_id"), item.get("arguments"), told))
    return said


def test_openai_interleaves_parallel_calls() -> None:
    body = encode("openai-responses", [event for event in EVERYTHING[:13] if not isinstance(event, ms.StepStart)]
                  + [ms.Finish(ms.FinishReason.LENGTH)])  # fmt: skip
    with serving("openai-responses", {"": body, "deltas": without(body, ".done", "output")}) as urls:
        for result in node("openai.mjs", "responses", *urls):
            output = result["final"]["output"]
            calls = [(item["call_id"], item["arguments"]) for item in output if item["type"] == "function_call"]
            assert calls == [("c1", '{"a":1}'), ("c2", '{"b":')]


@pytest.mark.parametrize("protocol", ["openai-responses", "openai-chat"])
def test_openai_is_told_of_an_error(protocol: str) -> None:
    events = [ms.Start("m", "r"), ms.TextDelta("Hi"), ms.Error(ms.RateLimited("no money", code="insufficient_quota"))]
    with serving(protocol, {"": encode(protocol, [*events, ms.Finish(ms.FinishReason.ERROR)])}) as urls:
        (result,) = node("openai.mjs", protocol.removeprefix("openai-"), *urls)
    assert (result["error"]["name"], result["error"]["code"]) == ("APIError", "insufficient_quota")
    assert "no money" in result["error"]["message"]


# --- eventsource-parser ----------------------------------------------------------------------------------------------

SSE_ENCODERS = [name for name in ms.protocols.encoder_names() if "event-stream" in ms.encoder(name).media_type]


def test_eventsource_parser_sees_the_same_messages(tmp_path: Path) -> None:
    files: dict[Path, bytes] = {}
    for name in SSE_ENCODERS:
        options = {"request_id": 1, "progress_token": "p"} if name == "mcp-sse" else {}
        for number, events in enumerate([EVERYTHING, HOSTILE, *map(events_of, CHOSEN[::5])]):
            path = tmp_path / f"{name}-{number}.sse"
            files[path] = encode(name, events, **options)
            path.write_bytes(files[path])
    read = node("eventsource.mjs", *map(str, files))
    for path, result in zip(files, read, strict=True):
        parser = ms.SSEParser()
        ours = [[m.event, None, m.data] for m in parser.feed(files[path]) + parser.close()]
        assert ours, path
        assert result["whole"] == result["bytewise"] == {"messages": ours, "errors": []}, path


NASTY = "a\r\n\n\ndata: x\r\rid: 1\0\u2028\u2029\x85\ufeff😀"
HOSTILE = [
    ms.Start(NASTY, NASTY),
    ms.TextDelta(NASTY),
    ms.ReasoningDelta(NASTY, signature=NASTY),
    ms.ToolCallDelta(NASTY, NASTY, NASTY),
    ms.ToolCall(NASTY, NASTY, NASTY.encode(), None, ms.events.Validity.INVALID),
    ms.Citations((ms.Citation(NASTY, NASTY, NASTY, NASTY),)),
    ms.Data(NASTY, "x"),
    ms.Usage(1, 2, 3),
    ms.Finish(ms.FinishReason.STOP, NASTY),
]
