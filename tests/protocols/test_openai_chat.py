"""Chat completions and their dialects, case by case."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import calls_of, decode, errors_of, sse, text_of


def delta(finish=None, choice=0, **fields):
    return {"id": "r1", "model": "m", "choices": [{"index": choice, "delta": fields, "finish_reason": finish}]}


def part(arguments=None, *, index=0, id=None, name=None):
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in call.items() if value is not None or key == "id"}


def calls(*messages):
    return [
        (call.id, call.name, call.arguments, str(call.validity)) for call in calls_of(decode("openai", sse(*messages)))
    ]


def test_text_usage_and_finish() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    events = decode(
        "openai",
        sse(
            delta(role="assistant", content=""),
            delta(content="Hé"),
            delta("stop"),
            {"choices": [], "usage": usage},
            "[DONE]",
        ),
    )
    counted = ms.Usage(3, 2, 5, 1, raw=usage)
    assert events == [
        ms.Start("m", "r1"), ms.TextDelta("Hé"), counted, ms.Finish(ms.FinishReason.STOP, "stop", counted)
    ]  # fmt: skip


def test_parallel_calls() -> None:
    assert calls(
        delta(tool_calls=[part("", id="a", name="f")]),
        delta(tool_calls=[part('{"x"', index=0)]),
        delta(tool_calls=[part("", index=1, id="b", name="g"), part(":1}", index=0)]),
        delta("tool_calls"),
    ) == [("a", "f", {"x": 1}, "valid"), ("b", "g", {}, "valid")]


def test_a_new_id_under_the_same_index_is_a_new_call() -> None:
    assert calls(
        delta(tool_calls=[part("{}", id="a", name="f")]),
        delta(tool_calls=[part('{"x":1}', id="b", name="f")]),
        delta("tool_calls"),
    ) == [("a", "f", {}, "valid"), ("b", "f", {"x": 1}, "valid")]


def test_an_empty_or_repeated_id_is_the_same_call() -> None:
    fragments = [part('{"x"', id="a", name="f"), part(":", id=""), part("1}", id="a")]
    assert calls(*(delta(tool_calls=[one]) for one in fragments), delta("tool_calls")) == [
        ("a", "f", {"x": 1}, "valid")
    ]


def test_no_index() -> None:
    fragments = [
        part('{"x":', index=None, id="a", name="f"),
        part("1}", index=None),
        part("{}", index=None, id="b", name="g"),
    ]
    assert calls(*(delta(tool_calls=[one]) for one in fragments), delta("tool_calls")) == [
        ("a", "f", {"x": 1}, "valid"),
        ("b", "g", {}, "valid"),
    ]


def test_a_fragment_without_a_number_belongs_to_the_call_that_grew_last() -> None:
    fragments = [
        part('{"x":', id="a", name="f"),
        part('{"y":', index=1, id="b", name="g"),
        part(" ", index=0),
        part("1}", index=None),
        part(" ", index=1),
        part("2}", index=None),
    ]
    assert calls(*(delta(tool_calls=[one]) for one in fragments), delta("tool_calls")) == [
        ("a", "f", {"x": 1}, "valid"),
        ("b", "g", {"y": 2}, "valid"),
    ]


def test_what_is_known_of_a_thought_is_told_where_it_changes_and_without_its_words() -> None:
    head = {"type": "reasoning.text", "format": "x", "index": 0}
    other = {"type": "reasoning.summary", "format": "x", "index": 1}

    def thought(words: str, **detail: object) -> dict:
        return delta(reasoning=words, reasoning_details=[detail])

    odd = delta(reasoning="o", reasoning_details=["odd", {"format": "y"}, head | {"text": "o"}])
    assert decode("openrouter", sse(odd))[1].meta == {"reasoning_details": head}
    events = decode("openrouter", sse(thought("a", **head, text="a"), thought("b", **head, text="b"),
                                      thought("c", **other, summary="c"), thought("d", **other, summary="d"),
                                      thought("e", **head, text="e", signature="s")))  # fmt: skip
    assert [(event.text, event.meta.get("reasoning_details")) for event in events[1:-1]] == [
        ("a", head),
        ("b", None),
        ("c", other),
        ("d", None),
        ("e", head),
        ("", head | {"text": "e", "signature": "s"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason", "expected"),
    [
        ({"x": 1}, "tool_calls", ({"x": 1}, "valid")),
        (None, "tool_calls", ({}, "valid")),
        ("", "tool_calls", ({}, "valid")),
        ('{"x"', "tool_calls", (None, "invalid")),
        ('{"x"', "length", (None, "incomplete")),
        ("", "length", (None, "incomplete")),
        ("{}", "length", ({}, "valid")),
        ("{}", None, (None, "incomplete")),
        ('{"x"', None, (None, "incomplete")),
    ],
)
def test_what_arguments_are_worth(arguments, reason, expected) -> None:
    end = [delta(reason)] if reason else []
    assert calls(delta(tool_calls=[part(arguments, id="a", name="f")]), *end) == [("a", "f", *expected)]


def test_function_call_beside_tool_calls_is_one_call() -> None:
    both = delta(tool_calls=[part("{}", id="a", name="f")], function_call={"name": "f", "arguments": "{}"})
    assert calls(both, delta("tool_calls")) == [("a", "f", {}, "valid")]


def test_function_call_alone() -> None:
    first, second = {"name": "f", "arguments": '{"x"'}, {"arguments": ":1}"}
    events = [delta(function_call=first), delta(function_call=second), delta("function_call")]
    assert calls(*events) == [("", "f", {"x": 1}, "valid")]
    assert decode("openai", sse(*events))[-1].reason == "tool_calls"


def test_choices() -> None:
    events = decode(
        "openai",
        sse(delta(content="a"), delta(content="b", choice=1), delta("stop"), delta("length", choice=1), "[DONE]"),
    )
    assert (text_of(events), text_of(events, 1)) == ("a", "b")
    assert events[-1] == ms.Finish(ms.FinishReason.STOP, "stop", choices={0: "stop", 1: "length"})


def test_calls_of_different_choices_do_not_mix() -> None:
    events = [delta(tool_calls=[part("{}", id=str(n), name="f")], choice=n) for n in (0, 1)]
    given = calls_of(decode("openai", sse(*events, delta("tool_calls"), delta("length", choice=1))))
    assert [(call.id, call.index, call.choice) for call in given] == [("0", 0, 0), ("1", 0, 1)]


def test_refusal() -> None:
    events = decode("openai", sse(delta(refusal="I can", content=None), delta(refusal="not"), delta("stop")))
    assert [event.note for event in events if isinstance(event, ms.Safety)] == ["I can", "not"]
    assert text_of(events) == ""


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning(name: str) -> None:
    assert decode("openai", sse(delta(**{name: "hm"}, content=None)))[1] == ms.ReasoningDelta("hm")


def test_both_reasoning_names_are_one_text() -> None:
    events = decode("openai", sse(delta(reasoning_content="hm", reasoning="hm", reasoning_details=[{"text": "hm"}])))
    assert sum(isinstance(event, ms.ReasoningDelta) for event in events) == 1


def test_content_as_a_list() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]
    assert decode("openai", sse(delta(content=content)))[1:3] == [ms.ReasoningDelta("hm"), ms.TextDelta("so")]


@pytest.mark.parametrize(
    ("body", "kind", "retryable"),
    [
        (sse({"error": {"message": "no", "type": "server_error"}}), "provider", True),
        (sse({"error": {"message": "no", "code": 429}}), "rate_limited", True),
        (sse({"error": {"message": "no", "code": "insufficient_quota"}}), "rate_limited", False),
        (sse({"error": "no"}), "provider", False),
        (sse({"error": {"message": "no", "code": 502}, "choices": [{"delta": {"content": ""}}]}), "provider", True),
        (
            b'event: error\ndata: {"error":{"message":"no","type":"invalid_request_error"}}\n\n',
            "invalid_request",
            False,
        ),
        (b'error: {"code":503,"message":"no"}\n\n', "overloaded", True),
        (b'{"error":{"code":401,"message":"no"}}\n\n', "auth", False),
        (b'{\n"error": {\n"code": 400, "message": "no"}\n}\n\n', "invalid_request", False),
    ],
)
def test_errors_in_the_stream(body: bytes, kind: str, retryable: bool) -> None:
    events = decode("openai", sse(delta(content="Hello")) + body)
    (error,) = errors_of(events)
    assert (error.kind, error.retryable, error.provider, error.status) == (kind, retryable, "openai-chat", None)
    assert "no" in error.message
    assert text_of(events) == "Hello"
    assert events[-1].reason == "error"


def test_lines_that_mean_nothing_are_ignored() -> None:
    body = b": PROCESSING\n\nfoo: bar\n\n{\n\n" + sse(delta(content="Hello"), delta("stop"))
    assert [event.type for event in decode("openai", body)] == ["start", "text_delta", "finish"]


def test_unknown_messages_stay_raw() -> None:
    body = b'event: odd\ndata: {"object":"odd"}\n\n' + sse("1")
    assert decode("openai", body)[1:3] == [ms.Raw('{"object":"odd"}', "odd"), ms.Raw("1")]


def test_unknown_finish_reason() -> None:
    assert decode("openai", sse(delta("mood")))[-1] == ms.Finish(ms.FinishReason.OTHER, "mood")


def test_citations() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2}}
    assert ms.Citations((ms.Citation("u", "t", start=1, end=2),)) in decode("openai", sse(delta(annotations=[cited])))
