"""parse_partial_json against jiter itself: same values, same messages, on any prefix of anything, in every mode."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from decimal import Decimal

import jiter
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import shared_dir
from millstream.core import LosslessFloat, StringCache, parse_partial_json
from millstream.errors import IncompleteJSON, InvalidJSON, LimitExceeded, ParseError

MODES = ["off", "on", "trailing-strings"]
modes = st.sampled_from(MODES)
options = st.fixed_dictionaries({
    "allow_inf_nan": st.booleans(),
    "catch_duplicate_keys": st.booleans(),
    "cache_mode": st.sampled_from(["all", "keys", "none", True, False]),
    "float_mode": st.sampled_from(["float", "decimal", "lossless-float"]),
})  # fmt: skip

VECTORS = json.loads((shared_dir() / "vectors" / "partial_json_vectors.json").read_text())
SUITE = sorted((shared_dir() / "vectors" / "jsontestsuite").glob("*.json"))


def of_vector(vector):
    return bytes.fromhex(vector["input_hex"]) if "input_hex" in vector else vector["input"].encode()


def decoded(value):
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and "$float" in value:
            return float(value["$float"])
        if len(value) == 1 and "$int" in value:
            return int(value["$int"])
        return {key: decoded(item) for key, item in value.items()}
    return value


def outcome(parse, *args, **kwargs):
    """repr tells 1 from 1.0 and True, -0.0 from 0.0, shows the order of keys, and nan equals nan."""
    try:
        return repr(parse(*args, **kwargs))
    except ParseError as error:
        return "error: " + error.message
    except ValueError as error:
        return "error: " + str(error)


def check(data, mode, **some):
    want = outcome(jiter.from_json, data, partial_mode=mode, **some)
    assert outcome(parse_partial_json, data, mode, **some) == want
    return want


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector):
    data = of_vector(vector)
    if "expected" in vector:
        assert repr(parse_partial_json(data, vector["mode"])) == repr(decoded(vector["expected"]))
    else:
        with pytest.raises(ParseError) as caught:
            parse_partial_json(data, vector["mode"])
        assert caught.value.message == vector["error_message"]


def test_vectors_are_whole():
    assert len(VECTORS) >= 1035


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_jsontestsuite_at_every_cut(path):
    data = path.read_bytes()[:3000]
    cuts = range(len(data) + 1) if len(data) < 200 else (50, 201, 202, 203, len(data) // 2, len(data))
    for mode in MODES:
        for cut in cuts:
            check(data[:cut], mode)
        check(data, mode, allow_inf_nan=False, catch_duplicate_keys=True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("aé\\😀", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans(), st.sampled_from([None, 1]), modes, options)
def test_any_value_cut_anywhere(value, ascii, indent, mode, some):
    text = json.dumps(value, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    for cut in range(len(text) + 1):
        check(text[:cut], mode, **some)


PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"k"', b'"a\xc3\xa9\xe2\x82\xac"', b'"\\ud83d\\ude00"', b'"\\n\\u00e9', b'"',
    b"-1.5e+3", b"0", b"12", b"null", b"tru", b"-Infinity", b"\xf0\x9f\x98\x80", b" ", b"\n", b"\\ud800", b"NaN",
    b"1234567890", b'{"k":', b'{"k":1,', b"[[", b"\xed\xa0", b"\xe2\x82", b"\xff", b"\\u00", b"\\", b"\\u", b"\x01",
    b'"a', b"1.", b"e", b"-", b"zz", b'"k":',
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=9).map(b"".join) | st.binary(max_size=12), modes, options)
def test_anything_at_all(data, mode, some):
    check(data, mode, **some)


def test_random_pieces():
    rng = random.Random(4)
    for _ in range(30_000):
        data = b"".join(rng.choices(PIECES, k=rng.randint(1, 9)))
        check(data, rng.choice(MODES), allow_inf_nan=rng.random() < 0.7, catch_duplicate_keys=rng.random() < 0.5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 201, b"[" * 202, b"[" * 201 + b"]" * 201, b"[" * 201 + b"1", b"[" * 201 + b'"a', b"[" * 201 + b"tru",
        b"[" * 200 + b"[],2", b"[" * 200 + b'{"a":1', b"[" * 200 + b'{"a":', b"[" * 200 + b'{"a":x',
        b"[" * 201 + b"1,]", b"[" * 10_000_000,
        b"1" * 4300, b"1" * 4301, b"-" + b"1" * 4300, b"-" + b"1" * 4301, b"1" * 4301 + b".5", b"1." + b"1" * 9999,
        b"[" + b"1" * 4301 + b"e1]", b"[1e400,-1e400,1e-400]",
    ],
    ids=lambda data: f"{data[:3].decode()}...{data[-5:].decode()}/{len(data)}",
)  # fmt: skip
def test_limits_are_those_of_jiter(data, mode):
    check(data, mode)


def test_str_is_its_utf8():
    assert parse_partial_json('{"é":"😀') == {"é": "😀"}
    assert parse_partial_json(bytearray(b"[1"), True) == parse_partial_json(memoryview(b"[1"), "on") == [1]
    with pytest.raises(InvalidJSON) as caught:
        parse_partial_json('["\ud83d"]')
    assert (caught.value.reason, caught.value.offset) == ("utf8", 2)
    for wrong in (1, None, ["x"]):
        with pytest.raises(TypeError):
            parse_partial_json(wrong)


@pytest.mark.parametrize(
    ("data", "mode", "kind", "reason", "offset"),
    [
        (b"", "on", IncompleteJSON, "empty", 0),
        (b" ", "trailing-strings", IncompleteJSON, "empty", 1),
        (b"[1", "off", IncompleteJSON, "incomplete", 2),
        (b"tru", "on", IncompleteJSON, "incomplete", 3),
        (b"[1,]", "on", InvalidJSON, "trailing_comma", 3),
        (b"[nul]", "on", InvalidJSON, "literal", 4),
        (b"[" * 202, "on", LimitExceeded, "too_deep", 201),
        (b"[" + b"1" * 4301, "on", LimitExceeded, "too_many_digits", 4302),
    ],
)
def test_errors_are_of_our_tree(data, mode, kind, reason, offset):
    with pytest.raises(kind) as caught:
        parse_partial_json(data, mode)
    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.offset) == (reason, offset)
    if kind is LimitExceeded:
        assert (caught.value.option, caught.value.limit) in (("max_depth", 201), ("max_digits", 4300))


def test_invalid_json_says_where():
    with pytest.raises(InvalidJSON) as caught:
        parse_partial_json(b'{"a":1,\n "b" 2, and so on and so on and so on and so on}')
    error = caught.value
    assert (error.line, error.column, error.snippet[:3], len(error.snippet)) == (2, 6, b"2, ", 40)


@pytest.mark.parametrize("option", ["mode", "cache_mode", "float_mode"])
def test_options_are_checked(option):
    with pytest.raises(ValueError, match=option):
        parse_partial_json(b"[]", **{option: "x"})


def test_floats_as_they_were_written():
    text = b"[1.50,1,1e5,NaN,-Infinity]"
    numbers = parse_partial_json(text, float_mode="lossless-float")
    assert [str(number) for number in numbers] == ["1.50", "1", "1e5", "NaN", "-Infinity"]
    assert parse_partial_json(text, float_mode="decimal")[:3] == [Decimal("1.50"), 1, Decimal("1e5")]


def test_lossless_float():
    number = LosslessFloat(b"123.450e1")
    assert (str(number), bytes(number), float(number)) == ("123.450e1", b"123.450e1", 1234.5)
    assert number.as_decimal() == Decimal("1234.50")
    assert repr(number) == "LosslessFloat(123.450e1)"
    assert bytes(LosslessFloat([49, 46, 53])) == b"1.5"
    for wrong in (b"x", b"", b"1.", b"123.4x", b"true", b'"1"', b"[1]", b"01"):
        with pytest.raises(ValueError, match=" at line 1 column"):
            LosslessFloat(wrong)
    with pytest.raises(TypeError):
        LosslessFloat("1.5")


def test_equal_keys_are_one_object():
    first, second = parse_partial_json(b'[{"some key":1},{"some key":2}]')
    assert next(iter(first)) is next(iter(second))
    first, second = parse_partial_json(b'[{"some key":1},{"some key":2}]', cache_mode="none")
    assert next(iter(first)) is not next(iter(second))


def test_a_cache_is_shared_by_the_calls_that_take_it():
    cache = StringCache()
    first = parse_partial_json(b'{"foo":"some text","spam":3}', cache=cache)
    assert len(cache) == 3
    assert parse_partial_json(b'["some text"]', cache=cache)[0] is first["foo"]
    cache.clear()
    assert len(cache) == 0
    parse_partial_json(b'{"foo":"some text"}', cache=cache, cache_mode="keys")
    parse_partial_json(b'{"bar":"other text"}', cache=cache, cache_mode="none")
    assert len(cache) == 1
    with pytest.raises(TypeError):
        parse_partial_json(b"[]", cache={})


def test_many_strings_fit_the_cache():
    texts = [f"text {i}" for i in range(50_000)]
    cache = StringCache()
    assert parse_partial_json(json.dumps(texts), cache=cache) == texts
    assert 10_000 < len(cache) <= 16_384


def test_large_documents():
    document = [{"id": i, "text": "é\n" * (i % 50), "more": [1.5, None, {"x": "y" * i}]} for i in range(700)]
    text = orjson.dumps(document)
    assert parse_partial_json(text, "off") == document
    assert repr(parse_partial_json(text[:-99])) == repr(jiter.from_json(text[:-99], partial_mode="trailing-strings"))


def test_no_leaks():
    texts = [b'{"a":["\\u00e9x",1.5,{"b":nul', b'{"a":["x\xff"]}', b"[" * 300, b'[{"a":[1 2],"b":"' + b"y\\n" * 300]

    def once():
        for text in texts:
            for mode in MODES:
                outcome(parse_partial_json, text, mode, float_mode="decimal", catch_duplicate_keys=True)

    for _ in range(20):
        once()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            once()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
