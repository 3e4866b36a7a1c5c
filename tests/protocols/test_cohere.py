"""Cohere v2 and v1 by hand."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import calls_of, check_lifecycle, decode, errors_of, lines, sse, text_of


def run(*messages) -> list[ms.Event]:
    events = decode("cohere", sse(*messages))
    check_lifecycle(events)
    return events


def run_v1(*messages) -> list[ms.Event]:
    events = decode("cohere-v1-ndjson", lines(*messages))
    check_lifecycle(events)
    return events


def said(kind: str, index: int = 0, **message) -> dict:
    return {"type": kind, "index": index, "delta": {"message": message}}


def end(reason: str = "COMPLETE", **more) -> dict:
    return {"type": "message-end", "delta": {"finish_reason": reason, **more}}


START = {"type": "message-start", "id": "m_1", "delta": {"message": {"role": "assistant"}}}
V1_START = {"event_type": "stream-start", "generation_id": "g_1"}


def v1_end(reason: str = "COMPLETE", **more) -> dict:
    return {"event_type": "stream-end", "is_finished": True, "finish_reason": reason, **more}


def test_thinking_text_and_both_token_counts() -> None:
    usage = {"billed_units": {"input_tokens": 1, "output_tokens": 1}, "cached_tokens": 4,
             "tokens": {"input_tokens": 8.0, "output_tokens": 2.0}}  # fmt: skip
    events = run(
        START,
        said("content-start", 0, content={"type": "thinking", "thinking": ""}),
        said("content-delta", 0, content={"thinking": "hm"}),
        {"type": "content-end", "index": 0},
        said("content-delta", 1, content={"text": "Hi"}) | {"logprobs": {"text": "Hi"}},
        end(usage=usage),
        "[DONE]",
    )
    total = ms.Usage(8, 2, 10, 4, raw=usage)
    assert events == [
        ms.Start(id="m_1"),
        ms.ReasoningDelta("hm"),
        ms.TextDelta("Hi", 1, _meta={"logprobs": {"text": "Hi"}}),
        total,
        ms.Finish(ms.FinishReason.STOP, "COMPLETE", total),
    ]
    assert run(START, end(usage={"billed_units": usage["billed_units"]}))[-1].usage.total_tokens == 2


def test_a_plan_is_reasoning_and_calls_are_numbered() -> None:
    events = run(
        START,
        said("tool-plan-delta", tool_plan="I will"),
        said("tool-plan-delta", tool_plan=""),
        said("tool-call-start", 0, tool_calls={"id": "a", "function": {"name": "f", "arguments": ""}}),
        said("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"x":'}}),
        said("tool-call-delta", 0, tool_calls={"function": {"arguments": "1}"}}),
        {"type": "tool-call-end", "index": 0},
        said("tool-call-start", 1, tool_calls={"id": "b", "function": {"name": "g", "arguments": ""}}),
        {"type": "tool-call-end", "index": 1},
        {"type": "tool-call-end", "index": 7},
        end("TOOL_CALL"),
    )
    assert events[1].text == "I will"
    assert [(c.id, c.name, c.arguments) for c in calls_of(events)] == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert events[-1].reason == "tool_calls"


def test_a_call_cut_off_by_the_limit() -> None:
    events = run(
        START,
        said("tool-call-start", 0, tool_calls={"id": "a", "function": {"name": "f"}}),
        said("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"x":'}}),
        end("MAX_TOKENS"),
    )
    assert [c.validity for c in calls_of(events)] == ["incomplete"]
    assert events[-1].reason == "length"


@pytest.mark.parametrize("as_list", [True, False])
def test_one_citation_for_each_source(as_list: bool) -> None:
    sources = [{"type": "document", "id": "d_1", "document": {"url": "u", "title": "t"}}, {"type": "tool", "id": "t_1"}]
    cited = {"start": 1, "end": 4, "text": "abc", "sources": sources, "content_index": 2}
    events = run(
        START, said("citation-start", citations=[cited] if as_list else cited), {"type": "citation-end"}, end()
    )
    assert events[1] == ms.Citations(
        (ms.Citation("u", "t", "d_1", "abc", 1, 4), ms.Citation(source="t_1", text="abc", start=1, end=4)), 2
    )


def test_an_invalid_tool_generation_is_an_error() -> None:
    events = run(
        START,
        said("tool-plan-delta", tool_plan="I will"),
        end("ERROR", error="bad call", error_type="INVALID_TOOL_GENERATION", usage={}),
    )
    (error,) = errors_of(events)
    assert isinstance(error, ms.ProviderError)
    assert error.code == "INVALID_TOOL_GENERATION"
    assert (events[-1].reason, events[-1].raw_reason) == ("error", "ERROR")


@pytest.mark.parametrize("body", [{"message": "invalid api token"}, {"error": {"message": "x"}}, {"type": "error"}])
def test_an_error_body(body: dict) -> None:
    assert len(errors_of(run(body))) == 1


def test_the_unknown_is_raw() -> None:
    for message in ({"type": "new-thing"}, said("tool-call-delta", 9, tool_calls={"function": {"arguments": "x"}})):
        assert run(START, message, end())[1].json() == message
    assert run_v1(V1_START, {"event_type": "search-results"}, v1_end())[1].json() == {"event_type": "search-results"}


def test_an_end_without_a_reason_and_no_end() -> None:
    assert run(START, {"type": "message-end", "delta": {}})[-1].reason == "stop"
    assert run(START)[-1].reason == "incomplete"


def test_v1_text_citations_and_usage() -> None:
    cited = {"start": 0, "end": 2, "text": "Hi", "document_ids": ["d_1", "d_2"]}
    meta = {"billed_units": {"input_tokens": 1, "output_tokens": 2}}
    events = run_v1(
        V1_START,
        {"event_type": "text-generation", "text": "Hi"},
        {"event_type": "text-generation", "text": ""},
        {"event_type": "citation-generation", "citations": [cited]},
        {"event_type": "citation-generation", "citations": []},
        v1_end(response={"text": "Hi", "meta": meta}),
    )
    total = ms.Usage(1, 2, 3, raw=meta)
    two = tuple(ms.Citation(source=source, text="Hi", start=0, end=2) for source in ("d_1", "d_2"))
    finish = ms.Finish(ms.FinishReason.STOP, "COMPLETE", total)
    assert events == [ms.Start(id="g_1"), ms.TextDelta("Hi"), ms.Citations(two), total, finish]


def test_v1_tool_calls_whole_and_in_chunks() -> None:
    whole = {"event_type": "tool-calls-generation", "text": "Plan",
             "tool_calls": [{"name": "f", "parameters": {"x": 1}}]}  # fmt: skip
    chunks = [
        {"event_type": "tool-calls-chunk", "text": "Plan"},
        {"event_type": "tool-calls-chunk", "tool_call_delta": {"index": 0, "name": "f"}},
        {"event_type": "tool-calls-chunk", "tool_call_delta": {"index": 0, "parameters": '{"x":'}},
        {"event_type": "tool-calls-chunk", "tool_call_delta": {"index": 0, "parameters": "1}"}},
    ]
    for messages in ([whole], [*chunks, whole]):
        events = run_v1(V1_START, *messages, v1_end())
        assert events[1] == ms.ReasoningDelta("Plan")
        assert [(c.name, c.arguments) for c in calls_of(events)] == [("f", {"x": 1})]
        assert events[-1].reason == "tool_calls"
        assert sum(isinstance(event, ms.ReasoningDelta) for event in events) == 1


@pytest.mark.parametrize(("reason", "kind"), [("ERROR_TOXIC", "content_filter"), ("MAX_TOKENS", "length")])
def test_v1_reasons(reason: str, kind: str) -> None:
    events = run_v1(V1_START, {"event_type": "text-generation", "text": "Hi"}, v1_end(reason))
    assert (events[-1].reason, text_of(events)) == (kind, "Hi")


def test_v1_errors() -> None:
    assert len(errors_of(run_v1({"message": "invalid api token"}))) == 1
    assert len(errors_of(run_v1(V1_START, v1_end("ERROR", error="broke")))) == 1


def test_searches_of_v1_are_provider_tools_and_citations_know_what_they_found() -> None:
    queries = [{"text": "q", "generation_id": "g"}]
    found = [{"id": "d1", "url": "https://x.org", "title": "X", "snippet": "..."}]
    cited = [{"start": 0, "end": 2, "text": "Hi", "document_ids": ["d1", "d2"]}]
    events = run_v1(
        V1_START,
        {"event_type": "search-queries-generation", "search_queries": queries},
        {"event_type": "search-results", "search_results": [], "documents": found},
        {"event_type": "text-generation", "text": "Hi"},
        {"event_type": "citation-generation", "citations": cited},
        v1_end(),
    )
    assert [event for event in events if not isinstance(event, ms.Raw)][1:-1] == [
        ms.ProviderToolCall("", "search", queries),
        ms.ProviderToolResult("", "search", found),
        ms.TextDelta("Hi"),
        ms.Citations((ms.Citation("https://x.org", "X", "d1", "Hi", 0, 2), ms.Citation("", "", "d2", "Hi", 0, 2))),
    ]
