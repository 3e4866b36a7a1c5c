"""Stopping several tasks, and closing several sources, so that the failure of one does not spare the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from millstream.streams._pull import Puller
from millstream.streams._tasks import Job

__all__ = ["aclose_all", "in_turn", "stop_all"]


async def stop_all(jobs: Iterable[Job]) -> None:
    """Cancel all tasks first, then wait for each. Raises: the first error of closing; the others are its notes."""
    jobs = list(jobs)
    for job in jobs:
        job.cancel()
    await in_turn([job.stop for job in jobs])


async def aclose_all(sources: Iterable[Puller[Any]]) -> None:
    """Close all sources. Raises: as `stop_all`."""
    await in_turn([source.aclose for source in sources])


async def in_turn(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Await one call after another, also after one has failed. Raises: as `stop_all`."""
    failures: list[Exception] = []
    for call in calls:
        try:
            await call()
        except Exception as error:
            failures.append(error)
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"closing another one failed too: {other!r}")
        raise failures[0]
