"""One more task beside the current one, as long as a block lasts. With `_interrupt.py` all that knows asyncio here.

anyio's group with one task in it takes 2.3 KiB on asyncio, for every response that is open; a task alone takes 0.5. On
other backends it is a group. Structured all the same: whoever enters the block leaves it, and the task has ended then.
"""

from __future__ import annotations

from asyncio import Task, get_running_loop, wait
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import CancelScope, create_task_group
from anyio.abc import TaskGroup

from millstream.streams._interrupt import task_finder

__all__ = ["Beside"]


class Beside:
    """Use `enter` and `leave` in one task, the latter also after an error.

    Args: work: raises nothing but its cancellation: there is nobody to tell. It runs outside of the caller's scopes.
    """

    __slots__ = ("_group", "_task", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: Task[None] | None = None
        self._group: TaskGroup | None = None

    async def enter(self) -> None:
        """Start the task."""
        if task_finder() is not None:
            self._task = get_running_loop().create_task(self._work())
        else:
            self._group = await create_task_group().__aenter__()
            self._group.start_soon(self._work)

    async def leave(self) -> None:
        """Cancel the task and wait until it has ended."""
        if self._group is not None:
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with CancelScope(shield=True):
                await wait([self._task])
