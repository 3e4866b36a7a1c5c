"""Ollama's lines, case by case."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import calls_of, decode, errors_of, lines, text_of

HELLO = {"model": "m", "message": {"role": "assistant", "content": "Hello"}, "done": False}
DONE = {
    "model": "m",
    "message": {"content": ""},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 3,
    "eval_count": 2,
}


def test_chat() -> None:
    usage = ms.Usage(3, 2, 5, raw={"prompt_eval_count": 3, "eval_count": 2})
    assert decode("ollama", lines(HELLO, DONE)) == [
        ms.Start("m"), ms.TextDelta("Hello"), usage, ms.Finish(ms.FinishReason.STOP, "stop", usage)
    ]  # fmt: skip


def test_generate() -> None:
    events = decode(
        "ollama-generate",
        lines({"response": "Hello", "thinking": "hm"}, {"response": "", "done": True, "context": [1]}),
    )
    assert events[1:] == [ms.ReasoningDelta("hm"), ms.TextDelta("Hello"), ms.Finish(ms.FinishReason.STOP, "stop")]


def test_tool_calls_come_whole_on_several_lines() -> None:
    def call(name, arguments):
        return {"message": {"content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]}}

    given = calls_of(decode("ollama", lines(call("f", {"x": 1}), call("g", {}), call("h", None), DONE)))
    assert [(c.name, c.arguments, c.index, c.validity) for c in given] == [
        ("f", {"x": 1}, 0, "valid"), ("g", {}, 1, "valid"), ("h", {}, 2, "valid")
    ]  # fmt: skip
    cut = calls_of(decode("ollama", lines(call("f", {"x": 1}))))
    assert [c.validity for c in cut] == ["incomplete"]


def test_thinking() -> None:
    assert decode("ollama", lines({"message": {"thinking": "hm", "content": ""}}))[1] == ms.ReasoningDelta("hm")


@pytest.mark.parametrize(("raw", "reason"), [("length", "length"), ("load", "other"), ("unload", "other")])
def test_done_reasons(raw: str, reason: str) -> None:
    finish = decode("ollama", lines(HELLO, DONE | {"done_reason": raw}))[-1]
    assert (finish.reason, finish.raw_reason) == (reason, raw)


def test_a_cached_prompt_has_no_count() -> None:
    cached = {key: value for key, value in DONE.items() if key != "prompt_eval_count"}
    usage = decode("ollama", lines(cached))[-1].usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (None, 2, 2)


@pytest.mark.parametrize("wire", ["ollama-chat", "ollama-generate"])
def test_error_line(wire: str) -> None:
    hello = HELLO | {"response": "Hello"}
    events = decode(wire, lines(hello, {"error": "out of memory"}, hello))
    assert [event.type for event in events] == ["start", "text_delta", "error", "finish"]
    assert "out of memory" in errors_of(events)[0].message


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_truncated_last_line_is_incomplete(cut: int) -> None:
    events = decode("ollama", lines(HELLO) + lines(DONE)[: -1 - cut])
    assert [event.type for event in events] == ["start", "text_delta", "finish"]
    assert events[-1].reason == "incomplete"


def test_the_last_line_needs_no_newline() -> None:
    assert decode("ollama", lines(HELLO, DONE)[:-1]) == decode("ollama", lines(HELLO, DONE))


def test_a_bad_line_in_the_middle_is_an_error() -> None:
    events = decode("ollama", lines(HELLO), b"{bad\n", lines(DONE))
    (error,) = errors_of(events)
    assert isinstance(error, ms.errors.InvalidJSON)
    assert (error.line, error.offset, error.provider) == (2, len(lines(HELLO)), "ollama-chat")
    assert text_of(events) == "Hello"


def test_a_line_that_is_no_object_is_a_protocol_error() -> None:
    assert isinstance(errors_of(decode("ollama", b"[1]\n"))[0], ms.errors.ProtocolError)
