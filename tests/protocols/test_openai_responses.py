"""OpenAI Responses by hand: what the recordings do not show, or show only once."""

from __future__ import annotations

import base64

import pytest

import millstream as ms
from protocols.decoding import calls_of, check_lifecycle, decode, errors_of, sse, text_of

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}}


def ending(status: str = "completed", **more) -> dict:
    return {"type": f"response.{status}", "response": {"id": "resp_1", "model": "m", "status": status, **more}}


def ev(kind: str, index: int = 0, **more) -> dict:
    return {"type": f"response.{kind}", "output_index": index, **more}


def call(kind: str = "function_call", **more) -> dict:
    return {"type": kind, "id": "fc_1", "call_id": "call_1", "name": "f", **more}


def run(*messages, **options) -> list[ms.Event]:
    events = decode("openai-responses", sse(*messages), **options)
    check_lifecycle(events)
    return events


CUT = {"incomplete_details": {"reason": "max_output_tokens"}}


def test_text_with_usage() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
             "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 6},
             "output_tokens_details": {"reasoning_tokens": 4}}  # fmt: skip
    events = run(
        CREATED,
        ev("output_text.delta", 1, delta="Hi", obfuscation="x", logprobs=[{"token": "Hi"}]),
        ev("output_text.delta", 1, delta=""),
        ev("output_text.done", 1, text="Hi"),
        ending(usage=usage),
    )
    total = ms.Usage(3, 2, 5, 1, 6, 4, usage)
    assert events == [
        ms.Start("m", "resp_1"),
        ms.TextDelta("Hi", 1, _meta={"logprobs": [{"token": "Hi"}]}),
        total,
        ms.Finish(ms.FinishReason.STOP, "completed", total),
    ]


def test_a_total_that_is_not_told() -> None:
    assert run(CREATED, ending(usage={"input_tokens": 3, "output_tokens": 2}))[-1].usage.total_tokens == 5


@pytest.mark.parametrize("named", [True, False])
def test_the_json_says_the_type_not_the_event_line(named: bool) -> None:
    line = b"event: something.else\n" if named else b""
    body = line + sse(ev("output_text.delta", delta="Hi")) + sse(ending(), "[DONE]")
    assert text_of(decode("responses", body)) == "Hi"


def test_a_call_is_found_by_its_output_index_whatever_the_item_ids() -> None:
    events = run(
        CREATED,
        ev("output_item.added", 0, item=call(arguments="")),
        ev("output_item.added", 1, item=call(call_id="call_2", arguments="")),
        ev("function_call_arguments.delta", 1, item_id="rotated", delta='{"b":'),
        ev("function_call_arguments.delta", 0, item_id="rotated again", delta='{"a":1}'),
        ev("function_call_arguments.delta", 1, item_id="and again", delta="2}"),
        ev("function_call_arguments.done", 0, arguments='{"a":1}'),
        ev("output_item.done", 0, item=call(arguments='{"a":1}', status="completed")),
        ev("output_item.done", 1, item=call(call_id="call_2", arguments='{"b":2}')),
        ending(),
    )
    assert [(c.id, c.arguments, c.index) for c in calls_of(events)] == [
        ("call_1", {"a": 1}, 0),
        ("call_2", {"b": 2}, 1),
    ]
    assert events[-1] == ms.Finish(ms.FinishReason.TOOL_CALLS, "completed")


@pytest.mark.parametrize(
    "messages",
    [
        [ev("output_item.done", item=call(arguments='{"a":1}'))],
        [ev("output_item.added", item=call()), ev("output_item.done", item=call(arguments='{"a":1}'))],
        [ev("output_item.added", item=call()), ev("function_call_arguments.done", arguments='{"a":1}')],
        [
            ev("output_item.added", item=call()),
            ev("function_call_arguments.done", arguments='{"a":1}'),
            ev("output_item.done", item=call(arguments='{"a":1}')),
        ],
    ],
    ids=["item done alone", "item added and done", "arguments done alone", "all three"],
)
def test_arguments_without_deltas_come_from_what_is_done(messages: list[dict]) -> None:
    events = run(CREATED, *messages, ending())
    (one,) = calls_of(events)
    assert (one.id, one.name, one.input, one.validity) == ("call_1", "f", b'{"a":1}', "valid")
    assert "".join(e.arguments for e in events if isinstance(e, ms.ToolCallDelta)) == '{"a":1}'


def test_a_finished_call_whose_arguments_are_no_json_is_given_once_and_called_invalid() -> None:
    item = call(arguments='{"a":', status="completed")
    events = run(CREATED, ev("output_item.added", item=call()), ev("output_item.done", item=item), ending())
    assert [(one.id, one.input, one.validity) for one in calls_of(events)] == [("call_1", b'{"a":', "invalid")]


def test_the_input_of_a_custom_tool_is_free_text() -> None:
    item = call("custom_tool_call")
    events = run(
        CREATED,
        ev("output_item.added", item={**item, "input": ""}),
        ev("custom_tool_call_input.delta", delta="print("),
        ev("custom_tool_call_input.delta", delta="1)"),
        ev("custom_tool_call_input.done", input="print(1)"),
        ev("output_item.done", item={**item, "input": "print(1)"}),
    )
    assert calls_of(events) == [ms.ToolCall("call_1", "f", b"print(1)", "print(1)", _meta={"custom": True})]
    assert events[-1].reason == "incomplete"
    events = run(CREATED, ev("output_item.done", item={**item, "input": "x"}), ending())
    assert calls_of(events)[0].arguments == "x"


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_call_cut_off_by_the_limit_is_incomplete(kind: str, marked: bool) -> None:
    whole = {"arguments": '{"a":1}'} if kind == "function_call" else {"input": "x"}
    last = [ev("output_item.done", item=call(kind, status="incomplete", **whole))] if marked else []
    events = run(CREATED, ev("output_item.added", item=call(kind)), *last, ending("incomplete", **CUT))
    assert [c.validity for c in calls_of(events)] == ["incomplete"]
    assert (events[-1].reason, events[-1].raw_reason) == ("length", "incomplete:max_output_tokens")


@pytest.mark.parametrize(
    ("reason", "expected"), [("content_filter", "content_filter"), ("something_new", "other"), (None, "other")]
)
def test_why_it_is_incomplete(reason: str | None, expected: str) -> None:
    events = run(CREATED, ending("incomplete", incomplete_details=reason and {"reason": reason}))
    assert events[-1] == ms.Finish(ms.FinishReason(expected), f"incomplete:{reason or ''}")


def test_a_refusal() -> None:
    events = run(CREATED, ev("refusal.delta", delta="I can"), ev("refusal.delta", delta="not"), ending())
    assert events[1:3] == [ms.Safety("refusal", "refuse", note="I can"), ms.Safety("refusal", "refuse", note="not")]


def test_reasoning_and_its_encrypted_content() -> None:
    events = run(
        CREATED,
        ev("reasoning_summary_text.delta", delta="think"),
        ev("reasoning_text.delta", delta="ing"),
        ev("output_item.done", item={"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
                                     "summary": [{"type": "summary_text", "text": "thinking"}]}),
        ending(),
    )  # fmt: skip
    assert events[1:-1] == [
        ms.ReasoningDelta("think"),
        ms.ReasoningDelta("ing"),
        ms.ReasoningDelta(
            encrypted="gAAA",
            _meta={
                "id": "rs_1",
                "item": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "thinking"}]},
            },
        ),
    ]


def test_items_without_deltas() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    parts = [{"type": "output_text", "text": "Hi", "annotations": [cited]}, {"type": "refusal", "refusal": "no"}]
    events = run(
        CREATED,
        ev("output_item.done", 0, item={"type": "reasoning", "summary": [], "content": [{"text": "hm"}, {}]}),
        ev("output_item.added", 1, item={"type": "message", "content": []}),
        ev("output_item.done", 1, item={"type": "message", "content": parts}),
        ending(),
    )
    assert events[1:-1] == [
        ms.ReasoningDelta("hm"),
        ms.TextDelta("Hi", 1),
        ms.Citations((ms.Citation("u", "t", start=0, end=2),), 1),
        ms.Safety("refusal", "refuse", note="no"),
    ]


def test_of_thoughts_without_deltas_the_summary_is_what_was_meant_to_be_read() -> None:
    item = {"type": "reasoning", "summary": [{"text": "so"}, {"text": "!"}], "content": [{"text": "hm"}]}
    events = run(CREATED, ev("output_item.done", item=item), ending())
    assert events[1:-1] == [ms.ReasoningDelta("so"), ms.ReasoningDelta("!")]


def test_thoughts_that_are_not_shown_go_back_by_their_item() -> None:
    events = run(CREATED, ev("output_item.done", item={"type": "reasoning", "id": "rs"}), ending())
    assert events[1:-1] == [ms.ReasoningDelta("", _meta={"id": "rs", "item": {"type": "reasoning", "id": "rs"}})]


CITED = {"type": "url_citation", "url": "https://x.org", "title": "X"}
SAID = {"type": "message", "content": [{"type": "output_text", "text": "Hi", "annotations": [CITED]}]}


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_an_annotation_is_given_once_whichever_message_tells_it(with_text, told) -> None:
    text = [ev("output_text.delta", delta="Hi")] if with_text else []
    first = [ev("output_text.annotation.added", annotation=CITED)] if told else []
    events = run(CREATED, *text, *first, ev("output_item.done", item=SAID), ending())
    assert text_of(events) == "Hi"
    assert [event for event in events if isinstance(event, ms.Citations)] == [
        ms.Citations((ms.Citation("https://x.org", "X"),))
    ]


def test_annotations() -> None:
    cited = {"type": "file_citation", "file_id": "f_1", "filename": "a.pdf", "index": 3}
    events = run(CREATED, ev("output_text.annotation.added", 2, annotation=cited), ending())
    assert events[1] == ms.Citations((ms.Citation(title="a.pdf", source="f_1"),), 2)


def test_an_image() -> None:
    data = base64.b64encode(b"\x89PNG").decode()
    item = {"type": "image_generation_call", "id": "ig_1", "output_format": "webp", "result": data}
    events = run(CREATED, ev("output_item.done", 1, item=item), ending())
    assert events[1] == ms.File("image/webp", b"\x89PNG", index=1, _meta={"id": "ig_1"})


@pytest.mark.parametrize(
    "message",
    [
        ev("web_search_call.searching"),
        ev("output_item.added", item={"type": "mcp_call", "name": "x"}),
        ev("output_item.done", item={"type": "compaction", "encrypted_content": "x"}),
        ev("function_call_arguments.delta", 7, delta="{}"),
        {"type": "brand.new"},
        {"no": "type"},
    ],
)
def test_server_tools_and_the_unknown_are_raw(message: dict) -> None:
    raw = run(CREATED, message, ending())[1]
    assert isinstance(raw, ms.Raw)
    assert raw.json() == message


QUOTA = {"code": "insufficient_quota", "message": "no money", "type": "insufficient_quota"}


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "error", "error": QUOTA}, ending("failed", error=QUOTA)],
        [QUOTA | {"type": "error"}],
        [ending("failed", error=QUOTA)],
        [{"error": QUOTA}],
    ],
    ids=["error and failed", "flat error", "failed alone", "no type"],
)
def test_one_failure_is_one_error(messages: list[dict]) -> None:
    events = run(CREATED, ev("output_text.delta", delta="Hi"), *messages)
    (error,) = errors_of(events)
    assert isinstance(error, ms.RateLimited)
    assert (error.code, error.retryable) == ("insufficient_quota", False)
    assert "no money" in error.message
    assert text_of(events) == "Hi"
    assert events[-1] == ms.Finish(ms.FinishReason.ERROR, "failed")


def test_a_failure_that_gives_no_cause() -> None:
    assert len(errors_of(run(CREATED, ending("failed", error=None)))) == 1


def test_a_body_without_its_end() -> None:
    assert run(CREATED, ev("output_text.delta", delta="Hi"))[-1] == ms.Finish(ms.FinishReason.INCOMPLETE)


def test_progress_repeats_nothing() -> None:
    queued = {"type": "response.queued", "response": {"id": "resp_1"}}
    events = run(CREATED, queued, {**CREATED, "type": "response.in_progress"}, ev("content_part.added"), ending())
    assert [event.type for event in events] == ["start", "finish"]


@pytest.mark.parametrize(
    ("error", "said"), [({"message": "no such file"}, "no such file"), ("no", "no"), ({"code": 1}, "the tool failed")]
)
def test_a_tool_of_the_provider_that_failed_is_a_result_with_an_error(error: object, said: str) -> None:
    item = {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "s",
        "name": "f",
        "arguments": "not JSON",
        "error": error,
    }
    body = sse(
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "r", "status": "completed"}},
    )
    found = [event for event in decode("openai-responses", body) if event.type.startswith("provider_tool")]
    assert [event.type for event in found] == ["provider_tool_call", "provider_tool_result"]
    assert (found[0].input, found[1].error) == ("not JSON", said)


RAN = {"id": "i", "status": "completed"}
TOOLS_OF_OPENAI = [
    ({"type": "code_interpreter_call", "code": "1", "outputs": [2]}, "code_interpreter", "1", [2]),
    ({"type": "file_search_call", "queries": ["q"], "results": None}, "file_search", ["q"], None),
    ({"type": "mcp_call", "name": "f", "arguments": '{"a":1}', "output": "o"}, "f", {"a": 1}, "o"),
    ({"type": "shell_call", "action": {"commands": ["ls"]}, "environment": {"type": "x"}}, "shell",
     {"commands": ["ls"]}, None),
    ({"type": "tool_search_call", "arguments": {"q": 1}}, "tool_search", {"q": 1}, None),
    ({"type": "web_search_call", "action": {"type": "search"}, "results": []}, "web_search", {"type": "search"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("item", "name", "asked", "gave"), TOOLS_OF_OPENAI, ids=[one[1] for one in TOOLS_OF_OPENAI])
def test_a_tool_of_openai_tells_what_it_was_asked_and_what_it_gave(item: dict, name: str, asked, gave) -> None:
    raw, called, *results = run(CREATED, ev("output_item.done", 3, item=RAN | item), ending())[1:-1]
    assert raw.json()["item"] == RAN | item
    assert (called.id, called.name, called.input, called.index) == ("i", name, asked, 3)
    told = ("code", "outputs", "queries", "results", "arguments", "output", "action")
    assert called.meta["item"] == RAN | {key: value for key, value in item.items() if key not in told}
    assert results == ([] if gave is None else [ms.ProviderToolResult("i", name, gave, None, 3)])


@pytest.mark.parametrize(("kind", "name", "told"), [("shell_call_output", "shell", "output"),
                                                    ("tool_search_output", "tool_search", "tools")])  # fmt: skip
def test_a_result_of_its_own_names_its_call(kind: str, name: str, told: str) -> None:
    item = RAN | {"type": kind, "call_id": "c", told: ["x"]}
    result = run(CREATED, ev("output_item.done", 1, item=item), ending())[-2]
    assert (result.id, result.name, result.result, result.error, result.index) == ("c", name, ["x"], None, 1)
    assert result.meta["item"] == RAN | {"type": kind, "call_id": "c"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "shell_call", "action": {"commands": ["ls"]}},
        {"type": "tool_search_call", "arguments": {}, "execution": "client"},
        {"type": "computer_call", "action": {}},
    ],
)
def test_a_tool_that_the_application_runs_is_raw_alone(item: dict) -> None:
    assert [event.type for event in run(CREATED, ev("output_item.done", item=item), ending())[1:-1]] == ["raw"]


def test_empty_deltas_say_nothing() -> None:
    kinds = ["reasoning_text.delta", "reasoning_summary_text.delta", "refusal.delta", "output_text.delta"]
    body = sse(
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        *({"type": f"response.{kind}", "output_index": 0, "content_index": 0, "delta": ""} for kind in kinds),
        {"type": "response.output_item.added", "output_index": 1,
         "item": {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ""},
        {"type": "response.completed", "response": {"id": "r", "status": "completed"}},
    )  # fmt: skip
    events = decode("openai-responses", body)
    assert not [event for event in events if event.type in ("reasoning_delta", "safety") or getattr(event, "text", "")]
