"""The other direction: one process that serves thousands of responses, and what serves them as a row.

`python -m bench.load.served KIND FD N NICE` is uvicorn (uvloop, httptools) with a bare ASGI application. Every response
has a source of its own, which gives one event each time `POST /tick` opens the gate; `GET /memory` collects garbage and
tells the rest.
The three sources differ only in what they give: bytes, a dict for sse-starlette, an event for millstream.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from socket import create_server
from typing import Any

from bench.load import machine

__all__ = ["KINDS", "Serving"]

BARE, OURS, OTHER = "Starlette StreamingResponse, bytes", "millstream EventStreamResponse", "sse-starlette"
KINDS = [BARE, OURS, OTHER]
TEXT = " a token"
BYTES = b'data: {"type":"text_delta","text":" a token"}\n\n'
MARK = b'"text_delta"'
BACKLOG = 8192


def application(kind: str) -> Any:
    """The application; imports only what its row needs."""
    from starlette.responses import StreamingResponse

    gate: list[asyncio.Future[None]] = []

    def tick() -> asyncio.Future[None]:
        gate.append(asyncio.get_running_loop().create_future())
        return gate[-1]

    async def events(make: Callable[[], Any]) -> AsyncIterator[Any]:
        while True:
            yield make()
            await tick()

    if kind == OURS:
        import millstream as ms
        from millstream.server import EventStreamResponse

        def respond() -> Any:
            return EventStreamResponse(ms.Stream(events(lambda: ms.TextDelta(TEXT))))
    elif kind == OTHER:
        from sse_starlette import EventSourceResponse, JSONServerSentEvent

        def respond() -> Any:
            return EventSourceResponse(events(lambda: JSONServerSentEvent({"type": "text_delta", "text": TEXT})))
    else:

        def respond() -> Any:
            return StreamingResponse(events(lambda: BYTES), media_type="text/event-stream")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response: Any
        if scope["path"] == "/memory":
            response = StreamingResponse(iter([str(machine.memory())]))
        elif scope["path"] == "/tick":
            waiting, gate[:] = gate[:], []
            for one in waiting:
                if not one.done():
                    one.set_result(None)
            response = StreamingResponse(iter(["."]))
        else:
            response = respond()
        await response(scope, receive, send)

    return app


class Serving:
    """The process. Attributes: port, pid."""

    def __init__(self, kind: str, n: int, nice: int = 0) -> None:
        with create_server(("127.0.0.1", 0), backlog=BACKLOG) as sock:
            sock.set_inheritable(True)
            self.port = sock.getsockname()[1]
            command = [sys.executable, "-m", "bench.load.served", kind, sock.fileno(), n, nice]
            self._process = subprocess.Popen([str(word) for word in command], pass_fds=[sock.fileno()])
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def main(kind: str, fd: int, n: int, nice: int) -> None:
    import uvicorn

    machine.pin(machine.SERVER_CPU, nice)
    machine.open_files(n)
    options: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "lifespan": "off", "access_log": False}
    options["timeout_keep_alive"] = 3600  # the connection that asks waits for its turn
    uvicorn.run(application(kind), fd=fd, backlog=BACKLOG, log_level="critical", **options)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
