"""The `from_json` of the SDKs' helpers: at every step of a growing text the value, or the error, that jiter gives."""

from __future__ import annotations

import json
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import shared_dir
from millstream.compat import _growing

MODES = [True, "on", "trailing-strings"]
VECTORS = json.loads((shared_dir() / "vectors" / "partial_json_vectors.json").read_text())
SMALL = _growing.SMALL
DOCUMENTS = sorted({v["doc"] for v in VECTORS})


@pytest.fixture(autouse=True)
def _all_texts_are_remembered(monkeypatch):
    monkeypatch.setattr(_growing, "SMALL", 0)
    _growing._texts.all.clear()


def outcome(from_json, data, **options):
    try:
        return repr(from_json(data, **options))
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def check(data: bytes, mode, steps) -> None:
    for end in steps:
        expected = outcome(jiter.from_json, data[:end], partial_mode=mode)
        assert outcome(_growing.from_json, data[:end], partial_mode=mode) == expected, data[:end]


def of_vector(vector) -> bytes:
    return bytes.fromhex(vector["input_hex"]) if "input_hex" in vector else vector["input"].encode()


@pytest.mark.parametrize("mode", [True, "trailing-strings"])
@pytest.mark.parametrize("doc", DOCUMENTS)
def test_every_vector_grows_byte_by_byte(doc, mode):
    for data in {of_vector(v) for v in VECTORS if v["doc"] == doc}:
        check(data, mode, range(len(data) + 1))


keys = st.sampled_from(["a", "b", "aa"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
noise = st.sampled_from([b"", b",", b"}", b'"', b"x", b"\\", b"\xff", b"NaN", b'"a":"q', b',"a":1', b" 2", b"[" * 210])


@given(values, st.booleans(), noise, st.randoms(use_true_random=False), st.sampled_from(MODES))
def test_any_text_right_or_wrong(value, ascii, bad, rng, mode):
    data = json.dumps(value, ensure_ascii=ascii).encode()
    at = rng.randrange(len(data) + 1)
    data = data[:at] + bad + data[at:]
    steps, end = [0], 0
    while end < len(data):
        end = min(len(data), end + rng.choice([1, 1, 2, 5]))
        steps.append(end)
    check(data, mode, steps)


def test_many_texts_that_grow_in_turns(monkeypatch):
    monkeypatch.setattr(_growing, "TEXTS", 4)
    rng = random.Random(7)
    texts = [json.dumps({"n": i % 3, "s": ["é" * i, {"x": i}]}).encode() for i in range(9)]
    ends = [0] * len(texts)
    for _ in range(600):
        i = rng.randrange(len(texts))
        ends[i] = (ends[i] + rng.randrange(3)) % (len(texts[i]) + 1)
        check(texts[i], rng.choice(MODES), [ends[i]])
        assert len(_growing._texts.all) <= 4


@pytest.mark.parametrize("mode", MODES)
def test_results_share_nothing_that_can_be_changed(mode):
    text = b'{"a": [{"b": 1}], "c": "'
    first = _growing.from_json(text, partial_mode=mode)
    first["a"][0]["b"] = first["z"] = "changed"
    assert _growing.from_json(text + b'x", "d', partial_mode=mode) == {"a": [{"b": 1}], "c": "x"}


def test_a_text_that_is_whole_is_forgotten():
    _growing.from_json(b'{"a": [1', partial_mode=True)
    assert len(_growing._texts.all) == 1
    assert _growing.from_json(b'{"a": [1]}', partial_mode=True) == {"a": [1]}
    assert _growing._texts.all == []


def test_threads_do_not_see_each_other():
    text = json.dumps({"s": "x" * 300, "l": [{"i": i} for i in range(40)]}).encode()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda mode: check(text, mode, range(0, len(text) + 1, 3)), MODES * 3))


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("{}",), {"partial_mode": True}),
        ((bytearray(b"{}"),), {"partial_mode": True}),
        ((b"{}",), {"partial_mode": "x"}),
        ((b'{"a": 1.0',), {"partial_mode": True, "float_mode": "decimal"}),
        ((b'{"a": 1',), {}),
        ((b'{"a": 1}',), {}),
    ],
)
def test_all_other_calls_are_jiters(args, options):
    assert outcome(_growing.from_json, *args, **options) == outcome(jiter.from_json, *args, **options)
    assert _growing._texts.all == []


def test_a_short_text_is_not_remembered(monkeypatch):
    monkeypatch.setattr(_growing, "SMALL", SMALL)
    text = b'["' + b"x" * SMALL
    for end, n_remembered in ((SMALL - 1, 0), (SMALL, 1)):
        expected = outcome(jiter.from_json, text[:end], partial_mode="trailing-strings")
        assert outcome(_growing.from_json, text[:end], partial_mode="trailing-strings") == expected
        assert len(_growing._texts.all) == n_remembered


def test_what_is_remembered_is_bounded():
    tracemalloc.start()
    try:
        for i in range(3 * _growing.TEXTS):
            _growing.from_json(b'["%d", "' % i + b"x" * 10_000, partial_mode=True)
        assert len(_growing._texts.all) == _growing.TEXTS
        assert tracemalloc.get_traced_memory()[0] < 4 * _growing.TEXTS * 10_000
    finally:
        tracemalloc.stop()
        _growing._texts.all.clear()
