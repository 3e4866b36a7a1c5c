"""A producer in a process of its own: `python produce.py URL PREFIX LEASE STREAM_ID N PAUSE BACKEND`.

Publishes `N` items with `PAUSE` seconds between them, and prints what became of it. "role" comes first.
"""

from __future__ import annotations

import sys
from functools import partial

import anyio

from millstream.relay import Hub, RedisLog


async def main(url: str, prefix: str, lease: str, stream_id: str, n: str, pause: str) -> None:
    async def items():  # type: ignore[no-untyped-def]
        for i in range(int(n)):
            yield b"%d" % i
            await anyio.sleep(float(pause))

    say = partial(print, flush=True)
    log = RedisLog(url, prefix=prefix, lease=float(lease))
    async with Hub(log, authorize=lambda scope, stream_id: True) as hub:
        run = await hub.publish(stream_id, items, protocol=None)
        say(run.role)
        if run.role == "producer":
            say((await run.wait()).value, type(run.error).__name__)


if __name__ == "__main__":
    *words, backend = sys.argv[1:]
    anyio.run(main, *words, backend=backend)
