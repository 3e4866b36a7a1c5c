"""What only one of the servers with OpenAI's wire sends; `openai-chat` reads it as well as the dialect does."""

from __future__ import annotations

import pytest

from millstream.errors import ProviderError
from millstream.events import (
    Citation,
    Citations,
    Error,
    File,
    Finish,
    FinishReason,
    Logprob,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    TextDelta,
    ToolCall,
)
from millstream.protocols import ALIASES, DECODERS, decoder

DIALECTS = ["azure-openai-chat", "deepseek", "groq", "mistral", "openai-compatible", "openrouter"]


def read(dialect, *data, lines=()):
    body = "".join(f"data: {d}\n\n" for d in data).encode() + "".join(lines).encode()
    source, plain = decoder(dialect, provider="p"), decoder("openai-chat", provider="p")
    events = source.feed(body) + source.close()
    assert [repr(e) for e in plain.feed(body) + plain.close()] == [repr(e) for e in events]
    return events


def chunk(delta="{}", more=""):
    return f'{{"model":"m","choices":[{{"index":0,"delta":{delta}}}]{more}}}'


END = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("dialect", DIALECTS)
def test_plain_text(dialect):
    assert read(dialect, chunk('{"content":"hi"}'), END, "[DONE]") == [
        Start("m"), TextDelta("hi"), Finish(FinishReason.STOP, "stop"),
    ]  # fmt: skip


def test_aliases_name_decoders():
    assert set(ALIASES.values()) <= set(DECODERS)
    assert not set(ALIASES) & set(DECODERS)


def test_groq_usage_error_and_executed_tools():
    events = read("groq", chunk('{"executed_tools":[{"index":0}]}', ',"x_groq":{"usage":{"prompt_tokens":5}}'))
    assert [type(e) for e in events[:2]] == [Start, Raw]
    assert events[-1].usage.input_tokens == 5
    events = read("groq", chunk('{"content":"a"}'), lines=['event: error\ndata: {"message":"no","code":"x"}\n\n'])
    assert [type(e) for e in events] == [Start, TextDelta, Error, Finish]
    assert events[2].error.code == "x"


def test_azure_verdicts_wait_for_the_model():
    first = (
        '{"model":"","choices":[],"prompt_filter_results":[{"content_filter_results":{"jailbreak":{"filtered":false,'
        '"detected":true},"hate":{"filtered":false,"severity":"safe"},"custom_blocklists":[]}}]}'
    )
    verdict = '{"choices":[{"index":0,"content_filter_results":{"hate":{"filtered":true,"severity":"high"}}}]}'
    events = read("azure", first, chunk('{"content":"a"}'), verdict)
    assert events[:4] == [Start("m"), Safety("jailbreak"), TextDelta("a"), Safety("hate", "block", note="high")]
    assert [type(e) for e in read("azure", first)] == [Start, Safety, Finish]


def test_mistral_parts_and_reasons():
    parts = (
        '{"content":[{"type":"thinking","thinking":[{"text":"h"}]},{"type":"text","text":"a"},{"reference_ids":[1]}]}'
    )
    events = read("mistral", chunk(parts), '{"choices":[{"index":0,"delta":{},"finish_reason":"model_length"}]}')
    assert events[1:4] == [ReasoningDelta("h"), TextDelta("a"), Citations((Citation(source="1"),))]
    assert events[-1].reason is FinishReason.LENGTH


def test_mistral_calls_without_number_or_id():
    call = '{"id":"null","function":{"name":"f","arguments":"{}"}}'
    events = read("mistral", chunk(f'{{"tool_calls":[{call},{call}]}}'), END)
    assert [(e.id, e.name, e.index) for e in events if isinstance(e, ToolCall)] == [("", "f", 0), ("", "f", 1)]


def test_finish_reason_error_without_an_error():
    events = read("mistral", chunk(), '{"choices":[{"index":0,"finish_reason":"error"}]}', "[DONE]")
    assert [type(e) for e in events] == [Start, Error, Finish]
    assert type(events[1].error) is ProviderError


def test_openrouter_error_inside_a_chunk():
    last = '{"error":{"code":400,"message":"x"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}'
    events = read("openrouter", chunk('{"content":"a"}'), last)
    assert [type(e) for e in events] == [Start, TextDelta, Error, Finish]
    assert (events[-1].reason, events[-1].raw_reason) == (FinishReason.ERROR, "error")


def test_openrouter_reasoning_is_not_doubled():
    details = '[{"text":"h"},{"signature":"s"},{"data":"x","id":"r"}]'
    events = read("openrouter", chunk(f'{{"reasoning":"h","reasoning_details":{details}}}'))[1:-1]
    assert [(e.text, e.signature, e.encrypted) for e in events] == [("h", None, None), ("", "s", None), ("", None, "x")]
    assert events[2].meta["reasoning_details"]["id"] == "r"


def test_sources_repeated_in_every_chunk_come_once():
    more = ',"search_results":[{"url":"u","title":"t"}],"citations":["u","v"]'
    events = read("perplexity", chunk('{"content":"a"}', more), chunk('{"content":"b"}', more))
    assert [e for e in events if isinstance(e, Citations)] == [
        Citations((Citation(url="u", title="t"), Citation(url="v")))
    ]


def test_message_beside_delta_and_instead_of_it():
    both = '{"choices":[{"index":0,"delta":{"content":"a"},"message":{"content":"a"}}]}'
    late = '{"choices":[{"index":0,"message":{"content":"a"}}]}'
    assert [type(e) for e in read("perplexity", both, late)] == [Start, TextDelta, Finish]
    assert read("vllm", late)[1] == TextDelta("a")


def test_whole_answers_of_two_choices():
    two = '{"choices":[{"index":0,"message":{"content":"a"}},{"index":1,"message":{"content":"b"}}]}'
    assert read("vllm", two)[1:3] == [TextDelta("a"), TextDelta("b", choice=1)]


def test_odd_metadata_does_not_end_the_stream():
    choice = '{"index":0,"delta":{"content":"a","reasoning_details":["x"]},"logprobs":[1]}'
    assert read("vllm", f'{{"choices":[{choice}],"search_results":["x"]}}')[1] == TextDelta("a")


def test_eos_of_together():
    source = decoder("together")
    events = source.feed(b'data: {"choices":[{"index":0,"finish_reason":"eos"}]}\n\n') + source.close()
    assert events[-1] == Finish(FinishReason.STOP, "eos")


def test_log_probabilities():
    data = '{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}'
    assert read("vllm", data)[1].meta == {"logprobs": [{"token": "a"}]}


def test_spoken_answers_are_files_and_their_transcript_is_the_text():
    pieces = ['{"id":"a1","transcript":"Hi"}', '{"id":"a1","data":"AAE="}', '{"data":"AgM="}', '{"expires_at":1}']
    _, said, *heard, end, _ = read("openai", *(chunk(f'{{"content":null,"audio":{piece}}}') for piece in pieces))
    assert (said, said.meta) == (TextDelta("Hi", _meta={"audio": "a1"}), {"audio": "a1"})
    assert heard == [File("audio/pcm", data, _meta={"audio": "a1"}) for data in (b"\0\1", b"\2\3")]
    assert isinstance(end, Raw)


@pytest.mark.parametrize("audio", ['{"data":"AA"}', '{"data":"AA","transcript":"Hi"}', '"x"', '{"odd":1}'])
def test_audio_of_another_form_is_kept_as_it_came(audio):
    (event,) = read("vllm", chunk(f'{{"audio":{audio}}}'))[1:-1]
    assert isinstance(event, Raw)
    assert audio in event.data


CUSTOM = ['"id":"c","type":"custom","custom":{"name":"f","input":""}', '"custom":{"input":"print("}',
          '"custom":{"input":"1)"}']  # fmt: skip


def test_the_input_of_a_custom_tool_is_free_text():
    parts = [chunk(f'{{"tool_calls":[{{"index":0,{part}}}]}}') for part in CUSTOM]
    _, first, *rest, call, end = read("openai", *parts, '{"choices":[{"finish_reason":"tool_calls"}]}')
    assert (first.name, first.meta) == ("f", {"custom": True})
    assert [delta.arguments for delta in rest] == ["print(", "1)"]
    assert call == ToolCall("c", "f", b"print(1)", "print(1)", _meta={"custom": True})
    assert end.reason is FinishReason.TOOL_CALLS
    *_, cut, _ = read("openai", *parts, '{"choices":[{"finish_reason":"length"}]}')
    assert (cut.arguments, cut.validity) == (None, "incomplete")


def test_old_form_of_errors():
    events = read("vllm", '{"object":"error","message":"no","code":40301}')
    assert [type(e) for e in events] == [Start, Error, Finish]


@pytest.mark.parametrize(
    ("raw", "cached", "written", "reasoning"),
    [
        ('{"prompt_cache_hit_tokens":3}', 3, None, None),
        ('{"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":2}}', 0, 2, None),
        ('{"reasoning_tokens":7,"completion_tokens_details":null}', None, None, 7),
    ],
)
def test_usage_dialects(raw, cached, written, reasoning):
    usage = read("deepseek", chunk(more=f',"usage":{raw}'))[-1].usage
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (cached, written, reasoning)


def test_a_call_begun_after_a_finish_reason_is_not_confirmed_by_it():
    """Together finishes each of several calls; a connection lost inside the second one must not run it."""

    def call(index, arguments, reason="null"):
        function = f'{{"name":"f","arguments":{arguments}}}'
        part = f'{{"index":{index},"id":"{index}","function":{function}}}'
        return f'{{"choices":[{{"index":0,"delta":{{"tool_calls":[{part}]}},"finish_reason":{reason}}}]}}'

    first, begun = call(0, '"{}"', '"tool_calls"'), call(1, '""')
    cut = read("openai-compatible", first, begun)
    assert [e.validity for e in cut if isinstance(e, ToolCall)] == ["valid", "incomplete"]
    assert cut[-1].reason == "incomplete"
    whole = read("openai-compatible", first, begun, call(1, '"{}"', '"tool_calls"'))
    assert [e.validity for e in whole if isinstance(e, ToolCall)] == ["valid", "valid"]
    assert whole[-1].reason == "tool_calls"


def test_groqs_own_tools():
    begun = chunk('{"executed_tools":[{"index":0,"type":"search","arguments":"{\\"q\\":1}"}]}')
    done = chunk('{"executed_tools":[{"index":0,"type":"search","arguments":"{\\"q\\":1}","output":"found"}]}')
    events = read("groq", begun, done, END)
    assert [type(e) for e in events[1:5]] == [Raw, ProviderToolCall, Raw, ProviderToolResult]
    assert events[2] == ProviderToolCall("0", "search", {"q": 1})
    assert events[4] == ProviderToolResult("0", "search", "found")
    named = read("groq", chunk('{"executed_tools":[{"index":0,"id":"x","name":"look","type":"function"}]}'), END)
    assert named[2] == ProviderToolCall("x", "look", None)


def test_openrouters_images_are_files():
    url = '{"type":"image_url","image_url":{"url":"%s"},"index":1}'
    inline, elsewhere = url % "data:image/png;base64,iVBORw==", url % "https://x/y.png"
    events = read("openrouter", chunk(f'{{"content":"","images":[{inline},{elsewhere}]}}'), END)
    assert events[1:3] == [File("image/png", b"\x89PNG", "", 1), File("", b"", "https://x/y.png", 1)]
    plain = url % "data:image/svg+xml,%3Csvg%3E"
    assert read("openrouter", chunk(f'{{"images":[{plain}]}}'), END)[1] == File(
        "", b"", "data:image/svg+xml,%3Csvg%3E", 1
    )
    images = url % "data:image/png;base64,*"
    broken = ("data: " + chunk(f'{{"images":[{images}]}}') + "\n\n").encode()
    assert [type(e) for e in decoder("openrouter").feed(broken)] == [Start, Error, Finish]


def test_log_probabilities_of_refusals_and_of_together():
    refusal = '"logprobs":{"content":null,"refusal":[{"token":"no","logprob":-1,"bytes":[110,111],"top_logprobs":[]}]}'
    events = read("openai-compatible", f'{{"choices":[{{"index":0,"delta":{{"refusal":"no"}},{refusal}}}]}}')
    assert events[1].logprobs == (Logprob("no", -1.0, b"no"),)
    flat = '"logprobs":{"tokens":["hi"],"token_logprobs":[-2]}'
    events = read("openai-compatible", f'{{"choices":[{{"index":0,"delta":{{"content":"hi"}},{flat}}}]}}')
    assert events[1].logprobs == (Logprob("hi", -2.0),)
