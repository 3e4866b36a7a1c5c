"""What all parsers promise: after an exception that is nobody's fault, no going on, no crash, and a fresh start."""

from __future__ import annotations

import gc

import pytest

from millstream.core import JSONParser, NDJSONParser, SSEParser
from millstream.errors import ParserClosed

_testcapi = pytest.importorskip("_testcapi")

# What is fed first, what is fed when there is no memory, and a whole input for the parser after that.
CASES = {
    "sse": (SSEParser, b"data: a\ndata: b\nda", b"ta: c\n\nid: 7\ndata: " + b"x" * 600 + b"\n", b"data: a\n\n"),
    "ndjson": (lambda: NDJSONParser(decode=False), b'{"a":1}\n{"b"', b':[1,"x"]}\n' + b"[" + b" " * 600, b"[1]\n"),
    "json": (
        JSONParser, b'{"a":["x","y', b'\\n' + b"z" * 600 + b'",[1e30,{"k":1.5}],12345678901234567890,"u\\u00e9', b"[1]",
    ),
    "eager": (lambda: JSONParser(numbers="eager"), b'{"a":[1,[2', b'3],{"b":{},"c":"' + b"z" * 600, b"[1]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_out_of_memory_anywhere_in_feed_closes_the_parser(case):
    make, first, second, whole = CASES[case]
    parser = make()
    failed = 0
    for allocation in range(400):
        parser.reset()
        parser.feed(first)
        error = None
        _testcapi.set_nomemory(allocation, allocation + 1)
        try:
            parser.feed(second)
        except MemoryError as caught:
            error = caught
        finally:
            _testcapi.remove_mem_hooks()
        if error is None:
            assert parser.error is None
            continue
        failed += 1
        for call in (parser.close, lambda: parser.feed(b"")):
            with pytest.raises(ParserClosed, match="interrupted"):
                call()
        if isinstance(parser, JSONParser):
            assert repr(parser.value)
            assert repr(parser.snapshot())
        parser.reset()
        assert len(parser.feed(whole)) > 0
        assert parser.close() == []
    assert failed > 2
    gc.collect()


def test_out_of_memory_while_the_value_is_read_loses_nothing():
    failed = 0
    for allocation in range(30):
        for start, end in (('["', '"]'), ('{"k":"', '"}'), ('"', '"')):
            parser = JSONParser(deltas=False)
            parser.feed(start + "abc" * 100)
            assert "abc" in str(parser.value)
            parser.feed("é" * 200)
            error = None
            _testcapi.set_nomemory(allocation, allocation + 1)
            try:
                _ = parser.value
            except MemoryError as caught:
                error = caught
            finally:
                _testcapi.remove_mem_hooks()
            failed += error is not None
            parser.feed("xyz" + end)
            parser.close()
            assert "abc" * 100 + "é" * 200 + "xyz" in (
                parser.value,
                *parser.value,
                *getattr(parser.value, "values", list)(),
            )
    assert failed > 3
