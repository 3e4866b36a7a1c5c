"""No memory at the n-th allocation, for every n, once or from then on: MemoryError, no crash, and a fresh start.

`tests/core/test_parser.py` has the same for the incremental parsers' own paths. orjson's allocations are not made to
fail: it is not ours, and says nothing of what it does then. The C kernels allocate nothing; that they can be asked
again when their caller got no memory is in `tests/fuzz/c/json_machine.c`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from memory.kinds import KINDS, shown, undisturbed
from millstream.core import JSONParser, StringCache, parse_partial_json
from millstream.errors import ParserClosed

_testcapi = pytest.importorskip("_testcapi")

DOCUMENT = (
    b'{"a":["x","\\u00e9' + b"y" * 300 + b'",[1e30,{"k":1.5}],12345678901234567890,0.12345678901234567890123],"b":"op'
)
CALLS: dict[str, Callable[[], Any]] = {
    **{f"partial {mode}": lambda mode=mode: parse_partial_json(DOCUMENT, mode) for mode in ("on", "trailing-strings")},
    "partial decimal": lambda: parse_partial_json(DOCUMENT, float_mode="decimal"),
    "partial lossless": lambda: parse_partial_json(DOCUMENT, float_mode="lossless-float", cache_mode="none"),
    "cache": lambda: parse_partial_json(DOCUMENT, cache=StringCache()),
    "snapshot": lambda: _snapshot(),
    "deltas": lambda: [(delta.path, delta.value, repr(delta)) for delta in JSONParser().feed(DOCUMENT)],
}


def _snapshot() -> Any:
    parser = JSONParser(numbers="eager")
    parser.feed(b'{"a":[[{"b":"' + b"x" * 300)
    first = parser.snapshot()
    parser.feed(b'y"},12')
    return first, parser.snapshot(), parser.value


def starve(call: Callable[[], Any], start: int, stop: int) -> tuple[Any, MemoryError | None]:
    """`stop` 0: there is no memory any more."""
    _testcapi.set_nomemory(start, stop)
    try:
        return call(), None
    except MemoryError as error:
        return None, error
    finally:
        _testcapi.remove_mem_hooks()


@pytest.mark.parametrize("again", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("call", CALLS)
def test_without_memory(call: str, again: bool) -> None:
    want, failed = repr(CALLS[call]()), 0
    for n in range(600):
        got, error = starve(CALLS[call], n, n + 1 if again else 0)
        failed += error is not None
        assert error is not None or repr(got) == want
        if error is None and n > 500:
            break
    assert failed > 5
    assert repr(CALLS[call]()) == want
    gc.collect()


@pytest.mark.parametrize("name", [name for name in KINDS if name != "ndjson"])
@pytest.mark.parametrize("stop", ["once", "from then on"])
@pytest.mark.parametrize("piece", ["rest", "bad"])
def test_a_parser_without_memory_is_closed_or_untouched_and_starts_anew(name: str, stop: str, piece: str) -> None:
    kind, closed = KINDS[name], 0
    want, data = undisturbed(kind), getattr(KINDS[name], piece)
    parser = kind.make()
    for n in range(150):
        parser.reset()
        first = parser.feed(kind.part)
        _, error = starve(partial(tolerant, parser, data, kind.error), n, n + 1 if stop == "once" else 0)
        if error is not None:
            try:
                out = first + parser.feed(kind.rest) + parser.close()
            except ParserClosed as refused:
                interrupted = "interrupted" in str(refused)
                closed += 1
            except kind.error:
                interrupted = False
            else:  # it had no memory before the call had begun
                interrupted = shown(parser, out) == want
            assert interrupted or parser.error is not None
        parser.reset()
        out = parser.feed(kind.part) + parser.feed(kind.rest) + parser.close()
        assert shown(parser, out) == want
    assert closed  # once only where CPython (3.13) allocates little


def tolerant(parser: Any, data: bytes, error: type[Exception]) -> None:
    try:
        parser.feed(data)
    except MemoryError:
        raise
    except error:
        pass
