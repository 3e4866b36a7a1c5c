"""A producer in a process of its own: `python produce.py URL PREFIX LEASE STREAM_ID N PAUSE BACKEND`.

Publishes `N` items with `PAUSE` seconds between them, and prints what became of it. "role" comes first. SIGTERM is
heard in the event loop, as servers hear it, and ends it in good order.
"""

from __future__ import annotations

import signal
import sys
from functools import partial

import anyio
import anyio.abc

from millstream.relay import Hub, RedisLog


async def main(url: str, prefix: str, lease: str, stream_id: str, n: str, pause: str) -> None:
    async def items():  # type: ignore[no-untyped-def]
        for i in range(int(n)):
            yield b"%d" % i
            await anyio.sleep(float(pause))

    say = partial(print, flush=True)
    log = RedisLog(url, prefix=prefix, lease=float(lease))
    async with anyio.create_task_group() as tasks:
        await tasks.start(until_terminated, tasks.cancel_scope)
        async with Hub(log, authorize=lambda scope, stream_id: True) as hub:
            run = await hub.publish(stream_id, items, protocol=None)
            say(run.role)
            if run.role == "producer":
                say((await run.wait()).value, type(run.error).__name__)
        tasks.cancel_scope.cancel()


async def until_terminated(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    *words, backend = sys.argv[1:]
    anyio.run(main, *words, backend=backend)
