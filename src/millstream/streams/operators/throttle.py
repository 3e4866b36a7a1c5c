"""`throttle`: no more than `rate` items in `per` seconds. Nothing is lost: the source is slowed down.

A token bucket: `burst` items may go at once, then one every `per / rate` seconds. Times are multiples counted from a
fixed start, so that late wake-ups do not add up to drift; a pause fills the bucket, to `burst` at most. Order is kept;
what the source gave at once is held until it may go. No task, no timer unless an item is there that must wait.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller
from millstream.streams.operators._base import Operator

__all__ = ["Throttle"]

T = TypeVar("T")


class Throttle(Operator[T]):
    """Let items pass at a rate. Raises: ValueError: rate or per not positive, burst below 1."""

    def __init__(
        self, source: Puller[T], rate: float, per: float = 1.0, *, burst: int = 1, clock: Clock = ANYIO_CLOCK
    ) -> None:
        super().__init__(source)
        if not 0 < rate < float("inf") or not 0 < per < float("inf"):
            raise ValueError(f"rate and per must be positive and finite, got {rate!r} per {per!r} s")
        if burst < 1:
            raise ValueError(f"burst must be at least 1, got {burst}")
        self._rate = rate
        self._per = per
        self._burst = burst
        self._clock = clock
        self._held: deque[T] = deque()
        self._start = float("-inf")  # the bucket was full then
        self._given = 0  # items since then

    async def pull(self) -> list[T]:
        """Return as many items as may go now; at least one, when its time has come."""
        if not self._held:
            batch = await self._source.pull()
            if not batch:
                return []
            self._held.extend(batch)
        now = self._clock.now()
        if self._start + self._given * self._per / self._rate <= now:  # the bucket is full, perhaps since long
            self._start, self._given = now, 0
        if (due := self._due(self._given)) > now:
            await self._clock.sleep_until(due)
            now = max(self._clock.now(), due)
        out: list[T] = []
        while self._held and self._due(self._given) <= now:
            out.append(self._held.popleft())
            self._given += 1
        return out

    def _due(self, number: int) -> float:
        """When the item after `number` items since the start may go."""
        return self._start + max(0, number + 1 - self._burst) * self._per / self._rate
