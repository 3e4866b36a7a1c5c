"""MCP, written: JSON-RPC passed on, or an answer as the result of a tool call."""

from __future__ import annotations

from typing import Any

import pytest

import millstream as ms
from millstream.errors import EncodeError, UsageError
from protocols.decoding import decode, errors_of
from protocols.encoders.expressible import encode

NOTE = '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
RESULT = '{"jsonrpc":"2.0","id":1,"result":{}}'
STOP = ms.Finish(ms.FinishReason.STOP)


def messages(*events: ms.Event, **options: Any) -> list[dict[str, Any]]:
    parser = ms.SSEParser()
    body = encode("mcp-sse", events, **options)
    found = parser.feed(body) + parser.close()
    assert all(message.event == "message" for message in found)
    return [message.json() for message in found]


def test_what_was_read_is_passed_on_as_it_came() -> None:
    events = [ms.Start(), ms.Raw(NOTE, "message"), ms.Raw(NOTE + "\n", "message"), ms.Raw(RESULT, "message"), STOP]
    body = encode("mcp-sse", events)
    assert body.startswith(b"event: message\ndata: " + NOTE.encode() + b"\n\n")
    assert decode("mcp-sse", body) == events


def test_nothing_comes_after_the_response() -> None:
    assert len(messages(ms.Raw(RESULT), ms.Raw(NOTE), ms.Raw(RESULT), STOP)) == 1


@pytest.mark.parametrize("data", ["{}", "[1]", "oops", '{"jsonrpc":"1.0"}', '"jsonrpc"', ""])
def test_raw_of_other_wires_stays_here(data: str) -> None:
    assert messages(ms.Raw(data), STOP) == []


ANSWER = [
    ms.Start("m", "r"), ms.ReasoningDelta("hm"), ms.TextDelta("He"), ms.TextDelta("y"), ms.TextDelta("no", choice=1),
    ms.File("image/png", b"x"), ms.File("application/pdf", b"x"), ms.File("text/plain", url="https://x/a"),
    ms.Citations((ms.Citation("https://x", "X"), ms.Citation(title="no address"))), ms.TextDelta("End"),
    ms.File("a/b"),
]  # fmt: skip


def test_an_answer_is_the_result_of_a_tool_call() -> None:
    assert messages(*ANSWER, STOP, request_id=7) == [
        {
            "jsonrpc": "2.0",
            "id": 7,
            "result": {
                "content": [
                    {"type": "text", "text": "Hey"},
                    {"type": "image", "data": "eA==", "mimeType": "image/png"},
                    {
                        "type": "resource",
                        "resource": {"uri": "file:///2", "mimeType": "application/pdf", "blob": "eA=="},
                    },
                    {"type": "resource_link", "uri": "https://x/a", "name": "https://x/a", "mimeType": "text/plain"},
                    {"type": "resource_link", "uri": "https://x", "name": "X"},
                    {"type": "text", "text": "End"},
                ],
                "isError": False,
            },
        }
    ]
    assert messages(*ANSWER, STOP) == []


def test_progress_is_told_and_grows() -> None:
    *told, last = messages(*ANSWER, STOP, request_id="a", progress_token="p")
    assert [note["params"] for note in told] == [
        {"progressToken": "p", "progress": number, "message": text} for number, text in enumerate(["He", "y", "End"], 1)
    ]
    assert all(note["method"] == "notifications/progress" and "id" not in note for note in told)
    assert last["id"] == "a"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ms.ProviderError("no", code="-32000"), -32000),
        (ms.InvalidRequest("no", code="-32602"), -32602),
        (ms.InvalidRequest("no"), -32600),
        (ms.RateLimited("no", code="slow"), -32603),
        (ms.StreamError("no"), -32603),
    ],
)
def test_an_error_is_an_error_response_and_comes_back(error: ms.StreamError, code: int) -> None:
    events = [ms.Start(), ms.Error(error), ms.Finish(ms.FinishReason.ERROR)]
    (said,) = messages(*events, request_id=1)
    assert said == {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}}
    (again,) = errors_of(decode("mcp-sse", encode("mcp-sse", events)))
    assert again.code == str(code)
    assert isinstance(again, ms.InvalidRequest) is isinstance(error, ms.InvalidRequest)


def test_an_end_by_error_without_an_error_is_an_error() -> None:
    assert messages(ms.Finish(ms.FinishReason.ERROR), request_id=1)[0]["error"]["code"] == -32603


@pytest.mark.parametrize("ends", [[ms.Finish(ms.FinishReason.INCOMPLETE)], []])
def test_an_answer_that_broke_off_gets_no_response(ends: list[ms.Event]) -> None:
    body = encode("mcp-sse", [ms.Start(), ms.TextDelta("A"), *ends], request_id=1, progress_token=1)
    assert decode("mcp-sse", body)[-1].reason == "incomplete"


def test_order_of_life() -> None:
    encoder = ms.encoder("mcp", request_id=1)
    assert ms.encoder("mcp").close() == b""
    assert b"result" in encoder.encode(STOP)
    assert encoder.encode(ms.Raw(NOTE)) == encoder.encode(ms.Error(ms.StreamError("late"))) == b""
    assert encoder.close() == encoder.close() == b""
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(STOP)


NASTY = "\r\n\ndata: {}\r\rid: 1\0\u2028\u2029\x85"


def every_field(nasty: str) -> list[ms.Event]:
    return [
        ms.TextDelta(nasty), ms.File(nasty, b"x"), ms.File("a/b", url=nasty), ms.Citations((ms.Citation(nasty),)),
        ms.Citations((ms.Citation("https://x", nasty),)), ms.Error(ms.StreamError(nasty)), ms.Raw(nasty),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(every_field(""))))
def test_no_value_breaks_the_framing(number: int) -> None:
    options = {"request_id": NASTY, "progress_token": NASTY}
    said = messages(every_field(NASTY)[number], STOP, **options)
    assert len(said) == len(messages(every_field("tame")[number], STOP, **options))


UNWRITABLE = [
    event for event in every_field("\ud800")[:-1] if type(event) is not ms.Error
]  # an error's words always are


@pytest.mark.parametrize("event", UNWRITABLE, ids=lambda event: event.type)
def test_what_json_cannot_carry_is_refused_and_changes_nothing(event: ms.Event) -> None:
    encoder = ms.encoder("mcp-sse", request_id=1)
    out = encoder.encode(ms.TextDelta("A"))
    with pytest.raises(EncodeError):
        encoder.encode(event)
    out += encoder.encode(ms.TextDelta("B")) + encoder.encode(STOP)
    assert out == encode("mcp-sse", [ms.TextDelta("AB"), STOP], request_id=1)


def test_a_name_that_breaks_the_framing_is_refused() -> None:
    with pytest.raises(EncodeError, match="event"):
        ms.encoder("mcp").encode(ms.Raw(NOTE, "a\nb"))
