"""The background tasks of one stream: all in one group, which the stream's `async with` owns.

The group's scope encloses the user's block, so no task may fail into it: what a task raises goes to the operator that
started it, which raises it at the consumer's next pull. Each task has a scope of its own, because `aclose` may come
from any other task and must not cancel the user's block. Source: STREAMS.md S2, S7, S15, S20, S21.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio import CancelScope, Event, create_task_group, get_current_task
from anyio.abc import TaskGroup

from millstream.errors import StreamNotEntered, UsageError

__all__ = ["Job", "Tasks", "only"]


class Job:
    """One background task, which closes what it works on before it ends, however it ends.

    Closing is its business and not that of the task that calls `stop`: that one may be interrupted in its wait, and the
    source must be neither forgotten then nor closed while the work still pulls from it (S5).
    """

    def __init__(self, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._close = close
        self._scope = CancelScope()
        self._ended = Event()
        self._task_id: int | None = None
        self._closing_error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over, for whatever reason."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Ask it to end."""
        self._scope.cancel()

    async def stop(self) -> None:
        """Cancel it and wait until it has ended: from any task, as often as you like.

        Raises: what closing raised, once.
        """
        self._scope.cancel()
        if self._task_id != get_current_task().id:  # a callback of the user that closes the stream from inside
            await self._ended.wait()
        error, self._closing_error = self._closing_error, None
        if error is not None:
            raise error

    async def run(self, work: Callable[[], Awaitable[None]], failed: Callable[[Exception], None]) -> None:
        """Do the work in the task that calls this."""
        self._task_id = get_current_task().id
        try:
            with self._scope:
                await work()
        except Exception as error:
            failed(error)
        finally:
            try:
                if self._close is not None:
                    await self._close()
            except Exception as error:
                self._closing_error = error
            finally:
                self._ended.set()


class Tasks:
    """Starts the tasks of a stream. `enter` and `exit` belong to the task that runs the user's `async with`."""

    def __init__(self, needed_by: str = "") -> None:
        self._needed_by = needed_by
        self._group: TaskGroup | None = None
        self._owner = 0
        self._depth = 0
        self._guests: list[int] = []  # other tasks that entered the block while the owner is in it
        self._jobs: list[Job] = []

    async def enter(self) -> None:
        """Enter the group; again in the same task only counts."""
        if self._group is None:
            self._group = await create_task_group().__aenter__()
            self._owner = get_current_task().id
        if self._owner == get_current_task().id:
            self._depth += 1
        else:
            self._guests.append(get_current_task().id)

    async def exit(self) -> None:
        """Leave the group. The operators have stopped their tasks; those that would not end are waited for.

        Raises: what was too grave for an operator (KeyboardInterrupt, SystemExit), not wrapped if it is one.
            UsageError: another task has entered the block.
        """
        if self._group is None:
            return
        task = get_current_task().id
        if task in self._guests:
            self._guests.remove(task)
            return
        if task != self._owner:
            raise UsageError(
                f"`async with` around a stream with `{self._needed_by}` was entered in one task and left in another: "
                "the stream is closed, but its task group can only be left by the task that entered it. Enter and "
                "leave the block in the same task (an async generator or a fixture may be finished by another one)"
            )
        self._depth -= 1
        if self._depth:
            return
        group, self._group = self._group, None
        for job in self._jobs:
            job.cancel()
        try:
            await group.__aexit__(None, None, None)
            return
        except BaseExceptionGroup as errors:
            error = only(errors)
        raise error

    def start(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        failed: Callable[[Exception], None],
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> Job:
        """Run `work` in a task.

        Args:
            name: of the task, for debuggers: the operator's.
            work: what to do. It ends by itself or is cancelled by `Job.stop`.
            failed: gets its exception, in its task; must keep it for the consumer, and wake it.
            close: closes the source that the work pulls from, in the same task, shielded: `partial(release, source)`.
                None for work that pulls from nothing.

        Raises: StreamNotEntered: nobody owns a task group.
        """
        if self._group is None:
            raise StreamNotEntered(
                f"`{name}` works in a background task: use `async with stream... as events:` "
                "and iterate inside the block, so that the task ends with it"
            )
        self._jobs = [job for job in self._jobs if not job.ended]
        job = Job(close)
        self._jobs.append(job)
        self._group.start_soon(job.run, work, failed, name=f"millstream.{name}")
        return job


def only(error: BaseException) -> BaseException:
    """Return the exception of a group that holds a single one, at whatever depth; others as they are."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
