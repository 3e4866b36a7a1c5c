"""OpenAI Responses, written: the order of messages, ids and numbers, and what ends it."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import orjson
import pytest

import millstream as ms
from millstream.errors import EncodeError, UsageError
from millstream.server import EventStreamResponse
from protocols.decoding import calls_of, decode
from protocols.encoders.expressible import encode
from server.serving import serving

START = ms.Start("m", "resp_1")
STOP = ms.Finish(ms.FinishReason.STOP)
LENGTH = ms.Finish(ms.FinishReason.LENGTH)


def messages(*events: ms.Event, **options: Any) -> list[dict[str, Any]]:
    parser = ms.SSEParser()
    body = encode("openai-responses", events, **options)
    found = parser.feed(body) + parser.close()
    assert [message.event for message in found] == [message.json()["type"] for message in found]
    out = [message.json() for message in found]
    assert [message["sequence_number"] for message in out] == list(range(len(out)))
    return out


def kinds(*events: ms.Event, **options: Any) -> list[str]:
    return [message["type"].removeprefix("response.") for message in messages(*events, **options)]


def final(*events: ms.Event, **options: Any) -> dict[str, Any]:
    return messages(*events, **options)[-1]["response"]


def test_text_is_written_as_openai_does() -> None:
    said = messages(START, ms.TextDelta("He"), ms.TextDelta("y"), STOP)
    at = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hey", "annotations": [], "logprobs": []}
    item = {"id": "msg_1_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert [{k: v for k, v in m.items() if k != "sequence_number"} for m in said[2:-1]] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": item | {"status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **at, "part": part | {"text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "He", "logprobs": []},
        {"type": "response.output_text.delta", **at, "delta": "y", "logprobs": []},
        {"type": "response.output_text.done", **at, "text": "Hey", "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    assert [said[0]["response"][key] for key in ("id", "model", "status", "output")] == [
        "resp_1",
        "m",
        "in_progress",
        [],
    ]
    assert [said[-1]["response"][key] for key in ("id", "status", "output")] == ["resp_1", "completed", [item]]


def test_one_item_at_a_time_says_something() -> None:
    assert kinds(START, ms.ReasoningDelta("hm"), ms.TextDelta("A", 1), ms.TextDelta("B", 2), STOP)[2:] == [
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        *["output_item.added", "content_part.added", "output_text.delta",
          "output_text.done", "content_part.done", "output_item.done"] * 2,
        "completed",
    ]  # fmt: skip


def test_calls_interleave_and_each_ends_for_itself() -> None:
    events = [
        ms.ToolCallDelta("a", "f"), ms.ToolCallDelta("b", "g", "{", 1), ms.ToolCallDelta("a", "f", "{}"),
        ms.ToolCall("b", "g", b"{}", {}, index=1), ms.ToolCall("a", "f", b"{}", {}),
    ]  # fmt: skip
    said = messages(START, *events, STOP)[2:-1]
    assert [(m["type"].split(".", 1)[1], m["output_index"], m.get("delta")) for m in said] == [
        ("output_item.added", 0, None),
        ("output_item.added", 1, None),
        ("function_call_arguments.delta", 1, "{"),
        ("function_call_arguments.delta", 0, "{}"),
        ("function_call_arguments.delta", 1, "}"),
        ("function_call_arguments.done", 1, None),
        ("output_item.done", 1, None),
        ("function_call_arguments.done", 0, None),
        ("output_item.done", 0, None),
    ]
    assert [(item["call_id"], item["arguments"]) for item in final(START, *events, STOP)["output"]] == [
        ("a", "{}"),
        ("b", "{}"),
    ]


def test_ids_are_never_used_twice() -> None:
    """The SDK of OpenAI gives up on a response with two items of one id."""
    call = ms.ToolCall("same", "f", b"{}", {})
    output = final(START, call, call, ms.ToolCall("", "f"), ms.ToolCall("", "f"), STOP)["output"]
    assert [item["call_id"] for item in output] == ["same", "same_2", "call_1_2", "call_1_3"]
    assert len({item["id"] for item in output}) == 4


def test_a_call_waits_for_its_name() -> None:
    said = messages(START, ms.ToolCallDelta("a", "", "{"), ms.ToolCallDelta("", "f", "}"), LENGTH)
    assert [m.get("delta") for m in said[2:4]] == [None, "{}"]
    assert said[2]["item"]["name"] == "f"


def test_free_text_is_a_custom_tool_call() -> None:
    whole = ms.ToolCall("a", "shell", b"ls", "ls", _meta={"custom": True})
    first = ms.ToolCallDelta("a", "shell", "l", _meta={"custom": True})
    for events in ([whole], [first, whole], [ms.ToolCall("a", "shell", b"ls", "ls")]):
        body = encode("openai-responses", [START, *events, STOP])
        assert calls_of(decode("openai-responses", body)) == [whole]
    assert final(START, whole, STOP)["output"][0]["input"] == "ls"


def test_a_tool_of_the_provider_goes_on_until_its_result_or_the_next_item() -> None:
    item = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "container_id": "c"}
    asked = ms.ProviderToolCall("ci_1", "code_interpreter", "1+1", _meta={"item": item})
    for events, outputs in [([asked], None), ([asked, ms.ProviderToolResult("ci_1", "code_interpreter", [2])], [2])]:
        said = messages(START, *events, ms.TextDelta("x"), STOP)
        kinds = [m["type"].removeprefix("response.") for m in said]
        assert kinds[2:5] == ["output_item.added", "output_item.done", "output_item.added"]
        assert [said[n]["item"]["status"] for n in (2, 3)] == ["in_progress", "completed"]
        assert said[3]["item"].get("outputs") == outputs
        assert final(START, *events, ms.TextDelta("x"), STOP)["output"][0] == said[3]["item"]


def test_a_tool_of_the_provider_that_failed_says_why() -> None:
    item = {"id": "mcp_1", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}
    asked = ms.ProviderToolCall("mcp_1", "f", {}, _meta={"item": item})
    (said,) = final(START, asked, ms.ProviderToolResult("mcp_1", "f", None, error="no such file"), STOP)["output"]
    assert said["error"] == "no such file"


@pytest.mark.parametrize(
    "data",
    [
        '{"type":"response.output_item.done", not JSON',
        '["response.output_item.done"]',
        '{"text":"response.output_item.done"}',
    ],
)
def test_a_raw_message_that_only_mentions_an_item_is_no_item(data: str) -> None:
    said = [ms.TextDelta("x"), STOP]
    assert final(START, ms.Raw(data), *said)["output"] == final(START, *said)["output"]


def test_a_web_search_is_one_whoever_searched_and_other_tools_are_not_told() -> None:
    found = [
        ms.ProviderToolCall("s", "web_search", {"query": "q"}), ms.ProviderToolResult("s", "web_search", [1]),
        ms.ProviderToolCall("c", "code_execution", {"code": "1"}), ms.ProviderToolResult("c", "code_execution", 1),
    ]  # fmt: skip
    (item,) = final(START, *found, STOP)["output"]
    assert item == {"id": "s", "type": "web_search_call", "status": "completed",
                    "action": {"type": "search", "query": "q"}}  # fmt: skip


def test_items_that_no_event_names_are_passed_on_and_those_of_events_are_not_told_twice() -> None:
    done = {"type": "response.output_item.done", "output_index": 7}
    for item, n in [({"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}, 1),
                    ({"type": "web_search_call", "id": "ws_1", "action": {}}, 0),
                    ({"type": "message", "id": "m_1", "content": []}, 0)]:  # fmt: skip
        raw = ms.Raw(orjson.dumps({**done, "item": item}).decode())
        assert final(START, raw, STOP)["output"] == [item] * n


def test_calls_that_the_server_ran_are_not_shown() -> None:
    run = [
        ms.StepStart(1), ms.ToolCallDelta("a", "f", "{}"), ms.ToolCall("a", "f", b"{}", {}),
        ms.ToolCall("b", "g", b"{}", {}, index=1), ms.ToolResult("a", "f", 1), ms.StepFinish(1),
        ms.StepStart(2), ms.TextDelta("Hi"), ms.StepFinish(2),
    ]  # fmt: skip
    assert [item.get("call_id", item["type"]) for item in final(START, *run, STOP)["output"]] == ["message", "b"]


def test_a_call_that_was_cut_off_is_not_completed() -> None:
    cut = ms.ToolCall("a", "f", b'{"a":1}', None, ms.events.Validity.INCOMPLETE)
    for events in ([cut], [ms.ToolCallDelta("a", "f", '{"a":1}')]):
        response = final(START, *events, STOP)
        assert (response["status"], response["output"][0]["status"]) == ("incomplete", "incomplete")
        (call,) = calls_of(decode("openai-responses", encode("openai-responses", [START, *events, STOP])))
        assert call.validity == "incomplete"


def test_encrypted_reasoning_keeps_its_own_id() -> None:
    hidden = ms.ReasoningDelta("", 0, encrypted="gAAA", _meta={"id": "rs_original"})
    output = final(START, ms.ReasoningDelta("hm"), hidden, ms.TextDelta("Hi", 1), STOP)["output"]
    assert [(item["id"], item.get("encrypted_content")) for item in output] == [
        ("rs_1_0", None), ("rs_original", "gAAA"), ("msg_1_2", None),
    ]  # fmt: skip
    output = final(START, ms.ReasoningDelta("hm"), ms.ReasoningDelta(encrypted="gAAA"), STOP)["output"]
    assert [(item["id"], item["encrypted_content"]) for item in output] == [("rs_1_0", "gAAA")]


def test_a_message_has_words_refusals_phase_logprobs_and_sources() -> None:
    token = {"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": []}
    events = [
        ms.TextDelta("A", _meta={"phase": "commentary", "logprobs": [token]}),
        ms.Citations((ms.Citation("https://x", "X", start=0, end=1), ms.Citation(source="f_1", title="a.pdf"))),
        ms.Safety("refusal", "refuse", note="No."),
    ]
    (item,) = final(START, *events, STOP)["output"]
    assert item["phase"] == "commentary"
    text, refusal = item["content"]
    assert refusal == {"type": "refusal", "refusal": "No."}
    assert text["logprobs"] == [token]
    assert text["annotations"] == [
        {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1},
        {"type": "file_citation", "file_id": "f_1", "filename": "a.pdf", "index": 0},
    ]


def test_sources_without_text_are_in_the_item_all_the_same() -> None:
    cited = ms.Citations((ms.Citation("https://x"),))
    assert kinds(START, cited, STOP).count("output_text.annotation.added") == 0
    assert kinds(START, cited, ms.TextDelta("A"), STOP).count("output_text.annotation.added") == 1
    for events in ([cited], [cited, ms.TextDelta("A")]):
        assert len(final(START, *events, STOP)["output"][0]["content"][0]["annotations"]) == 1


@pytest.mark.parametrize(
    ("finish", "status", "why"),
    [
        (STOP, "completed", None),
        (ms.Finish(ms.FinishReason.TOOL_CALLS), "completed", None),
        (ms.Finish(ms.FinishReason.OTHER, "eos"), "completed", None),
        (LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (ms.Finish(ms.FinishReason.CONTENT_FILTER), "incomplete", {"reason": "content_filter"}),
        (ms.Finish(ms.FinishReason.OTHER, "incomplete:new"), "incomplete", {"reason": "new"}),
        (ms.Finish(ms.FinishReason.PAUSE), "incomplete", None),
        (ms.Finish(ms.FinishReason.ERROR), "failed", None),
    ],
)
def test_how_it_ended(finish: ms.Finish, status: str, why: dict[str, str] | None) -> None:
    last = messages(START, ms.TextDelta("A"), finish)[-1]
    assert last["type"] == f"response.{status}"
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == (status, why)
    assert (last["response"]["error"] is not None) is (status == "failed")


def test_an_error_is_told_in_both_forms_and_the_response_has_failed() -> None:
    error = ms.Error(ms.RateLimited("no money", code="insufficient_quota"))
    said = messages(START, ms.TextDelta("A"), error, error, ms.Finish(ms.FinishReason.ERROR))
    assert [m["type"] for m in said[-3:]] == ["response.output_item.done", "error", "response.failed"]
    facts = {"code": "insufficient_quota", "message": "no money"}
    assert said[-2].items() >= facts.items()
    assert said[-2]["error"].items() >= facts.items()
    assert said[-1]["response"]["error"] == facts
    assert said[-1]["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize("ends", [[ms.Finish(ms.FinishReason.INCOMPLETE)], []], ids=["cut off", "closed"])
def test_an_answer_that_broke_off_has_no_end(ends: list[ms.Event]) -> None:
    assert kinds(START, ms.TextDelta("A"), *ends)[-1] == "output_item.done"
    body = encode("openai-responses", [START, ms.ToolCallDelta("a", "f", "{}"), *ends])
    events = decode("openai-responses", body)
    assert events[-1].reason == "incomplete"
    assert calls_of(events)[0].validity == "incomplete"


def test_usage_is_that_of_the_whole_run_in_the_sense_of_this_wire() -> None:
    def usage(found: ms.Usage) -> dict[str, Any]:
        return final(START, ms.Usage(7, 7, 14), ms.Finish(ms.FinishReason.STOP, usage=found))["usage"]

    apart = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    assert usage(ms.Usage(10, 5, 15, 3, 4, raw=apart)) == {
        "input_tokens": 17, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 22,
    }  # fmt: skip
    own = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_tokens_details": {}, "cost": 1}
    assert usage(ms.Usage(1, 2, 3, raw=own)) == own
    assert "cost" not in usage(ms.Usage(5, 2, 7, raw=own))
    assert final(START, ms.Usage(7, 7, 14), STOP)["usage"]["total_tokens"] == 14
    assert final(START, STOP)["usage"] is None


def test_what_only_the_server_knows_is_repeated() -> None:
    known = {"id": "resp_own", "model": "own", "created_at": 5, "instructions": "be brief"}
    first, *_, last = messages(ms.Start("", ""), STOP, response=known)
    for message in (first, last):
        assert message["response"].items() >= known.items()
    assert final(START, STOP, response=known)["id"] == "resp_1"


UNSPEAKABLE = [
    ms.TextDelta("A", choice=1), ms.ReasoningDelta("A", choice=1), ms.ReasoningDelta(signature="s"),
    ms.ToolCallDelta("a", "f", choice=1), ms.ToolCall("a", "f", choice=1), ms.Safety("violence", "block"),
    ms.Safety("refusal", "refuse"), ms.Safety("refusal", "refuse", note="No.", choice=1),
    ms.File("audio/wav", b"x"), ms.File("image/png", url="https://x"), ms.Data(1), ms.ObjectDelta((), "set", 1),
    ms.Handoff("b"), ms.Raw("{}"), ms.ToolResult("a", "f", 1), ms.ProviderToolCall("a", "f"),
    ms.ProviderToolResult("a", "f", 1), ms.Error(ms.StreamError("careful"), fatal=False), ms.Usage(1), START,
    ms.StepStart(1), ms.StepFinish(1),
]  # fmt: skip


@pytest.mark.parametrize("event", UNSPEAKABLE, ids=lambda event: event.type)
def test_what_the_wire_cannot_say_is_nothing(event: ms.Event) -> None:
    encoder = ms.encoder("openai-responses")
    encoder.encode(START)
    assert encoder.encode(event) == b""


def test_order_of_life() -> None:
    assert kinds(ms.TextDelta("A"), STOP) == kinds(ms.Start(), ms.TextDelta("A"), STOP)
    encoder = ms.encoder("responses")
    assert ms.encoder("responses").close() == b""
    encoder.encode(STOP)
    assert encoder.encode(ms.TextDelta("late")) == encoder.encode(ms.Error(ms.StreamError("late"))) == b""
    assert encoder.close() == encoder.close() == b""
    with pytest.raises(UsageError, match="closed"):
        encoder.encode(STOP)


def every_field(nasty: str) -> list[ms.Event]:
    return [
        ms.TextDelta(nasty), ms.TextDelta("A", _meta={"phase": nasty}), ms.ReasoningDelta(nasty),
        ms.ReasoningDelta(encrypted=nasty), ms.ReasoningDelta(encrypted="e", _meta={"id": nasty}),
        ms.Safety("refusal", "refuse", note=nasty), ms.Citations((ms.Citation(nasty, "t"),)),
        ms.Citations((ms.Citation("", nasty),)), ms.Citations((ms.Citation(source=nasty),)),
        ms.File("image/" + nasty, b"x"), ms.File("image/png", b"x", _meta={"id": nasty}),
        ms.ToolCallDelta(nasty, "f"), ms.ToolCallDelta("a", nasty), ms.ToolCallDelta("a", "f", nasty),
        ms.ToolCall(nasty, "f"), ms.ToolCall("a", nasty),
        ms.ToolCall("a", "f", nasty.encode("utf-8", "surrogatepass"), None, ms.events.Validity.INVALID),
        ms.Error(ms.ProviderError(nasty, code=nasty)),
    ]  # fmt: skip


NASTY = "\r\n\ndata: {}\r\rid: 1\0\u2028\u2029\x85"


@pytest.mark.parametrize("number", range(len(every_field(""))))
def test_no_value_breaks_the_framing(number: int) -> None:
    """The same messages come out as for a tame value."""
    nasty, tame = every_field(NASTY)[number], every_field("tame")[number]
    assert kinds(ms.Start(NASTY, NASTY), nasty, STOP) == kinds(ms.Start("m", "i"), tame, STOP)


@pytest.mark.parametrize("said", [[], [ms.TextDelta("A")]], ids=["silent", "in a text"])
@pytest.mark.parametrize("number", range(len(every_field(""))))
def test_what_json_cannot_carry_is_refused_and_changes_nothing(number: int, said: list[ms.Event]) -> None:
    encoder = ms.encoder("openai-responses")
    before = [START, ms.ToolCallDelta("a", "f", "{"), *said]
    after = [ms.TextDelta("B"), ms.ToolCall("a", "f", b"{}", {}), STOP]
    out = b"".join(map(encoder.encode, before))
    with pytest.raises(EncodeError):
        encoder.encode(every_field("\ud800")[number])
    assert out + b"".join(map(encoder.encode, after)) == encode("openai-responses", [*before, *after])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_official_python_sdk_accumulates_the_same() -> None:
    events = [
        START, ms.ReasoningDelta("hm"), ms.TextDelta("Hé", 1), ms.Citations((ms.Citation("https://x", "X"),), 1),
        ms.ToolCallDelta("a", "f", '{"x":'), ms.ToolCallDelta("b", "g", "{}", 1),
        ms.ToolCall("a", "f", b'{"x":1}', {"x": 1}), ms.ToolCall("b", "g", b"{}", {}, index=1),
        ms.Finish(ms.FinishReason.TOOL_CALLS, usage=ms.Usage(1, 2, 3)),
    ]  # fmt: skip

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def body() -> Any:
            yield encode("millstream.events.v1", events)

        stream = ms.stream(body(), protocol="millstream.events.v1")
        await EventStreamResponse(stream, "openai-responses")(scope, receive, send)

    async with serving(app) as url, httpx2.AsyncClient(trust_env=False) as http:
        client = openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http, max_retries=0)
        async with client.responses.stream(model="m", input="?") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            got = await stream.get_final_response()
    assert deltas == ["Hé"]
    assert (got.id, got.model, got.status, got.output_text, got.usage.total_tokens) == (
        "resp_1", "m", "completed", "Hé", 3,
    )  # fmt: skip
    assert [item.type for item in got.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [(item.call_id, item.arguments) for item in got.output[2:]] == [("a", '{"x":1}'), ("b", "{}")]
    assert got.output[0].summary[0].text == "hm"
    assert got.output[1].content[0].annotations[0].url == "https://x"
