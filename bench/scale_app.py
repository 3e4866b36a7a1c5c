"""What `bench.scale` serves: `POST /KEY` begins a stream that ticks, `GET /KEY` reads it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio

import millstream as ms
from millstream.server import EventStreamResponse

TICKS, EVERY = int(os.environ["TICKS"]), float(os.environ["EVERY"])

log = ms.relay.RedisLog(os.environ["LOG"]) if os.environ["LOG"] else ms.relay.MemoryLog()
hub = ms.relay.Hub(log, authorize=lambda scope, stream_id: True)


async def ticks() -> AsyncIterator[ms.Event]:
    """Events that say when they were made."""
    begun = time.monotonic()
    for i in range(TICKS):
        await anyio.sleep(max(0.0, begun + i * EVERY - time.monotonic()))
        yield ms.TextDelta(f"{i} {time.monotonic()}")
    yield ms.Finish(ms.FinishReason.STOP)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        async with hub:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["method"] == "POST":
        await hub.publish(scope["path"][1:], lambda: ms.Stream(ticks()))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    else:
        key = scope["path"][1:]
        await EventStreamResponse(lambda last: hub.subscribe(key, after=last))(scope, receive, send)
