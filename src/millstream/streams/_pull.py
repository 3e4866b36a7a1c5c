"""The contract inside a pipeline: batches, pulled one after another.

Operators and sources are pullers; `Stream` is what the user holds at the end of a chain of them. A puller does not
guard itself against misuse: the one `Stream` that owns the chain does that, once for all. Source: STREAMS.md section 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable
from typing import Any, Generic, TypeVar

__all__ = ["FAIR_PULLS", "IterablePuller", "Puller", "close_iterator"]

T = TypeVar("T")

FAIR_PULLS = 64  # S17: who pulls in a loop of its own meets a real checkpoint after as many pulls that gave nothing


class Puller(ABC, Generic[T]):
    """Somewhere that batches come from."""

    @abstractmethod
    async def open(self) -> None:
        """Acquire what the stream needs. Called once, before the first `pull`; `aclose` follows also if it fails."""

    @abstractmethod
    async def pull(self) -> list[T]:
        """Return the next batch, never empty; [] is the end. Whatever it raises ends the stream."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release everything; idempotent, never called while `pull` runs."""


class IterablePuller(Puller[T]):
    """Any async iterable: one item per pull, so nothing is asked for before it is wanted."""

    def __init__(self, source: AsyncIterable[T]) -> None:
        self._iterator = aiter(source)

    async def open(self) -> None:
        """Nothing to do: the source opens itself at the first item."""

    async def pull(self) -> list[T]:
        """Return one item."""
        try:
            return [await anext(self._iterator)]
        except StopAsyncIteration:
            return []

    async def aclose(self) -> None:
        """Close the source if it can be closed."""
        await close_iterator(self._iterator)


async def close_iterator(iterator: Any) -> None:
    """Close an async iterator that has `aclose`; others own nothing."""
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
