"""The JSON documents that benchmarks measure, with a fixed seed: one long string, many records, a deep mix.

A document knows its value from the making, not from a parser. Tested in tests/bench/test_json_docs.py.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.fixtures import FOREIGN, SEED, WORDS

SIZES = {"10 kB": 10_000, "100 kB": 100_000, "1 MB": 1_000_000}
DELTA_BYTES = (4, 16, 64)
DEPTH = 12


@dataclass(frozen=True)
class Document:
    """`data` is about `size` bytes of UTF-8, and `value` what it says."""

    shape: str
    size: str
    data: bytes
    value: Any

    def __repr__(self) -> str:
        return f"Document({self.shape}, {self.size}: {len(self.data)} bytes)"


@cache
def document(shape: str, size: str) -> Document:
    value = _SHAPES[shape](random.Random(f"{SEED} {shape} {size}"), SIZES[size])
    return Document(shape, size, _dumps(value).encode(), value)


def shapes() -> list[str]:
    return list(_SHAPES)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _words(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(WORDS, k=n))


def string(rng: random.Random, n_bytes: int) -> object:
    """A tool call that writes a file: one long string, with the escapes that code has."""
    lines, size = [], 0
    while size < n_bytes - 50:
        indent = "    " * rng.randrange(4)
        lines.append(f'{indent}{rng.choice(WORDS)}["{rng.choice(WORDS)}"] = {_words(rng, rng.randrange(2, 9))}\n')
        size += len(json.dumps(lines[-1])) - 2
    return {"path": "src/example.py", "content": "".join(lines)}


def records(rng: random.Random, n_bytes: int) -> object:
    """Rows of equal form, as an extraction gives them: about 240 bytes each."""
    items: list[object] = []
    size = 0
    while size < n_bytes - 130:
        n = len(items)
        items.append(
            {
                "id": n,
                "name": _words(rng, 3),
                "price": round(rng.uniform(1, 1000), 2),
                "tags": rng.sample(WORDS, 3),
                "available": rng.random() < 0.8,
                "discount": None,
                "description": _words(rng, 15),
                "size": {"width": rng.randrange(100), "height": rng.randrange(1000), "unit": "mm"},
            }
        )
        size += len(_dumps(items[-1]).encode()) + 2
    return {"items": items}


def mix(rng: random.Random, n_bytes: int) -> object:
    """A tree down to depth 12 of all kinds of value, most of a few bytes: the costliest text for its length."""
    names = [word for word in WORDS if word.isalpha()]

    def scalar() -> object:
        return rng.choice(
            (
                rng.randrange(-1000, 1000),
                rng.getrandbits(50),
                round(rng.uniform(-1000, 1000), rng.randrange(1, 15)),
                rng.choice((True, False, None)),
                rng.choice(("", "a", "short", 'with "quotes" and\nlines', rng.choice(FOREIGN))),
                _words(rng, rng.randrange(1, 7)),
            )
        )

    def value(depth: int) -> object:
        kind = rng.random() if depth else 1
        if kind < 0.45:
            return {rng.choice(names): value(depth - 1) for _ in range(rng.randrange(6))}
        if kind < 0.7:
            return [value(depth - 1) for _ in range(rng.randrange(6))]
        return scalar()

    out: list[object] = []
    size = 2
    while size < n_bytes:
        one = value(DEPTH)
        n = len(_dumps(one).encode()) + 2
        if size + n < n_bytes * 1.01:
            out.append(one)
            size += n
    return out


_SHAPES: dict[str, Callable[[random.Random, int], object]] = {
    "one long string": string,
    "many records": records,
    "deep mix": mix,
}
