"""The UI message stream: its parts, its steps, and what a browser is not told. The AI SDK itself: test_npm_clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

import millstream as ms
from millstream.errors import EncodeError, UsageError
from protocols.encoders.expressible import encode

STOP = ms.Finish(ms.FinishReason.STOP)


def chunks(*events: ms.Event, **options: Any) -> list[dict[str, Any]]:
    """Without start, the one step, finish and `[DONE]`."""
    whole = everything(ms.Start(), *events, STOP, **options)
    assert whole[0]["type"] == "start"
    assert whole[-2:] == [{"type": "finish", "finishReason": "stop"}, "[DONE]"]
    inner = whole[1:-2]
    if inner and inner[0]["type"] == "start-step":
        assert inner[-1] == {"type": "finish-step"}
        inner = inner[1:-1]
    return inner


def everything(*events: ms.Event, **options: Any) -> list[Any]:
    parser = ms.SSEParser()
    body = encode("ui-message", events, **options)
    found = parser.feed(body) + parser.close()
    assert all(message.event == "message" for message in found)
    return [message.data if message.data == "[DONE]" else json.loads(message.data) for message in found]


def kinds(*events: ms.Event, **options: Any) -> list[str]:
    return [chunk if isinstance(chunk, str) else chunk["type"] for chunk in everything(*events, **options)]


def test_the_header_of_version_1() -> None:
    encoder = ms.encoder("ui-message")
    assert encoder.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert encoder.media_type.startswith("text/event-stream")


def test_the_whole_form() -> None:
    assert everything(ms.Start("m", "r"), ms.TextDelta("He"), ms.TextDelta("y"), ms.Usage(1), STOP) == [
        {"type": "start"},
        {"type": "start-step"},
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "He"},
        {"type": "text-delta", "id": "text-1", "delta": "y"},
        {"type": "text-end", "id": "text-1"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
        "[DONE]",
    ]


def test_one_part_at_a_time_says_something() -> None:
    said = chunks(
        ms.ReasoningDelta("a"), ms.TextDelta("b"), ms.TextDelta("c", 1), ms.ToolCall("x", "f"), ms.TextDelta("d", 1)
    )
    assert [(c["type"], c.get("id")) for c in said] == [
        ("reasoning-start", "reasoning-1"), ("reasoning-delta", "reasoning-1"), ("reasoning-end", "reasoning-1"),
        ("text-start", "text-2"), ("text-delta", "text-2"), ("text-end", "text-2"),
        ("text-start", "text-3"), ("text-delta", "text-3"), ("text-end", "text-3"),
        ("tool-input-available", None),
        ("text-start", "text-4"), ("text-delta", "text-4"), ("text-end", "text-4"),
    ]  # fmt: skip


def marks(said: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(c["type"], c["providerMetadata"]["millstream"]) for c in said if "providerMetadata" in c]


def test_a_signature_ends_its_part() -> None:
    said = chunks(ms.ReasoningDelta("a"), ms.ReasoningDelta(signature="s"), ms.ReasoningDelta("b", signature="t"))
    assert marks(said) == [("reasoning-end", {"signature": "s"}), ("reasoning-end", {"signature": "t"})]
    assert [c["type"] for c in said].count("reasoning-start") == 2


def test_encrypted_reasoning_is_a_part_without_words() -> None:
    said = chunks(ms.TextDelta("A"), ms.ReasoningDelta("", 1, encrypted="e", _meta={"id": "rs_1", "other": 1}))
    assert [c["type"] for c in said[3:]] == ["reasoning-start", "reasoning-end"]
    assert marks(said) == [("reasoning-end", {"encrypted": "e", "id": "rs_1"})]


def test_a_signature_of_another_part_goes_with_that_part() -> None:
    """As Gemini sends it: just before the part that it belongs to."""

    def signed(name: str, part: str) -> ms.ReasoningDelta:
        return ms.ReasoningDelta(signature=name, _meta={"part": part})

    said = chunks(
        signed("s", "functionCall"), ms.ToolCallDelta("a", "f"), ms.ToolCall("a", "f"), ms.TextDelta("A"),
        signed("t", "text"), ms.TextDelta("B"), signed("u", "text"), ms.TextDelta("C"), signed("v", "text"),
    )  # fmt: skip
    assert marks(said) == [
        ("tool-input-start", {"signature": "s", "part": "functionCall"}),
        ("text-end", {"signature": "t", "part": "text"}),
        ("text-end", {"signature": "u", "part": "text"}),
        ("reasoning-end", {"signature": "v", "part": "text"}),
    ]
    assert "".join(c.get("delta", "") for c in said) == "ABC"


def test_steps() -> None:
    run = [
        ms.StepStart(1), ms.TextDelta("A"), ms.ToolCall("a", "f"), ms.ToolResult("a", "f", 1), ms.StepFinish(1),
        ms.StepStart(2), ms.TextDelta("B"), ms.StepStart(3), ms.TextDelta("C"), ms.StepFinish(3),
    ]  # fmt: skip
    assert [kind for kind in kinds(*run, STOP) if "step" in kind] == ["start-step", "finish-step"] * 3
    assert kinds(STOP) == ["start", "finish", "[DONE]"]


def test_tool_calls() -> None:
    said = chunks(
        ms.ToolCallDelta("a", "f"), ms.ToolCallDelta("b", "g", '{"x":', 1), ms.ToolCallDelta("a", "f", "{}"),
        ms.ToolCall("b", "g", b'{"x":1}', {"x": 1}, index=1), ms.ToolCall("a", "f", b"{}", {}),
        ms.ToolCall("c", "h", b"oops", None, ms.events.Validity.INVALID, 2),
    )  # fmt: skip
    assert said == [
        {"type": "tool-input-start", "toolCallId": "a", "toolName": "f"},
        {"type": "tool-input-start", "toolCallId": "b", "toolName": "g"},
        {"type": "tool-input-delta", "toolCallId": "b", "inputTextDelta": '{"x":'},
        {"type": "tool-input-delta", "toolCallId": "a", "inputTextDelta": "{}"},
        {"type": "tool-input-available", "toolCallId": "b", "toolName": "g", "input": {"x": 1}},
        {"type": "tool-input-available", "toolCallId": "a", "toolName": "f", "input": {}},
        {
            "type": "tool-input-error", "toolCallId": "c", "toolName": "h", "input": "oops",
            "errorText": "The input is not JSON.",
        },
    ]  # fmt: skip


def test_a_call_that_nobody_completed_is_an_input_error() -> None:
    (_, _, last) = chunks(ms.ToolCallDelta("a", "f", "{}"))
    assert (last["type"], last["input"], last["errorText"]) == ("tool-input-error", "{}", "The input was cut off.")


def test_results_find_their_calls() -> None:
    """By id; by name where the provider gives no ids; the second of two calls with one id gets its own."""
    said = chunks(
        ms.ToolCall("", "f"), ms.ToolCall("", "g"), ms.ToolCall("a", "h"), ms.ToolCall("a", "h"),
        ms.ToolResult("", "g", 1), ms.ToolResult("", "f", 2), ms.ToolResult("a", "h", 3), ms.ToolResult("a", "h", 4),
        ms.ToolResult("a", "h", 5),
    )  # fmt: skip
    assert [c["toolCallId"] for c in said[:4]] == ["call_0", "call_1", "a", "a_2"]
    assert [(c["toolCallId"], c["output"]) for c in said[4:]] == [
        ("call_1", 1), ("call_0", 2), ("a", 3), ("a_2", 4), ("a", 5),
    ]  # fmt: skip


def test_a_result_of_an_unknown_call_announces_it() -> None:
    known = {"toolCallId": "x", "toolName": "f"}
    assert chunks(ms.ToolResult("x", "f", 1), ms.ToolResult("x", "f", 2)) == [
        {"type": "tool-input-available", **known, "input": None},
        {"type": "tool-output-available", "toolCallId": "x", "output": 1},
        {"type": "tool-output-available", "toolCallId": "x", "output": 2},
    ]


def test_tools_of_the_provider() -> None:
    said = chunks(
        ms.ProviderToolCall("a", "web_search", {"q": "x"}), ms.ProviderToolResult("a", "web_search", error="no")
    )
    assert [(c["type"], c["toolCallId"], c["providerExecuted"]) for c in said] == [
        ("tool-input-available", "a", True), ("tool-output-error", "a", True),
    ]  # fmt: skip


SECRETS = [
    ms.Error(ms.AuthError("the key sk-secret of org-secret is wrong", code="secret", body=b"secret")),
    ms.Error(ms.RateLimited("secret")),
    ms.ToolResult("a", "f", error="secret"),
    ms.ProviderToolResult("a", "f", error="secret"),
    ms.Raw("secret"),
    ms.Handoff("agent", {"prompt": "secret"}),
    ms.Usage(1, raw={"secret": 1}),
    ms.Error(ms.StreamError("secret"), fatal=False),
]


@pytest.mark.parametrize("event", SECRETS, ids=lambda event: event.type)
def test_a_browser_is_not_told_what_others_said(event: ms.Event) -> None:
    assert b"secret" not in encode("ui-message", [ms.Start(), event, STOP])


@pytest.mark.parametrize("event", SECRETS[:4], ids=lambda event: event.type)
def test_unless_the_server_says_so(event: ms.Event) -> None:
    assert b"secret" in encode("ui-message", [ms.Start(), event, STOP], expose_errors=True)


BAD_URLS = [
    "javascript:alert(1)",
    " JavaScript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "java\nscript:x",
    "//x",
    "httpx://",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_runs_is_no_link(url: str) -> None:
    source, file = chunks(ms.Citations((ms.Citation(url),)), ms.File("image/png", url=url))
    assert (source["type"], source["title"]) == ("source-document", url)
    assert (file["type"], file["data"]["url"]) == ("data-file", url)


def test_files() -> None:
    types = ["image/png", "audio/L16; rate=24000", "text/html,<script>", "", "a/b;base64,x"]
    assert [c["url"].partition(",")[0] for c in chunks(*(ms.File(kind, b"x") for kind in types))] == [
        "data:image/png;base64",
        "data:audio/L16;rate=24000;base64",
        *["data:application/octet-stream;base64"] * 3,
    ]
    assert chunks(ms.File("image/png")) == []


def test_metadata_goes_where_the_server_says() -> None:
    def told(event: ms.Event) -> dict[str, Any] | None:
        return {"kind": event.type} if isinstance(event, ms.Start | ms.Usage | ms.Finish) else None

    assert [c for c in everything(ms.Start(), ms.Usage(1), STOP, metadata=told, message_id="m") if c != "[DONE]"] == [
        {"type": "start", "messageId": "m", "messageMetadata": {"kind": "start"}},
        {"type": "message-metadata", "messageMetadata": {"kind": "usage"}},
        {"type": "finish", "finishReason": "stop", "messageMetadata": {"kind": "finish"}},
    ]


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "tool-calls"), ("content_filter", "content-filter"),
     ("pause", "other"), ("other", "other"), ("error", "error"), ("incomplete", "error")],
)  # fmt: skip
def test_how_it_ended(reason: str, word: str) -> None:
    said = everything(ms.Start(), ms.TextDelta("A"), ms.Finish(ms.FinishReason(reason)))
    assert said[-2] == {"type": "finish", "finishReason": word}
    assert ("error" in [c["type"] for c in said[:-1]]) is (word == "error")


def test_one_error_is_told_once() -> None:
    error = ms.Error(ms.StreamError("a"))
    said = kinds(ms.TextDelta("A"), error, error, ms.Finish(ms.FinishReason.ERROR))
    assert said[-5:] == ["text-end", "error", "finish-step", "finish", "[DONE]"]
    assert kinds(ms.TextDelta("A"), error)[-4:] == ["text-end", "error", "finish-step", "[DONE]"]


def test_what_is_closed_without_finish_is_aborted() -> None:
    assert kinds(ms.Start(), ms.TextDelta("A"))[-3:] == ["text-end", "abort", "[DONE]"]


UNSPEAKABLE = [
    ms.TextDelta("A", choice=1), ms.ReasoningDelta("A", choice=1), ms.ReasoningDelta(_meta={"id": "rs_1"}),
    ms.ToolCallDelta("a", "f", choice=1), ms.ToolCall("a", "f", choice=1), ms.Safety("violence", "pass"),
    ms.Safety("refusal", "refuse"), ms.Safety("violence", "block", choice=1), ms.File("image/png"), ms.Raw("{}"),
    ms.Error(ms.StreamError("careful"), fatal=False), ms.Usage(1), ms.Start(), ms.StepFinish(1),
]  # fmt: skip


@pytest.mark.parametrize("event", UNSPEAKABLE, ids=lambda event: event.type)
def test_what_the_wire_cannot_say_is_nothing(event: ms.Event) -> None:
    encoder = ms.encoder("ui-message")
    encoder.encode(ms.Start())
    assert encoder.encode(event) == b""


def test_order_of_life() -> None:
    assert everything(ms.TextDelta("A"), STOP) == everything(ms.Start(), ms.TextDelta("A"), STOP)
    assert ms.encoder("ui-message").close() == b""
    encoder = ms.encoder("ui-message", metadata=lambda event: {"a": 1})
    encoder.encode(STOP)
    assert encoder.encode(ms.TextDelta("late")) == encoder.encode(ms.Error(ms.StreamError("late"))) == b""
    assert (encoder.close(), encoder.close()) == (b"data: [DONE]\n\n", b"")
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(ms.TextDelta("A"))


def every_field(nasty: str) -> list[ms.Event]:
    return [
        ms.TextDelta(nasty), ms.ReasoningDelta(nasty), ms.ReasoningDelta(signature=nasty),
        ms.ReasoningDelta(encrypted=nasty), ms.ReasoningDelta(encrypted="e", _meta={"id": nasty}),
        ms.ReasoningDelta(signature="e", _meta={"part": nasty}), ms.Safety("refusal", "refuse", note=nasty),
        ms.Safety(nasty), ms.Safety("a", nasty), ms.Safety("a", note=nasty), ms.Citations((ms.Citation(nasty),)),
        ms.Citations((ms.Citation("https://x", nasty),)), ms.Citations((ms.Citation(source=nasty),)),
        ms.Citations((ms.Citation("https://x", text=nasty),)), ms.File("image/png", url="https://" + nasty),
        ms.File("image/png", url=nasty), ms.ToolCallDelta(nasty, "f"), ms.ToolCallDelta("b", nasty, index=1),
        ms.ToolCallDelta("b", "f", nasty, 1), ms.ToolCall(nasty, "f"), ms.ToolCall("b", nasty, index=1),
        ms.ToolCall("b", "f", b"", {nasty: 1}, index=1), ms.ToolResult(nasty, "f"), ms.ToolResult("b", nasty),
        ms.ToolResult("a", "f", nasty), ms.ToolResult("a", "f", error=nasty), ms.ProviderToolCall(nasty, "f"),
        ms.ProviderToolCall("b", nasty), ms.ProviderToolCall("b", "f", nasty), ms.ProviderToolResult("b", "f", nasty),
        ms.Data(nasty), ms.Data(1, nasty), ms.Data(1, _meta={"id": nasty}), ms.ObjectDelta((nasty,), "set", 1),
        ms.ObjectDelta((), "set", nasty), ms.Handoff(nasty), ms.Error(ms.StreamError(nasty)),
    ]  # fmt: skip


NASTY = "\r\n\ndata: {}\r\rid: 1\0\u2028\u2029\x85"


@pytest.mark.parametrize("number", range(len(every_field(""))))
def test_no_value_breaks_the_framing(number: int) -> None:
    """As many messages come out as for a tame value."""
    nasty, tame = every_field(NASTY)[number], every_field("tame")[number]
    said = everything(ms.Start(NASTY, NASTY), nasty, STOP, expose_errors=True, message_id=NASTY)
    assert len(said) == len(everything(ms.Start(), tame, STOP, expose_errors=True))


# The words of an error can always be written.
UNWRITABLE = [i for i, event in enumerate(every_field("\ud800")) if type(event) is not ms.Error]


@pytest.mark.parametrize("said", [[], [ms.TextDelta("A")]], ids=["silent", "in a text"])
@pytest.mark.parametrize("number", UNWRITABLE)
def test_what_json_cannot_carry_is_refused_and_changes_nothing(number: int, said: list[ms.Event]) -> None:
    encoder = ms.encoder("ui-message", expose_errors=True)
    before = [ms.Start(), ms.ToolCallDelta("a", "f", "{"), *said]
    after = [ms.TextDelta("B"), ms.ToolCall("a", "f", b"{}", {}), ms.ToolResult("a", "f", 1), STOP]
    out = b"".join(map(encoder.encode, before))
    with pytest.raises(EncodeError):
        encoder.encode(every_field("\ud800")[number])
    out += b"".join(map(encoder.encode, after)) + encoder.close()
    assert out == encode("ui-message", [*before, *after])
