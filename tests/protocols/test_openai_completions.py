"""Legacy completions: text in `choices[].text`, the rest as in chat."""

from __future__ import annotations

from millstream.events import Error, Finish, FinishReason, Start, TextDelta
from millstream.protocols import decoder


def read(*objects):
    source = decoder("completions")
    return source.feed("".join(f"data: {obj}\n\n" for obj in objects).encode()) + source.close()


def test_text_and_end():
    assert read('{"model":"m","id":"i","choices":[{"index":0,"text":"hi","logprobs":{"tokens":["hi"]}}]}',
                '{"choices":[{"text":"","finish_reason":"length"}]}', "[DONE]") == [
        Start("m", "i"), TextDelta("hi", _meta={"logprobs": {"tokens": ["hi"]}}), Finish(FinishReason.LENGTH, "length"),
    ]  # fmt: skip


def test_two_choices_and_usage():
    events = read(
        '{"choices":[{"index":0,"text":"a"},{"index":1,"text":"b"}]}', '{"choices":[],"usage":{"prompt_tokens":1}}'
    )
    assert events[1:3] == [TextDelta("a"), TextDelta("b", choice=1)]
    assert events[-1].usage.input_tokens == 1


def test_servers_that_send_deltas_here():
    assert read('{"choices":[{"text":"","delta":{"content":"x"}}]}')[1] == TextDelta("x")


def test_error():
    assert [type(e) for e in read('{"error":{"message":"no"}}')] == [Start, Error, Finish]
