"""What the usual messages of OpenAI's chat wire mean, and those of legacy completions: rules, see `_base.py`."""

from __future__ import annotations

from typing import Any

from millstream.core import Rule, Rules
from millstream.events import ReasoningDelta, TextDelta

__all__ = ["CHAT", "COMPLETIONS"]

CHOICE = "choices.0."
DELTA = CHOICE + "delta."
CALL = DELTA + "tool_calls.0."
DETAIL = DELTA + "reasoning_details.0."

# What is looked at in every message.
ALWAYS = ("citations", "error", "prompt_filter_results", "search_results", "x_groq.usage")
# Azure's verdicts say nothing unless one of these is true.
VERDICTS = tuple(f"{CHOICE}content_filter_results.*.{name}" for name in ("filtered", "detected"))
# With any of them, there is more to a message than a text or a piece of a tool call.
MORE = tuple(DELTA + name for name in ("annotations", "audio", "executed_tools", "function_call", "images", "refusal"))
DETAILS, CALLS = DELTA + "reasoning_details", DELTA + "tool_calls"
CONTENT, REASONING, REASONING_CONTENT = (DELTA + name for name in ("content", "reasoning", "reasoning_content"))
LOGPROBS, FINISH = CHOICE + "logprobs", CHOICE + "finish_reason"


def _rule(*reads: str, **says: Any) -> Rule:
    says = {"unless": {"object": "error"}, "latest": ("usage",)} | says
    return Rule(reads=(*ALWAYS, *reads), **says)


def _answer(*reads: str, **says: Any) -> Rule:
    return _rule(
        *reads, choice=CHOICE + "index?", names=("model", "id"), begins=True, heard=True, finish=FINISH, **says
    )


TEXT = _answer(
    *(*VERDICTS, *MORE, LOGPROBS, DETAILS, CALLS),
    needs=(CHOICE + "delta",),
    text={CONTENT: TextDelta, REASONING_CONTENT: ReasoningDelta, REASONING: ReasoningDelta},
)
# Mistral: a list with one part, which is a text or a thought.
PART = _answer(
    *(*VERDICTS, *MORE, LOGPROBS, DETAILS, CALLS, CONTENT + ".0.reference_ids", REASONING, REASONING_CONTENT),
    needs=(CONTENT + ".0",),
    text={CONTENT + ".0.text": TextDelta, CONTENT + ".0.thinking.0.text": ReasoningDelta},
)
ARGUMENTS = _rule(
    *(*MORE, LOGPROBS, FINISH, DETAILS, CONTENT, REASONING, REASONING_CONTENT, CALL + "function.input"),
    when={CALL + "id": None, CALL + "function.name": None, CALL + "custom": None},
    unless={"object": "error", CALL + "type": "custom"},
    needs=(CALL + "function.arguments",),
    index=CALL + "index",
    choice=CHOICE + "index?",
    call="_fragment",
    given=(CALL + "function.arguments",),
)
# OpenRouter: a text, and an entry that says the same again.
TEXT_AND_ENTRY = _rule(
    *(*MORE, LOGPROBS, FINISH, CALLS, CONTENT, REASONING_CONTENT, DETAIL + "*"),
    when={DETAIL + "signature": None, DETAIL + "data": None},
    needs=(DETAIL + "text",),
    index=DETAIL + "index",
    choice=CHOICE + "index?",
    call="_reasoned",
    given=(REASONING, DETAIL + "type", DETAIL + "format"),
)
USAGE = _rule(when={"choices": None, "usage": dict}, names=("model", "id"))

CHAT = Rules(TEXT, ARGUMENTS, TEXT_AND_ENTRY, PART, USAGE)
COMPLETIONS = Rules(
    _answer(
        *(CHOICE + name for name in ("content_filter_results", "delta", "logprobs", "message")),
        needs=(CHOICE + "text",),
        text={CHOICE + "text": TextDelta},
    ),
    USAGE,
)
