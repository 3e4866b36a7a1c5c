"""Log probabilities in one form, from the five that providers send. They are kept as sent in an event's meta.

Nothing is computed until it is asked for. What cannot be read is left out: they never end a stream.
Source: PROTOCOLS.md sections 1, 4 and 6; llama.cpp's server documentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any

from msgspec import Struct

__all__ = ["Logprob", "token_logprobs"]


class Logprob(Struct, frozen=True, gc=False, omit_defaults=True):
    """How likely one token was.

    Attributes:
        token: its text, "" if the provider did not tell.
        logprob: the natural logarithm of its probability, None if the provider did not tell.
        data: its bytes, where the provider tells them: a token may be a part of a character.
        top: the likeliest tokens at this place, the chosen one among them or not.
    """

    token: str
    logprob: float | None = None
    data: bytes | None = None
    top: tuple[Logprob, ...] = ()


def token_logprobs(raw: Any) -> tuple[Logprob, ...]:
    """Read what an event carries as `meta["logprobs"]`; () for what is none. Cost: O(tokens) each time."""
    match raw:
        case list():  # OpenAI chat and Responses; llama.cpp
            return tuple(_entries(raw))
        case {"chosenCandidates": list(chosen), **rest}:  # Gemini
            lists = [top.get("candidates") if isinstance(top, dict) else None for top in _list(rest, "topCandidates")]
            return tuple(_paired(_entries(chosen), lists))
        case {"tokens": list(tokens), "token_logprobs": list(given), **rest}:  # OpenAI's legacy completions
            pairs = zip(tokens, given, strict=False)
            return tuple(_paired((Logprob(_text(t), _number(p)) for t, p in pairs), _list(rest, "top_logprobs")))
        case {"logprobs": list(given), **rest}:  # Cohere: the text of all tokens together
            alone = _text(rest.get("text")) if len(given) == 1 else ""
            return tuple(Logprob(alone, _number(p)) for p in given)
    return ()


def _entries(raw: Any) -> Iterable[Logprob]:
    if isinstance(raw, dict):  # legacy completions: {token: logprob}
        return [Logprob(token, _number(value)) for token, value in raw.items()]
    return [_entry(one) for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []


def _entry(raw: dict[str, Any]) -> Logprob:
    token = _text(raw.get("token") or raw.get("content") or raw.get("tok_str"))
    likely = _number(raw.get("logprob", raw.get("logProbability")))
    tops = raw.get("top_logprobs") or raw.get("probs")
    prob = _number(raw.get("prob"))
    if likely is None and prob:
        likely = log(prob) if prob > 0 else None
    if likely is None and isinstance(raw.get("probs"), list):  # llama.cpp before 2025 tells it among the likeliest
        likely = next((top.logprob for top in _entries(tops) if top.token == token), None)
    return Logprob(token, likely, _bytes(raw.get("bytes")), tuple(_entries(tops)))


def _paired(tokens: Iterable[Logprob], tops: list[Any]) -> Iterable[Logprob]:
    for n, one in enumerate(tokens):
        yield Logprob(one.token, one.logprob, one.data, tuple(_entries(tops[n])) if n < len(tops) else ())


def _list(raw: dict[Any, Any], name: str) -> list[Any]:
    value = raw.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _bytes(value: Any) -> bytes | None:
    try:
        return bytes(value) if isinstance(value, list) else None
    except (TypeError, ValueError):
        return None
