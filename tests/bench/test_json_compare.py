"""The JSON benchmark measures right answers, and would notice wrong ones."""

from collections.abc import Callable
from typing import Any

import pytest
from bench.json_compare import begins, estimate, is_correct
from bench.json_peers import PEERS, WHOLE, Peer

from bench import json_compare, json_docs, json_peers
from millstream.core import JSONParser

SMALL = [json_docs.document(shape, "10 kB") for shape in json_docs.shapes()]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
@pytest.mark.parametrize("document", SMALL, ids=lambda document: document.shape)
@pytest.mark.parametrize("n", json_docs.DELTA_BYTES)
def test_every_peer_gives_the_right_values(peer: Peer, document: json_docs.Document, n: int) -> None:
    assert is_correct(peer, document, n)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("document", SMALL, ids=lambda document: document.shape)
def test_every_peer_gives_the_right_whole_value(name: str, document: json_docs.Document) -> None:
    assert WHOLE[name](document.data) == document.value


Change = Callable[[Any, bytes], Any]


def broken(change: Change) -> Peer:
    """millstream, but for what `change` makes of the value that is seen."""

    def stream(data: bytes, n: int, see: Callable[[Any], object] | None = None) -> Any:
        parser = JSONParser()
        for i in range(0, len(data), n):
            parser.feed(data[i : i + n])
            if see is not None:
                see(change(parser.snapshot(), data[: i + n]))
        return change(parser.value, data)

    return Peer("broken", stream)


def late(value: Any, so_far: bytes) -> Any:
    """What was there 200 bytes ago, until the end."""
    parser = JSONParser()
    parser.feed(so_far if len(so_far) > 9_900 else so_far[:-200])
    return parser.value or {}


def one_too_many(value: Any, so_far: bytes) -> Any:
    return value if len(so_far) > 9_900 else {**value, "more": 1}


def wrong_at_the_end(value: Any, so_far: bytes) -> Any:
    return value if len(so_far) < 9_900 else {**value, "more": 1}


@pytest.mark.parametrize("change", [late, one_too_many, wrong_at_the_end])
@pytest.mark.parametrize("document", SMALL[:2], ids=lambda document: document.shape)
def test_a_wrong_answer_is_noticed(change: Change, document: json_docs.Document) -> None:
    assert is_correct(broken(lambda value, so_far: value), document, 16)
    assert not is_correct(broken(change), document, 16)


def test_a_peer_that_hides_open_strings_must_say_so() -> None:
    assert not is_correct(Peer("ijson", json_peers.ijson_push), SMALL[0], 16)


@pytest.mark.parametrize(
    ("part", "whole", "answer"),
    [
        ("ab", "abc", True),
        ("abd", "abc", False),
        ([], [1], True),
        ([1], [1, 2], True),
        ([2], [1, 2], False),
        ([1, 2, 3], [1, 2], False),
        (["a", "b"], ["a", "bc"], True),
        (["a", "b"], ["ax", "b"], False),
        ({}, {"a": 1}, True),
        ({"a": {"b": "x"}}, {"a": {"b": "xy", "c": 1}}, True),
        ({"a": 1, "b": []}, {"a": 2, "b": []}, False),
        ({"c": 1}, {"a": 1}, False),
        (1, 12, False),
        (None, [], False),
    ],
)
def test_begins(part: Any, whole: Any, answer: bool) -> None:
    assert begins(part, whole) is answer


def test_what_takes_too_long_is_marked() -> None:
    document = SMALL[0]
    quadratic = next(peer for peer in PEERS if peer.again is not None)
    assert isinstance(estimate(quadratic, document, 16, budget=100), float)
    mark, seconds = estimate(quadratic, document, 16, budget=1e-3)  # type: ignore[misc]
    assert mark in "~>"
    assert seconds == pytest.approx(json_compare.run(quadratic, document.data, 16), rel=3)
    slow = json_docs.document("one long string", "100 kB")
    mark, seconds = estimate(Peer("ijson", json_peers.ijson_push), slow, 16, budget=1e-3)  # type: ignore[misc]
    assert mark == ">"
    assert seconds > 0


def test_a_table_has_a_line_for_each_peer() -> None:
    rows = [row for n in (16, 64) for row in json_compare.compare(SMALL[1], n, rounds=3, budget=0.01)]
    lines = json_compare.table(rows)
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [peer.name for peer in PEERS]
    assert all(len(line.split(" | ")) == 6 for line in lines[2:])
    assert all(row.ns > 0 for row in rows)
