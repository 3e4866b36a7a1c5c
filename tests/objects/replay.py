"""Deltas put together again by somebody who knows only what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NOTHING: Any = object()


def replay(deltas: Iterable[Any], root: Any = NOTHING) -> Any:
    holder = {"root": root}
    for delta in deltas:
        path, op, value = ("root", *delta.path), delta.op, delta.value
        there: Any = holder
        for step in path[:-1]:
            there = there[step]
        if op == "set" and isinstance(there, list):
            assert path[-1] == len(there)
            there.append(value)
        elif op == "set":
            there[path[-1]] = value
        elif op == "append":
            assert isinstance(there[path[-1]], str)
            there[path[-1]] += value
        else:
            assert op == "end"
            assert there[path[-1]] is not NOTHING
    return holder["root"]


def pieces(text: str, n: int = 1) -> list[str]:
    return [text[i : i + n] for i in range(0, len(text), n)]
