"""`StreamProcessor`: the bytes of a stream's text, one delta at a time, in buffers that are used again.

Source: REQUIREMENTS.md rows 162-169 (the seed's StreamProcessor).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio import move_on_after

from millstream.events import Finish, TextDelta
from millstream.streams._pull import close_iterator
from millstream.streams.pools import BufferPool

__all__ = ["StreamProcessor"]

CLOSE_SECONDS = 5.0  # how long closing may take before it is given up


class StreamProcessor:
    """Hands the UTF-8 bytes of each `TextDelta` to a function, as a view into a pooled buffer.

    Args:
        handler: sync or async; the view is only good until it returns: copy what it wants to keep.
        buffer_pool: where the buffers come from; None: a pool of its own.

    Attributes: buffer_pool.
    """

    def __init__(self, handler: Callable[[memoryview], Any], *, buffer_pool: BufferPool | None = None) -> None:
        self._handler = handler
        self.buffer_pool = buffer_pool or BufferPool()

    async def process(self, stream: AsyncIterator[Any]) -> None:
        """Consume the stream up to `Finish` or its end, and close it, on whatever way.

        Raises: what the stream or the handler raises, unchanged.
        """
        try:
            async for event in stream:
                if isinstance(event, TextDelta):
                    await self._handle(event.text)
                elif isinstance(event, Finish):
                    return
        finally:
            # S8: close even if cancelled, but not for ever.
            with move_on_after(CLOSE_SECONDS, shield=True):
                await close_iterator(stream)

    async def _handle(self, text: str) -> None:
        with self.buffer_pool.lease() as buffer:
            buffer.extend(text.encode())
            with buffer.view() as view:
                result = self._handler(view)
                if inspect.isawaitable(result):
                    await result
