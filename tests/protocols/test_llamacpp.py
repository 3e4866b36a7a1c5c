"""llama.cpp's own completion stream."""

from __future__ import annotations

import pytest

from millstream.events import Error, Finish, FinishReason, Raw, Start, TextDelta, Usage
from millstream.protocols import decoder


def read(*lines):
    source = decoder("llamacpp-native")
    return source.feed("".join(line + "\n\n" for line in lines).encode()) + source.close()


TEXT = 'data: {"content":"hi","stop":false}'


def test_text_usage_and_end():
    events = read(TEXT, 'data: {"content":"","stop":true,"stop_type":"eos","tokens_evaluated":3,"tokens_predicted":2}')
    assert events[:2] == [Start(), TextDelta("hi")]
    assert (events[-1].reason, events[-1].usage.total_tokens) == (FinishReason.STOP, 5)


@pytest.mark.parametrize(
    ("fields", "raw", "reason"),
    [
        ('"stopped_limit":true', "limit", FinishReason.LENGTH),
        ('"stopped_word":true', "word", FinishReason.STOP),
        ('"a":1', "none", FinishReason.OTHER),
    ],
)
def test_reasons_of_older_servers(fields, raw, reason):
    end = read(TEXT, f'data: {{"content":"","stop":true,{fields}}}')[-1]
    assert (end.raw_reason, end.reason) == (raw, reason)


def test_two_prompts_end_with_the_second():
    stop = 'data: {{"index":{},"content":"","stop":true,"stop_type":"eos","tokens_evaluated":3,"tokens_predicted":1}}'
    events = read(TEXT, 'data: {"index":1,"content":"ho"}', stop.format(0), stop.format(1), TEXT)
    assert [e.choice for e in events if isinstance(e, TextDelta)] == [0, 1]
    assert events[-1].usage == Usage(6, 2, 8, raw={"tokens_evaluated": 3, "tokens_predicted": 1})


def test_cut_off():
    assert read(TEXT)[-1] == Finish(FinishReason.INCOMPLETE)


@pytest.mark.parametrize("line", ['error: {"code":500,"message":"x"}', 'data: {"error":{"code":500,"message":"x"}}'])
def test_error(line):
    assert [type(e) for e in read(TEXT, line)] == [Start, TextDelta, Error, Finish]


def test_unknown_and_log_probabilities():
    events = read('data: {"progress":1}', 'data: {"content":"a","completion_probabilities":[{"id":1}]}')
    assert events[1] == Raw('{"progress":1}')
    assert events[2].meta == {"logprobs": [{"id": 1}]}
