"""A stream is for one task; threads that pull at one all the same get wrong turns, and never broken memory."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

from millstream.core._batch import Serving
from threads.hurry import in_four_threads


class Item:
    pass


class Batches(Serving[Item]):
    """Makes batches of new items for ever."""

    def __init__(self, size: int) -> None:
        self._size = size

    async def _refill(self) -> list[Item]:
        return [Item() for _ in range(self._size)]


def pull_from_four_threads(stream: Batches, turns: int) -> list[weakref.ref[Item]]:
    seen: list[weakref.ref[Item]] = []
    strange: list[object] = []
    shared: list[Any] = []
    start = threading.Barrier(4)

    def pull(_: int) -> None:
        start.wait()
        for turn in range(turns):
            # Each awaits its own, and those that others may be awaiting at this moment.
            others = shared[-1:] if turn % 3 == 0 else []
            awaited = others[0] if others else anext(stream)
            shared.append(awaited)
            try:
                awaited.send(None)
            except StopIteration as stop:
                if type(stop.value) is Item:
                    seen.append(weakref.ref(stop.value))
                else:
                    strange.append(stop.value)
            except (RuntimeError, ValueError) as error:
                if "already" not in str(error):  # awaited or executing
                    strange.append(error)
            if turn % 7 == 0:
                del shared[:-4]

    in_four_threads(pull)
    assert strange == []
    return seen


def test_threads_that_pull_at_one_stream_get_items_and_leave_nothing_behind() -> None:
    stream = Batches(7)
    seen = pull_from_four_threads(stream, 5000)
    assert len(seen) > 5000
    stream._rest()
    gc.collect()
    assert [item for item in seen if item() is not None] == []
