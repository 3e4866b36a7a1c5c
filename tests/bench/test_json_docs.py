"""The JSON documents of the benchmarks are what they say, by the parser of the standard library."""

import json
from collections.abc import Iterator

import pytest
from bench.json_docs import DEPTH, SIZES, Document

from bench import json_docs


@pytest.fixture(params=[(shape, size) for shape in json_docs.shapes() for size in SIZES], ids=" ".join)
def document(request: pytest.FixtureRequest) -> Document:
    return json_docs.document(*request.param)


def values(value: object, depth: int = 0) -> Iterator[tuple[object, int]]:
    yield value, depth
    if isinstance(value, (dict, list)):
        for child in value.values() if isinstance(value, dict) else value:
            yield from values(child, depth + 1)


def test_names() -> None:
    assert json_docs.shapes() == ["one long string", "many records", "deep mix"]
    assert list(SIZES) == ["10 kB", "100 kB", "1 MB"]
    assert json_docs.DELTA_BYTES == (4, 16, 64)


def test_says_the_value_it_claims(document: Document) -> None:
    assert json.loads(document.data) == document.value


def test_has_its_size(document: Document) -> None:
    assert len(document.data) == pytest.approx(SIZES[document.size], rel=0.015)


def test_is_deterministic(document: Document) -> None:
    json_docs.document.cache_clear()
    again = json_docs.document(document.shape, document.size)
    assert again is not document
    assert again == document


@pytest.mark.parametrize("size", SIZES)
def test_one_long_string_is_nearly_all_of_it(size: str) -> None:
    document = json_docs.document("one long string", size)
    content = document.value["content"]
    assert len(content) > 0.9 * len(document.data)
    assert content.count("\n") + content.count('"') + content.count("\\") > 0.03 * len(content)  # what has escapes
    assert len(set(content.splitlines())) > 0.95 * content.count("\n")


@pytest.mark.parametrize("size", SIZES)
def test_many_records_have_one_form(size: str) -> None:
    document = json_docs.document("many records", size)
    items = document.value["items"]
    assert len({tuple(item) for item in items}) == 1
    assert 200 <= len(document.data) / len(items) <= 280
    assert len({item["description"] for item in items}) > 0.99 * len(items)


@pytest.mark.parametrize("size", SIZES)
def test_deep_mix_has_all_kinds_in_small_tokens_down_to_the_depth(size: str) -> None:
    document = json_docs.document("deep mix", size)
    all_of_it = list(values(document.value))
    kinds = {type(value) for value, _ in all_of_it}
    assert kinds == {dict, list, str, int, float, bool, type(None)}
    assert max(depth for _, depth in all_of_it) == DEPTH + 1
    keys = sum(len(value) for value, _ in all_of_it if isinstance(value, dict))
    assert len(document.data) / (len(all_of_it) + keys) < 10  # bytes of a token, with what stands between
    assert {} in [value for value, _ in all_of_it]
    assert [] in [value for value, _ in all_of_it]
    assert not document.data.isascii()
    assert rb"\"" in document.data
    assert rb"\n" in document.data
