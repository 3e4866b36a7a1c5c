"""Log probabilities of every provider, read in one form; whatever else stands there is left out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.events.logprobs import token_logprobs

P = ms.events.Logprob
READ = {
    "openai": (
        [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.5}]}],
        (P("a", -1.0, b"a", (P("b", -2.5),)),),
    ),
    "completions": (
        {"tokens": ["a", "b"], "token_logprobs": [None, -1], "top_logprobs": [None, {"c": -2}], "text_offset": [0, 1]},
        (P("a"), P("b", -1.0, None, (P("c", -2.0),))),
    ),
    "together": ({"tokens": ["a"], "token_logprobs": [-1]}, (P("a", -1.0),)),
    "gemini": ({"chosenCandidates": [{"token": "a", "logProbability": -1}]}, (P("a", -1.0),)),
    "cohere, one token": ({"text": "a", "token_ids": [1], "logprobs": [-1]}, (P("a", -1.0),)),
    "cohere, two tokens": ({"text": "ab", "token_ids": [1, 2], "logprobs": [-1, -2]}, (P("", -1.0), P("", -2.0))),
    "llama.cpp": ([{"id": 1, "token": "a", "bytes": [97], "logprob": -1, "top_logprobs": []}], (P("a", -1.0, b"a"),)),
    "llama.cpp, sampled": ([{"token": "a", "prob": 0.5}], (P("a", math.log(0.5)),)),
    "llama.cpp, old": (
        [{"content": "a", "probs": [{"tok_str": "a", "prob": 1.0}, {"tok_str": "b", "prob": 0}]}],
        (P("a", 0.0, None, (P("a", 0.0), P("b"))),),
    ),
}


@pytest.mark.parametrize(("raw", "expected"), READ.values(), ids=list(READ))
def test_each_form(raw: object, expected: tuple[ms.events.Logprob, ...]) -> None:
    assert token_logprobs(raw) == expected
    assert ms.TextDelta("x", _meta={"logprobs": raw}).logprobs == expected
    assert ms.Safety("refusal", "refuse", _meta={"logprobs": raw}).logprobs == expected


def test_none_are_none() -> None:
    assert ms.TextDelta("x").logprobs == ms.TextDelta("x", _meta={"phase": "p"}).logprobs == ()


names = st.sampled_from(["token", "logprob", "bytes", "top_logprobs", "tokens", "token_logprobs", "logprobs", "prob",
                         "probs", "chosenCandidates", "topCandidates", "candidates", "text", "content"])  # fmt: skip
leaves = st.none() | st.booleans() | st.integers(-1, 300) | st.floats(allow_nan=False) | st.just("a")
anything = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=4))


@given(anything)
def test_anything_can_be_asked(raw: object) -> None:
    for one in token_logprobs(raw):
        assert isinstance(one.token, str)


@pytest.mark.parametrize("value", [[97, 300], ["a"], [None], "a", {"a": 1}, None])
def test_bytes_that_are_none_are_left_out(value: object) -> None:
    assert token_logprobs([{"token": "a", "logprob": -1, "bytes": value}]) == (P("a", -1.0),)
