"""The drop-in against the real one: every public name, every option, every kind of misuse."""

from __future__ import annotations

import json
import math

import jiter as real
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.compat import jiter

BOTH = pytest.mark.parametrize("module", [real, jiter], ids=["jiter", "millstream"])


def test_it_has_all_public_names():
    names = {name for name in dir(real) if not name.startswith("_")} - {"jiter"}
    assert names == set(jiter.__all__)
    assert jiter.__version__ == real.__version__


def outcome(module, *args, **kwargs):
    try:
        return repr(module.from_json(*args, **kwargs))
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())


@given(json_texts, st.sampled_from([False, True, "off", "on", "trailing-strings"]), st.data())
def test_any_truncation(text, mode, data):
    text = text[: data.draw(st.integers(0, len(text)))]
    for options in ({}, {"float_mode": "lossless-float"}, {"allow_inf_nan": False, "catch_duplicate_keys": True}):
        assert outcome(jiter, text, partial_mode=mode, **options) == outcome(real, text, partial_mode=mode, **options)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("[]",), {}), ((bytearray(b"[]"),), {}), ((b"[]",), {"partial_mode": 3}),
        ((b"[]",), {"partial_mode": "x"}), ((b"[]",), {"cache_mode": "x"}), ((b"[]",), {"cache_mode": 3}),
        ((b"[]",), {"float_mode": "x"}), ((b"[]",), {"float_mode": 1}), ((b"x" * 9,), {}),
        ((b'{"a":1,"a":2}',), {"catch_duplicate_keys": True}), ((b"[NaN]",), {"allow_inf_nan": False}),
        ((b"[1e99999999999999999999]",), {"float_mode": "decimal"}), ((b"[1] 2",), {}),
    ],
)  # fmt: skip
def test_misuse_and_bad_input_raise_the_same(args, options):
    assert outcome(jiter, *args, **options) == outcome(real, *args, **options)


@BOTH
def test_cache(module):
    text = b'{"foo": "bar", "spam": 3}'
    for mode, usage in (("all", 3), (True, 3), ("keys", 2), ("none", 0), (False, 0)):
        module.cache_clear()
        assert module.from_json(text, cache_mode=mode) == {"foo": "bar", "spam": 3}
        assert module.cache_usage() == usage
    module.cache_clear()
    assert module.cache_usage() == 0


@BOTH
def test_lossless_float(module):
    number = module.from_json(b"123.456789123456789e45", float_mode="lossless-float")
    assert isinstance(number, module.LosslessFloat)
    assert (str(number), bytes(number)) == ("123.456789123456789e45", b"123.456789123456789e45")
    assert repr(number) == "LosslessFloat(123.456789123456789e45)"
    assert math.isclose(float(number), 1.23456789123456789e47)
    assert str(number.as_decimal()) == "1.23456789123456789E+47"
    assert module.from_json(b"123", float_mode="lossless-float") == 123
    for wrong in (b"123.4x", b"x", b"", b"1.", b"01"):
        with pytest.raises(ValueError, match=" at line 1 column"):
            module.LosslessFloat(wrong)


@BOTH
def test_positional_and_keyword_only(module):
    with pytest.raises(TypeError):
        module.from_json(json_data=b"[]")
    with pytest.raises(TypeError):
        module.from_json(b"[]", True)


def test_the_error_is_a_plain_value_error():
    with pytest.raises(ValueError, match=r"^EOF while parsing a list at line 1 column 9$") as caught:
        jiter.from_json(b'["string"')
    assert type(caught.value) is ValueError
    assert caught.value.__suppress_context__
