"""An async source that counts what is done to it, and can wait, fail or refuse to end."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

from anyio import sleep_forever
from anyio.lowlevel import checkpoint


class Probe:
    """Gives `items`; after them raises `error`, waits for ever (`hang`), or ends. `suspend`: a checkpoint per item."""

    def __init__(
        self, items: Iterable[Any] = (), *, error: BaseException | None = None, hang: bool = False, suspend: bool = True
    ) -> None:
        self._items = iter(items)
        self._error = error
        self._hang = hang
        self._suspend = suspend
        self.pulls = 0
        self.closes = 0
        self.close_calls = 0
        self.running = False
        self.closed_while_running = False

    def __aiter__(self) -> Probe:
        return self

    async def __anext__(self) -> Any:
        assert not self.closes, "pulled after aclose"
        self.pulls += 1
        self.running = True
        try:
            if self._suspend:
                await checkpoint()
            for item in self._items:
                return item
            if self._error is not None:
                raise self._error
            if self._hang:
                await sleep_forever()
            raise StopAsyncIteration
        finally:
            self.running = False

    async def aclose(self) -> None:
        self.close_calls += 1
        self.closed_while_running |= self.running
        await checkpoint()
        self.closes += 1


async def drain(stream: AsyncIterable[Any], into: list[Any], each: Callable[[], None] = lambda: None) -> None:
    """Put all items into a list that keeps them also if the stream raises."""
    async for item in stream:
        into.append(item)
        each()


async def settle() -> None:
    """Let all other tasks go as far as they can. `anyio.wait_all_tasks_blocked` sleeps 0.1 s at a time on asyncio."""
    for _ in range(40):
        await checkpoint()
