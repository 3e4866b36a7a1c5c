"""Answers that outlive their readers: a question makes a stream, and whoever knows its id reads it from the start.

`uvicorn app:app`. In one process the streams are kept in memory; with REDIS_URL, any number of processes share them.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

import millstream as ms
from millstream.server import Drain, EventStreamResponse

model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
redis = os.environ.get("REDIS_URL")
# Who knows the id may read: it has 128 random bits. With users of your own, ask here whether the stream is theirs.
hub = ms.relay.Hub(ms.relay.RedisLog(redis) if redis else ms.relay.MemoryLog(), authorize=lambda scope, stream_id: True)
drain = Drain(grace=5, signals=[signal.SIGTERM, signal.SIGINT])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with hub, drain:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))


@app.post("/answers")
async def ask(question: str) -> dict[str, str]:
    answer_id = ms.relay.new_stream_id()
    await hub.publish(answer_id, lambda: model.stream_text(question))
    return {"id": answer_id}


@app.get("/answers/{answer_id}")
async def answer(answer_id: str) -> EventStreamResponse:
    return EventStreamResponse(lambda last: hub.subscribe(answer_id, after=last), retry=500, drain=drain)


@app.delete("/answers/{answer_id}")
async def stop(answer_id: str) -> dict[str, str]:
    return {"was": await hub.cancel(answer_id)}
