"""Gemini by hand, over both framings; and the assembling of streamed arguments."""

from __future__ import annotations

import base64
import json

import pytest

import millstream as ms
from millstream.protocols._partial_args import PartialArgs
from protocols.decoding import calls_of, check_lifecycle, decode, errors_of, pieces, sse, text_of, wire


def array(*messages) -> bytes:
    return b"[" + b"\n,\r\n".join(json.dumps(message, indent=2).encode() for message in messages) + b"\n]\n"


def run(*messages) -> list[ms.Event]:
    """Both framings mean the same."""
    events = decode("google", sse(*messages).replace(b"\n", b"\r\n"))
    check_lifecycle(events)
    body = array(*messages)
    for size in (1, 1000):
        assert [e for e in wire(decode("gemini-json-array", *pieces(body, size))) if b'"raw"' not in e] == [
            e for e in wire(events) if b'"raw"' not in e
        ]
    return events


def chunk(*parts: dict, reason: str | None = None, index: int = 0, **more) -> dict:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index, **more}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})]}


STOP = chunk(reason="STOP")


def call(**more) -> dict:
    return {"functionCall": more}


def piece(path: str, **more) -> dict:
    return {"jsonPath": path, **more}


def test_text_thoughts_and_cumulative_usage() -> None:
    first = {"promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 6}
    last = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4}
    events = run(
        chunk({"text": "hm", "thought": True}) | {"usageMetadata": first, "modelVersion": "m", "responseId": "r"},
        chunk({"text": "Hi"}, {"text": ""}, reason="STOP"),
        {"usageMetadata": last},
    )
    total = ms.Usage(5, 2, 7, 4, None, 3, last)
    assert events == [
        ms.Start("m", "r"),
        ms.ReasoningDelta("hm"),
        ms.TextDelta("Hi"),
        total,
        ms.Finish(ms.FinishReason.STOP, "STOP", total),
    ]


def test_signatures_stand_before_their_part() -> None:
    events = run(
        chunk({"text": "hm", "thought": True, "thoughtSignature": "s0"}),
        chunk({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s1"}),
        chunk({"text": "", "thoughtSignature": "s2"}, reason="STOP"),
    )
    assert events[1:-1] == [
        ms.ReasoningDelta("hm", signature="s0"),
        ms.ReasoningDelta(signature="s1", _meta={"part": "functionCall"}),
        ms.ToolCallDelta("", "f", "{}"),
        ms.ToolCall("", "f", b"{}", {}),
        ms.ReasoningDelta(signature="s2", _meta={"part": ""}),
    ]


def test_a_signed_text_keeps_its_words_and_the_order_of_members_says_nothing() -> None:
    events = run(
        chunk({"thought": False, "text": "Hi", "thoughtSignature": "s1"}),
        chunk({"thoughtSignature": "s2", "thought": False, "functionCall": {"name": "f", "args": {}}}, reason="STOP"),
    )
    assert events[1:-1] == [
        ms.ReasoningDelta(signature="s1", _meta={"part": "text"}),
        ms.TextDelta("Hi"),
        ms.ReasoningDelta(signature="s2", _meta={"part": "functionCall"}),
        ms.ToolCallDelta("", "f", "{}"),
        ms.ToolCall("", "f", b"{}", {}),
    ]


def test_parallel_whole_calls() -> None:
    events = run(
        chunk(call(id="a", name="f", args={"x": 1}), call(name="f", args={"x": 2}), call(name="g"), reason="STOP")
    )
    assert [(c.id, c.name, c.arguments, c.index) for c in calls_of(events)] == [
        ("a", "f", {"x": 1}, 0),
        ("", "f", {"x": 2}, 1),
        ("", "g", {}, 2),
    ]
    assert (events[-1].reason, events[-1].raw_reason) == ("tool_calls", "STOP")


@pytest.mark.parametrize("ended", [True, False])
def test_streamed_arguments(ended: bool) -> None:
    """The empty functionCall at the end can be missing."""
    end = [chunk(call())] if ended else []
    messages = [
        chunk(call(name="f", willContinue=True)),
        chunk(call(partialArgs=[piece("$.city", stringValue='Bo"s', willContinue=True)], willContinue=True)),
        chunk(call(partialArgs=[piece("$.city", stringValue="ton")], willContinue=True)),
        *end,
        chunk(call(name="g", willContinue=True), reason="STOP"),
        *end,
        STOP,
    ]
    events = run(*messages)
    assert [(c.name, c.arguments, c.validity) for c in calls_of(events)] == [
        ("f", {"city": 'Bo"ston'}, "valid"),
        ("g", {}, "valid"),
    ]
    joined = "".join(e.arguments for e in events if isinstance(e, ms.ToolCallDelta) and e.index == 0)
    assert joined.encode() == calls_of(events)[0].input


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY", "SOMETHING_NEW", None])
@pytest.mark.parametrize("value", ["Bos", None])
def test_streamed_arguments_that_were_cut_off(reason: str | None, value: str | None) -> None:
    part = call(name="f", willContinue=True, partialArgs=[piece("$.city", stringValue=value)] if value else [])
    events = decode("gemini", sse(chunk(part), chunk(reason=reason)))
    assert [c.validity for c in calls_of(events)] == ["incomplete"]
    assert calls_of(decode("gemini-json-array", array(chunk(part), chunk(reason=reason)))) == calls_of(events)


def test_arguments_beside_pieces_and_pieces_of_no_call() -> None:
    events = run(chunk(call(), call(partialArgs=[piece("$.x", numberValue=1)])), STOP)
    assert calls_of(events) == []
    events = run(chunk(call(name="f", args={"x": 1}, partialArgs=[piece("$.x", numberValue=2)])), STOP)
    assert calls_of(events)[0].arguments == {"x": 1}


def test_arguments_that_are_text_and_no_json_are_given_at_the_end_and_not_as_complete() -> None:
    events = run(chunk(call(name="f", args="{oops"), call(name="g", args={})), STOP)
    assert [(one.name, one.input, one.validity) for one in calls_of(events)] == [
        ("g", b"{}", "valid"),
        ("f", b"{oops", "incomplete"),
    ]


@pytest.mark.parametrize("again", [{"numberValue": 2}, {"stringValue": "x"}])
def test_a_piece_out_of_order_is_an_error(again: dict) -> None:
    pieces_ = [piece("$.a", numberValue=1), piece("$.a", **again)]
    events = decode("gemini", sse(chunk(call(name="f", partialArgs=pieces_)), STOP))
    assert [type(error) for error in errors_of(events)] == [ms.errors.ProtocolError]
    assert [c.validity for c in calls_of(events)] == ["incomplete"]


def assemble(*pieces_: dict) -> object:
    args = PartialArgs()
    return json.loads("".join(args.add(one) for one in pieces_) + args.close())


def test_assembling_nested_arguments() -> None:
    assert assemble() == {}
    assert assemble(
        piece("$.a.b[0].c", stringValue="x", willContinue=True),
        piece("$.a.b[0].c", stringValue="\u20acy"),
        piece("$.a.b[0].d", numberValue=2.5),
        piece("$.a.b[1][0]", numberValue=3.0),
        piece("$.a.b[1][1]", boolValue=False),
        piece("$.a.e", nullValue=None),
        piece("$['odd.key']", stringValue=""),
        piece('$["x y"]', nullValue="NULL_VALUE"),
        piece("$.nothing", willContinue=True),
    ) == {"a": {"b": [{"c": "x\u20acy", "d": 2.5}, [3, False]], "e": None}, "odd.key": "", "x y": None}


@pytest.mark.parametrize(
    "first", [{"stringValue": "x"}, {"numberValue": 1}, {"boolValue": True}, {"nullValue": "NULL_VALUE"}]
)
@pytest.mark.parametrize("second", [{"stringValue": "y"}, {"numberValue": 0}])
def test_a_value_ends_where_the_next_one_begins(first: dict, second: dict) -> None:
    (one,), (two,) = first.values(), second.values()
    one = None if "nullValue" in first else one
    assert assemble(piece("$.a", **first), piece("$.b", **second)) == {"a": one, "b": two}
    assert assemble(piece("$.a[0]", **first), piece("$.a[1]", **second)) == {"a": [one, two]}


@pytest.mark.parametrize(
    "pieces_",
    [
        [piece("$.a", numberValue="1")],
        [piece("$.a", stringValue=1)],
        [piece("a", numberValue=1)],
        [piece("$", numberValue=1)],
        [piece("$[0]", numberValue=1)],
        [piece("$.a..b", numberValue=1)],
        [piece("$" + ".a" * 65, numberValue=1)],
        [piece("$.a[1]", numberValue=1)],
        [piece("$.a[0]", numberValue=1), piece("$.a[2]", numberValue=1)],
        [piece("$.a[0]", numberValue=1), piece("$.a.b", numberValue=1)],
        [piece("$.a.x", numberValue=1), piece("$.b", numberValue=1), piece("$.a.y", numberValue=1)],
        [piece("$.a", numberValue=1), piece("$.a.b", numberValue=1)],
        [piece("$.a.b", numberValue=1), piece("$.a", numberValue=1)],
    ],
)
def test_pieces_that_cannot_be_understood(pieces_: list[dict]) -> None:
    with pytest.raises((ValueError, TypeError)):
        assemble(*pieces_)


def test_files_and_server_tools() -> None:
    data = base64.b64encode(b"\x89PNG").decode()
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    events = run(
        chunk(
            {"inlineData": {"mimeType": "image/png", "data": data}},
            {"fileData": {"mimeType": "a/b", "fileUri": "u"}},
            code,
            {},
        ),
        STOP,
    )
    assert events[1:3] == [ms.File("image/png", b"\x89PNG"), ms.File("a/b", url="u")]
    assert events[3].json() == code
    assert events[4] == ms.ProviderToolCall("", "code_execution", "1")
    assert len(events) == 6


def test_what_googles_tools_gave_back() -> None:
    failed = {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no", "id": "a"}}
    fine = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    call = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "b"}}
    answer = {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"x": 1}, "id": "b"}}
    events = run(chunk(failed, fine, call, answer), STOP)
    assert [event for event in events if event.type.startswith("provider")] == [
        ms.ProviderToolResult("a", "code_execution", "no", "FAILED"),
        ms.ProviderToolResult("", "code_execution", "1"),
        ms.ProviderToolCall("b", "google_search_web", {"queries": ["q"]}),
        ms.ProviderToolResult("b", "google_search_web", {"x": 1}),
    ]
    assert sum(isinstance(event, ms.Raw) for event in events) == 4, "and each part as it came, to be sent back"


def test_a_blocked_prompt() -> None:
    ratings = [{"category": "HARM", "probability": "HIGH", "blocked": True}]
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no", "safetyRatings": ratings}
    assert run({"promptFeedback": feedback}) == [
        ms.Start(),
        ms.Safety("HARM", "block", note="HIGH"),
        ms.Safety("PROHIBITED_CONTENT", "block", note="no"),
        ms.Finish(ms.FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT"),
    ]
    assert (
        decode("gemini", sse({"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}))[-1].reason
        == "incomplete"
    )


def test_ratings_only_where_they_say_something_and_once() -> None:
    ratings = [
        {"category": "A", "probability": "NEGLIGIBLE"},
        {"category": "B", "probability": "LOW", "probabilityScore": 1},
    ]
    one = chunk({"text": "x"}, safetyRatings=ratings)
    events = run(one, one, {"candidates": [{"finishReason": "SAFETY"}]})
    assert [e for e in events if isinstance(e, ms.Safety)] == [ms.Safety("B", "warn", 1.0, "LOW")]
    assert events[-1] == ms.Finish(ms.FinishReason.CONTENT_FILTER, "SAFETY")


@pytest.mark.parametrize(
    ("reason", "expected"), [("MAX_TOKENS", "length"), (1, "stop"), ("NEW", "other"), ("RECITATION", "content_filter")]
)
def test_reasons(reason: str | int, expected: str) -> None:
    events = run(chunk({"text": "x"}, reason=reason))
    assert (events[-1].reason, events[-1].raw_reason) == (expected, str(reason))


def test_an_unspecified_reason_is_none() -> None:
    assert decode("gemini", sse(chunk(reason="FINISH_REASON_UNSPECIFIED")))[-1].reason == "incomplete"


def test_several_candidates() -> None:
    events = run(chunk({"text": "a"}), chunk({"text": "b"}, index=1, reason="MAX_TOKENS"), STOP)
    assert (text_of(events), text_of(events, 1)) == ("a", "b")
    assert events[-1].choices == {0: "STOP", 1: "MAX_TOKENS"}


def test_sources() -> None:
    listed = {"citationSources": [{"uri": "u0", "title": "t0", "startIndex": 1}]}
    grounding = {
        "groundingChunks": [{"web": {"uri": "u1", "title": "t1"}}, {"retrievedContext": {"documentName": "d"}}, {}],
        "groundingSupports": [{"segment": {"text": "x"}, "groundingChunkIndices": [0, 9]}, {}],
    }
    one = chunk({"text": "x"}, citationMetadata=listed, groundingMetadata=grounding)
    events = run(one, one, chunk(urlContextMetadata={"urlMetadata": [{"retrievedUrl": "u2"}]}), STOP)
    found = [event for event in events if isinstance(event, ms.Citations)]
    assert [event.citations for event in found] == [
        (ms.Citation("u0", "t0"),),
        (ms.Citation("u1", "t1", text="x"), ms.Citation(source="d"), ms.Citation()),
        (ms.Citation("u2"),),
    ]
    assert found[1].meta["raw"] == {"groundingMetadata": grounding}


def test_metadata_without_a_type_of_its_own_is_raw() -> None:
    events = run(chunk(groundingMetadata={"webSearchQueries": ["q"]}, logprobsResult={"a": 1}), STOP)
    assert [e.json() for e in events if isinstance(e, ms.Raw)] == [
        {"logprobsResult": {"a": 1}},
        {"groundingMetadata": {"webSearchQueries": ["q"]}},
    ]


def test_log_probabilities_are_with_the_text() -> None:
    likely = {"chosenCandidates": [{"token": "x", "tokenId": 5, "logProbability": -0.5}]}
    likely["topCandidates"] = [{"candidates": [{"token": "y", "logProbability": -0.25}]}]
    events = run(chunk({"text": "x"}, logprobsResult=likely), STOP)
    assert events[1].logprobs == (ms.events.Logprob("x", -0.5, None, (ms.events.Logprob("y", -0.25),)),)


def test_the_wrapper_of_code_assist() -> None:
    assert text_of(run({"response": chunk({"text": "x"}, reason="STOP"), "traceId": "t"})) == "x"


def test_the_unknown_is_raw() -> None:
    for message in ({"brand": "new"}, 5, ["x"]):
        for body, name in ((sse(message, STOP), "gemini"), (array(message, STOP), "gemini-json-array")):
            raw = decode(name, body)[1]
            assert isinstance(raw, ms.Raw)
            assert raw.json() == message


ERROR = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gemini", sse(chunk({"text": "x"}, reason="STOP"), ERROR)),
        ("gemini", sse(chunk({"text": "x"}, reason="STOP")) + json.dumps(ERROR, indent=2).encode()),
        ("gemini", sse(chunk({"text": "x"}, reason="STOP")) + json.dumps([ERROR], indent=2).encode() + b"\r\n\r\n"),
        ("gemini-json-array", array(chunk({"text": "x"}, reason="STOP"), ERROR)),
        ("gemini-json-array", array(chunk({"text": "x"}, reason="STOP"), {"response": ERROR})),
    ],
    ids=["data", "bare", "bare in an array", "array element", "wrapped"],
)
def test_an_error_in_mid_stream(name: str, body: bytes) -> None:
    for size in (1, 9, len(body)):
        events = decode(name, *pieces(body, size))
        check_lifecycle(events)
        (error,) = errors_of(events)
        assert isinstance(error, ms.RateLimited)
        assert (error.code, text_of(events)) == ("RESOURCE_EXHAUSTED", "x")
        assert events[-1] == ms.Finish(ms.FinishReason.ERROR, "STOP")


@pytest.mark.parametrize("name", ["gemini", "gemini-json-array"])
@pytest.mark.parametrize("body", [ERROR, [ERROR]], ids=["object", "array"])
def test_an_error_body(name: str, body: object) -> None:
    events = decode(name, json.dumps(body, indent=2).encode())
    assert [type(error) for error in errors_of(events)] == [ms.RateLimited]


def test_bare_lines_that_are_no_error() -> None:
    body = sse(chunk({"text": "x"}, reason="STOP")) + b"[]\n\nnonsense\n\n"
    assert errors_of(decode("gemini", body)) == []


def test_the_closing_bracket_ends_the_answer() -> None:
    decoder = ms.decoder("gemini-json-array")
    assert decoder.feed(array(chunk({"text": "x"})))[-1].reason == "stop"
    assert decoder.ended
    assert decoder.feed(b"whatever") == []


def test_an_array_that_was_cut_off() -> None:
    body = array(chunk({"text": "x"}), chunk({"text": "y"}))
    for end in (len(body) - 2, len(body) - 9):
        events = decode("gemini-json-array", body[:end])
        assert events[-1].reason == "incomplete"
        assert errors_of(events) == []
    assert decode("gemini-json-array")[-1].reason == "incomplete"


def test_what_is_no_array_is_an_error() -> None:
    events = decode("gemini-json-array", array(chunk({"text": "x"}))[:-3] + b"}")
    assert [(type(error), error.provider) for error in errors_of(events)] == [
        (ms.errors.InvalidJSON, "gemini-json-array")
    ]
    limits = ms.Limits(max_event_bytes=200)
    events = decode("gemini-json-array", array(STOP, chunk({"text": "x" * 300})), limits=limits)
    assert [type(error) for error in errors_of(events)] == [ms.LimitExceeded]


@pytest.mark.parametrize(
    "part", [{"toolResponse": 5}, {"toolCall": "x"}, {"somethingNew": {"a": 1}}, {"executableCode": None}]
)
def test_a_part_that_nobody_knows_is_kept_as_it_came(part: dict) -> None:
    events = run(chunk({"text": "a"}, part, {"text": "b"}), STOP)
    assert text_of(events) == "ab"
    assert [event.json() for event in events if isinstance(event, ms.Raw)] == [part]
