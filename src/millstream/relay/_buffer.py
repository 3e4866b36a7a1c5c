"""What stands between the source of a stream and its log: bounded, taken in batches."""

from __future__ import annotations

from millstream.streams._handoff import Signal

__all__ = ["Buffer"]

BATCH_ITEMS = 256  # of one append: some 2 ms of the Redis server's time
BATCH_BYTES = 256 * 1024
BUFFER_ITEMS = 1024
BUFFER_BYTES = 1 << 20


class Buffer:
    """Between pump and writer: one task each. Bounded in items and bytes; one put may pass the bound."""

    def __init__(self) -> None:
        self._items: list[bytes] = []
        self._bytes = 0
        self._ready = Signal()
        self._room = Signal()
        self.closed = False

    def __bool__(self) -> bool:
        return bool(self._items)

    async def put(self, items: list[bytes]) -> None:
        """Add items, then wait while it is full."""
        self._items += items
        self._bytes += sum(map(len, items))
        self._ready.set()
        while len(self._items) >= BUFFER_ITEMS or self._bytes >= BUFFER_BYTES:
            await self._room.wait()

    def close(self) -> None:
        """No more comes."""
        self.closed = True
        self._ready.set()

    def wake(self) -> None:
        """Have `wait` return."""
        self._ready.set()

    async def wait(self) -> None:
        """Wait until there is something to take, or nothing more comes, or `wake` is called."""
        if not self._items and not self.closed:
            await self._ready.wait()

    def take(self) -> list[bytes]:
        """Return a batch, at least one item if there is any."""
        n = n_bytes = 0
        for item in self._items[:BATCH_ITEMS]:
            if n and n_bytes + len(item) > BATCH_BYTES:
                break
            n_bytes += len(item)
            n += 1
        items, self._items = self._items[:n], self._items[n:]
        self._bytes -= n_bytes
        self._room.set()
        return items
