"""A bounded buffer with its policy. Pure and synchronous: a deque and a decision.

Room is counted in items, in bytes, and in bytes of all buffers of the process together: what is short first decides.
Cost: an item that finds room costs its `weight` and a share of two `deque.extend`. Source: STREAMS.md section 5 and
S22, THREATS_AND_FAULTS.md M11.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from millstream.errors import BufferOverflow, LimitExceeded
from millstream.events import Error, Finish, ToolCall
from millstream.streams._weight import MAX_BUFFER_BYTES, PROCESS_BUFFERS, BufferBudget, weigh, weight
from millstream.streams.filters import predicate
from millstream.streams.overflow import CallerRuns, Conflate, DropAfter, Losses, Overflow, Protect, join_text

__all__ = ["Bounded"]

T = TypeVar("T")


class Bounded(Generic[T]):
    """A deque of at most `n` items and `max_bytes`. What was lent to a consumer, which works on it, counts as inside.

    Args:
        n: how many items.
        overflow: what to do when it is full.
        protect: items never to be dropped, besides `ToolCall`, `Error` and `Finish`: a function, or a kind.
        max_bytes: what they may take together, by `weight`.
        budget: what all buffers may take together.
        losses: where to count.

    Raises: ValueError: n or max_bytes below 1, or an unknown policy.
    """

    def __init__(
        self,
        n: int,
        overflow: Overflow = "wait",
        *,
        protect: Protect | None = None,
        max_bytes: int = MAX_BUFFER_BYTES,
        budget: BufferBudget = PROCESS_BUFFERS,
        losses: Losses,
    ) -> None:
        self.n_bytes = 0  # of what is inside or lent
        if n < 1:
            raise ValueError(f"a buffer has room for at least 1 item, got {n}")
        if max_bytes < 1:
            raise ValueError(f"max_bytes of a buffer must be at least 1, got {max_bytes}")
        self.n = n
        self.max_bytes = max_bytes
        self.items: deque[T] = deque()
        self.lent = 0
        self.losses = losses
        self.seconds = math.inf
        self.caller: Callable[[Any], Any] | None = None
        self._sizes: deque[int] = deque()  # of the items
        self._lent_bytes = 0
        self._budget = budget
        self._merge: Callable[[Any, Any], Any | None] = join_text
        self._protect = None if protect is None else predicate(protect)
        self._fails = overflow == "error"
        self._at_limit = self._policy(overflow)
        self._loses = self._at_limit not in (self._wait, self._conflate) or self.seconds < math.inf
        self.one_by_one = overflow != "wait" and self._at_limit != self._conflate

    def __del__(self) -> None:
        if self.n_bytes:
            self._budget.leave(self.n_bytes)

    def _policy(self, overflow: Overflow) -> Callable[[T, int], bool]:
        match overflow:
            case "drop_after":
                return self._policy(DropAfter())
            case DropAfter(seconds=seconds):
                self.seconds = seconds
            case CallerRuns(fn=fn):
                self.caller = fn
            case Conflate(merge=merge):
                self._merge = merge
                return self._conflate
            case "wait" | "error":
                pass
            case "drop_oldest" | "drop_newest" | "drop_all" | "conflate":
                policy: Callable[[T, int], bool] = getattr(self, f"_{overflow}")
                return policy
            case "caller_runs":
                raise ValueError('overflow="caller_runs" must know what runs: CallerRuns(fn)')
            case _:
                raise ValueError(f"unknown overflow policy: {overflow!r}")
        return self._wait

    # --- in ------------------------------------------------------------------------------------------------------

    def offer(self, batch: Sequence[T], start: int = 0) -> int:
        """Take the items from `start` on. Returns how far it got: the item at that index must wait for room.

        Raises: BufferOverflow: under "error". LimitExceeded: an item that may not be lost is larger than `max_bytes`.
        What had room before is inside.
        """
        if len(batch) == 1:  # as below, a third cheaper: sources without batches give single items
            size = weight(batch[0])
            if (
                start == 0
                and self.lent + len(self.items) < self.n
                and self.n_bytes + size <= self.max_bytes
                and self._budget.take(size, always=not self.n_bytes)
            ):
                self.n_bytes += size
                self.items.append(batch[0])
                self._sizes.append(size)
                return 1
        room = self.n - self.lent - len(self.items)
        if room > 0 and self.n_bytes < self.max_bytes:
            some = batch if not start and len(batch) <= room else list(islice(batch, start, start + room))
            sizes = weigh(some)
            if self._have(sum(sizes), len(some)):
                self.items.extend(some)
                self._sizes.extend(sizes)
                start += len(some)
        while start < len(batch):
            item = batch[start]
            size = weight(item)
            if size > self.max_bytes and self.caller is None:
                if not self._loses or not self._lose(item):
                    self._too_large(item, size, batch[start:])
            elif len(self.items) + self.lent < self.n and self._have(size):
                self._append(item, size)
            elif self._fails:
                self._overflowed(batch[start:])
            elif not self._at_limit(item, size):
                break
            start += 1
        return start

    def give_up(self, batch: Sequence[T], start: int) -> int:
        """Drop the item at `start` and those after it, which have waited long enough. Returns as `offer` does."""
        while start < len(batch) and self._drop_newest(batch[start], weight(batch[start])):
            start += 1
        return start

    def portion(self, batch: Sequence[T], start: int) -> int:
        """Return where those items from `start` on end that an empty buffer has room for; at least one."""
        total = 0
        for end in range(start, min(start + self.n, len(batch))):
            total += weight(batch[end])
            if total > self.max_bytes and end > start:
                return end
        return min(start + self.n, len(batch))

    def has_room(self, items: Sequence[T]) -> bool:
        """Whether all of them would find room now, as far as this buffer itself goes."""
        return len(self.items) + self.lent + len(items) <= self.n and self.n_bytes + sum(weigh(items)) <= self.max_bytes

    # --- out -----------------------------------------------------------------------------------------------------

    def take(self) -> list[T]:
        """Return items from the front, [] if there are none. What the last call returned has been consumed.

        Half of the buffer at a time, so that the other half can be filled meanwhile; single items under a policy that
        loses, so that what is lost is decided at the last moment.
        """
        items, sizes = self.items, self._sizes
        if self._lent_bytes:
            self._free(self._lent_bytes)
            self._lent_bytes = 0
        if self.one_by_one:
            self.lent = 0
            if not items:
                return []
            self._free(sizes.popleft())
            return [items.popleft()]
        share = max(1, self.n // 2)
        if len(items) <= share:
            taken = list(items)
            self._lent_bytes = self.n_bytes
            items.clear()
            sizes.clear()
        else:
            taken = [items.popleft() for _ in range(share)]
            self._lent_bytes = sum([sizes.popleft() for _ in range(share)])
        self.lent = len(taken)
        return taken

    def clear(self) -> None:
        """Let go of everything, also of what is lent."""
        self._empty()
        self.lent = self._lent_bytes = 0
        self._free(self.n_bytes)

    # --- bytes ---------------------------------------------------------------------------------------------------

    def _have(self, n_bytes: int, n_items: int = 1) -> bool:
        """Count so many bytes more, if there is room. What is empty has room for one item, whatever others hold."""
        if self.n_bytes + n_bytes > self.max_bytes:
            return False
        always = n_bytes <= 0 or (n_items == 1 and not self.n_bytes)
        if not self._budget.take(n_bytes, always=always):
            return False
        self.n_bytes += n_bytes
        return True

    def _free(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
        self._budget.free(n_bytes)

    def _append(self, item: T, size: int) -> None:
        self.items.append(item)
        self._sizes.append(size)

    def _empty(self) -> list[tuple[T, int]]:
        """Take all items out, with their sizes, which stay counted."""
        pairs = list(zip(self.items, self._sizes, strict=True))
        self.items.clear()
        self._sizes.clear()
        return pairs

    # --- policies: whether the item has been dealt with; False: it must wait -----------------------------------------

    def _wait(self, item: T, size: int) -> bool:
        return False

    def _drop_oldest(self, item: T, size: int) -> bool:
        items, sizes = self.items, self._sizes
        if len(items) + self.lent == self.n and items and not self._keeps(items[0]) and self._have(size - sizes[0]):
            self.losses.count(items[0])  # the usual case: one goes, and what comes finds room in its place
            items.popleft()
            sizes.popleft()
            self._append(item, size)
            return True
        return self._evict(item, size, newest=False) or self._lose(item)

    def _drop_newest(self, item: T, size: int) -> bool:
        return self._lose(item) or self._evict(item, size, newest=True)

    def _drop_all(self, item: T, size: int) -> bool:
        for old, old_size in self._empty():
            if self._keeps(old):
                self._append(old, old_size)
            else:
                self._free(old_size)
                self.losses.count(old)
        if len(self.items) + self.lent < self.n and self._have(size):
            self._append(item, size)
            return True
        return self._lose(item)

    def _conflate(self, item: T, size: int) -> bool:
        """Merge it with the last item, or what can be merged in the whole buffer: so another kind finds room too."""
        both: T | None
        if self.items and not self._keeps_one(self.items[-1], item):
            both = self._merge(self.items[-1], item)
            size = weight(both)
            if both is not None and self._have(size - self._sizes[-1]):
                self.items[-1], self._sizes[-1] = both, size
                return True
        merged: list[T] = []
        for newer in (*self.items, item):
            both = self._merge(merged[-1], newer) if merged and not self._keeps_one(merged[-1], newer) else None
            if both is None:
                merged.append(newer)
            else:
                merged[-1] = both
        sizes = weigh(merged)
        if len(merged) + self.lent > self.n or not self._have(sum(sizes) - sum(self._sizes)):
            return False
        self._empty()
        self.items.extend(merged)
        self._sizes.extend(sizes)
        return True

    def _overflowed(self, rest: Sequence[T]) -> None:
        for item in rest:
            self.losses.count(item)
        raise BufferOverflow(
            f'a buffer of {self.n} items, {self.max_bytes} bytes, was full, and its overflow is "error"; '
            f"{len(rest)} dropped",
            dropped=len(rest),
        )

    def _too_large(self, item: T, size: int, rest: Sequence[T]) -> None:
        for lost in rest:
            self.losses.count(lost)
        raise LimitExceeded(
            f"a {type(item).__name__} takes some {size} bytes, more than the {self.max_bytes} of its buffer; "
            "give the operator a larger max_bytes",
            option="max_bytes",
            limit=self.max_bytes,
        )

    def _lose(self, item: T) -> bool:
        if self._keeps(item):
            return False
        self.losses.count(item)
        return True

    def _evict(self, item: T, size: int, *, newest: bool) -> bool:
        """Drop as many as it takes to make room, from one end; none, if all that may go would not be enough."""
        n_short = len(self.items) + self.lent + 1 - self.n
        doomed: list[int] = []
        n_freed = 0
        for i in reversed(range(len(self.items))) if newest else range(len(self.items)):
            if len(doomed) >= n_short and self._frees_enough(n_freed, size):
                break
            if not self._keeps(self.items[i]):
                doomed.append(i)
                n_freed += self._sizes[i]
        if len(doomed) < n_short or not self._frees_enough(n_freed, size):
            return False
        for i in doomed:
            self.losses.count(self.items[i])
        for i in sorted(doomed, reverse=True):
            del self.items[i], self._sizes[i]
        self.n_bytes += size - n_freed
        self._budget.take(size - n_freed, always=True)
        self._append(item, size)
        return True

    def _frees_enough(self, n_freed: int, size: int) -> bool:
        left = self.n_bytes - n_freed
        return left + size <= self.max_bytes and (not left or self._budget.left_bytes >= size - n_freed)

    def _keeps(self, item: T) -> bool:
        return isinstance(item, (ToolCall, Error, Finish)) or (self._protect is not None and self._protect(item))

    def _keeps_one(self, older: T, newer: T) -> bool:
        return self._keeps(older) or self._keeps(newer)
