"""What becomes of an item for which a bounded buffer has no room. Pure and synchronous: a deque and a decision.

Lossless are "wait" (the default) and "conflate"; the others lose items, and count each one. Whatever the policy,
`ToolCall`, `Error` and `Finish` are never lost: another item goes in their place, or they wait. Cost: an item that
finds room costs a share of one `deque.extend`. Source: STREAMS.md section 5 and S22.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from millstream.errors import BufferOverflow
from millstream.events import Error, Finish, TextDelta, ToolCall

__all__ = ["Bounded", "CallerRuns", "Conflate", "DropAfter", "Losses", "Overflow", "join_text"]

T = TypeVar("T")

MAX_JOINED_CHARS = 64 * 1024  # S13: a consumer that never reads must not make one delta grow without end

log = logging.getLogger("millstream")


def join_text(older: Any, newer: Any) -> Any | None:
    """Join two text deltas, `older` and then `newer`; None if they are not of one block, choice and stream.

    Nor is more than 64 Ki characters made: a consumer that never reads must not make one delta grow without end.
    """
    if type(older) is not TextDelta or type(newer) is not TextDelta or older._meta or newer._meta:
        return None
    if (older.index, older.choice, older.stream_id) != (newer.index, newer.choice, newer.stream_id):
        return None
    if len(older.text) + len(newer.text) > MAX_JOINED_CHARS:
        return None
    return TextDelta(older.text + newer.text, index=older.index, choice=older.choice, stream_id=older.stream_id)


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Wait for room so many seconds, then drop the item. "drop_after" means 5 seconds. Raises: ValueError."""

    seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"DropAfter needs positive seconds, got {self.seconds!r}")


@dataclass(frozen=True, slots=True)
class Conflate:
    """Merge neighbours while they wait. "conflate" means `Conflate(join_text)`: text is joined, nothing is lost.

    Args: merge: `merge(older, newer)` gives one item for both, or None if they cannot be merged; those wait for room.
    """

    merge: Callable[[Any, Any], Any | None] = join_text


@dataclass(frozen=True, slots=True)
class CallerRuns:
    """Call `fn(item)`, sync or async, at once, in the place where the item came from; it does not enter the buffer."""

    fn: Callable[[Any], Any]


Overflow = (
    Literal["wait", "drop_oldest", "drop_newest", "drop_all", "error", "conflate", "drop_after"]
    | DropAfter
    | Conflate
    | CallerRuns
)


class Losses:
    """How many items were dropped at one place, in all and by `stream_id`, and who wants to know at once.

    Args: where: for the log. on_drop: called with each item that is dropped.
    """

    def __init__(self, where: str, on_drop: Callable[[Any], object] | None = None) -> None:
        self.total = 0
        self.by_stream: Counter[int | str | None] = Counter()
        self._where = where
        self._on_drop = on_drop

    def count(self, item: Any) -> None:
        """Count one dropped item."""
        self.total += 1
        self.by_stream[getattr(item, "stream_id", None)] += 1
        log.debug("%s dropped a %s, its number %d", self._where, type(item).__name__, self.total)
        if self._on_drop is not None:
            self._on_drop(item)


class Bounded(Generic[T]):
    """A deque of at most `n` items. What was lent to a consumer that still works on it counts as inside.

    Args:
        n: how many items.
        overflow: what to do when it is full.
        protect: true for items never to be dropped, besides `ToolCall`, `Error` and `Finish`.
        losses: where to count.

    Raises: ValueError: n below 1, or an unknown policy.
    """

    def __init__(
        self, n: int, overflow: Overflow = "wait", *, protect: Callable[[T], bool] | None = None, losses: Losses
    ) -> None:
        if n < 1:
            raise ValueError(f"a buffer has room for at least 1 item, got {n}")
        self.n = n
        self.items: deque[T] = deque()
        self.lent = 0
        self.losses = losses
        self.seconds = float("inf")
        self.caller: Callable[[Any], Any] | None = None
        self._merge: Callable[[Any, Any], Any | None] = join_text
        self._protect = protect
        self._fails = overflow == "error"
        self._at_limit = self._policy(overflow)
        self.one_by_one = overflow != "wait" and self._at_limit != self._conflate

    def _policy(self, overflow: Overflow) -> Callable[[T], bool]:
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
                policy: Callable[[T], bool] = getattr(self, f"_{overflow}")
                return policy
            case "caller_runs":
                raise ValueError('overflow="caller_runs" must know what runs: CallerRuns(fn)')
            case _:
                raise ValueError(f"unknown overflow policy: {overflow!r}")
        return self._wait

    # --- in ------------------------------------------------------------------------------------------------------

    def offer(self, batch: Sequence[T], start: int = 0) -> int:
        """Take the items from `start` on. Returns how far it got: the item at that index must wait for room.

        Raises: BufferOverflow: under "error"; what had room before is inside.
        """
        items = self.items
        room = self.n - self.lent - len(items)
        left = len(batch) - start
        if left <= room:
            items.extend(batch if not start else islice(batch, start, None))
            return len(batch)
        if room > 0:
            items.extend(islice(batch, start, start + room))
            start += room
        while start < len(batch):
            if len(items) + self.lent < self.n:
                items.append(batch[start])
            elif self._fails:
                self._overflowed(batch[start:])
            elif not self._at_limit(batch[start]):
                break
            start += 1
        return start

    def give_up(self, batch: Sequence[T], start: int) -> int:
        """Drop the item at `start` and those after it, which have waited long enough. Returns as `offer` does."""
        while start < len(batch) and self._drop_newest(batch[start]):
            start += 1
        return start

    # --- out -----------------------------------------------------------------------------------------------------

    def take(self) -> list[T]:
        """Return items from the front, [] if there are none. What the last call returned has been consumed.

        Half of the buffer at a time, so that the other half can be filled meanwhile; single items under a policy that
        loses, so that what is lost is decided at the last moment.
        """
        items = self.items
        if self.one_by_one:
            self.lent = 0
            return [items.popleft()] if items else []
        share = max(1, self.n // 2)
        if len(items) <= share:
            taken = list(items)
            items.clear()
        else:
            taken = [items.popleft() for _ in range(share)]
        self.lent = len(taken)
        return taken

    # --- policies: whether the item has been dealt with; False: it must wait -----------------------------------------

    def _wait(self, item: T) -> bool:
        return False

    def _drop_oldest(self, item: T) -> bool:
        return self._evict(item, range(len(self.items))) or self._lose(item)

    def _drop_newest(self, item: T) -> bool:
        return self._lose(item) or self._evict(item, range(len(self.items) - 1, -1, -1))

    def _drop_all(self, item: T) -> bool:
        kept = [old for old in self.items if self._keeps(old)]
        for old in self.items:
            if not self._keeps(old):
                self.losses.count(old)
        self.items.clear()
        self.items.extend(kept)
        if len(kept) + self.lent < self.n:
            self.items.append(item)
            return True
        return self._lose(item)

    def _conflate(self, item: T) -> bool:
        """Merge it with the last item, or what can be merged in the whole buffer: so another kind finds room too."""
        both: T | None
        if self.items and not self._keeps_one(self.items[-1], item):
            both = self._merge(self.items[-1], item)
            if both is not None:
                self.items[-1] = both
                return True
        merged: list[T] = []
        for newer in (*self.items, item):
            both = self._merge(merged[-1], newer) if merged and not self._keeps_one(merged[-1], newer) else None
            if both is None:
                merged.append(newer)
            else:
                merged[-1] = both
        if len(merged) + self.lent > self.n:
            return False
        self.items.clear()
        self.items.extend(merged)
        return True

    def _overflowed(self, rest: Sequence[T]) -> None:
        for item in rest:
            self.losses.count(item)
        raise BufferOverflow(
            f'a buffer of {self.n} items was full under overflow="error"; {len(rest)} dropped', dropped=len(rest)
        )

    def _lose(self, item: T) -> bool:
        if self._keeps(item):
            return False
        self.losses.count(item)
        return True

    def _evict(self, item: T, order: range) -> bool:
        for i in order:
            if not self._keeps(self.items[i]):
                self.losses.count(self.items[i])
                del self.items[i]
                self.items.append(item)
                return True
        return False

    def _keeps(self, item: T) -> bool:
        return isinstance(item, (ToolCall, Error, Finish)) or (self._protect is not None and self._protect(item))

    def _keeps_one(self, older: T, newer: T) -> bool:
        return self._keeps(older) or self._keeps(newer)
