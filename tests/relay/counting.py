"""What work makes of the event loop's objects: tasks, timers, cancel scopes. Costs are counted here, not timed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sniffio
import trio
from anyio._backends import _asyncio, _trio


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return the numbers of what is made from now on; call it inside of the event loop."""
    counts: Counter[str] = Counter()

    def counted(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return fn(*args, **options)

        return count

    if sniffio.current_async_library() == "asyncio":
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_task", counted("tasks", loop.create_task))
        monkeypatch.setattr(loop, "call_at", counted("timers", loop.call_at))
        monkeypatch.setattr(_asyncio.CancelScope, "__enter__", counted("scopes", _asyncio.CancelScope.__enter__))
    else:
        runner = trio._core._run.Runner
        monkeypatch.setattr(runner, "spawn_impl", counted("tasks", runner.spawn_impl))
        monkeypatch.setattr(_trio.CancelScope, "__enter__", counted("scopes", _trio.CancelScope.__enter__))
    return counts
