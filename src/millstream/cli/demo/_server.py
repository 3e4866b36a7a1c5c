"""The demo's server: providers that replay, and an application that serves a provider's stream on."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn

from millstream.cli._failure import CommandError
from millstream.cli.demo import served
from millstream.cli.demo._stage import Stage
from millstream.server._asgi import Receive, Scope, Send
from millstream.server.replay import ReplayApp

__all__ = ["Routes", "listen", "serving"]


def listen() -> socket.socket:
    """Bind and listen here: requests wait in the backlog until the server accepts them, nobody has to poll."""
    try:
        sock = socket.create_server(("127.0.0.1", 0))
    except OSError as error:
        raise CommandError(f"cannot open a local port: {error}") from None
    sock.setblocking(False)
    return sock


class Routes:
    """The recordings, and beside them what the last act reads."""

    def __init__(self, replay: ReplayApp, stage: Stage) -> None:
        self._replay = replay
        self._stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) == ("POST", served.PATH):
            await served.answer(self._stage)(scope, receive, send)
        else:
            await self._replay(scope, receive, send)


class _Server(uvicorn.Server):
    """uvicorn, but Ctrl-C stays with the demo."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Routes, sock: socket.socket) -> AsyncIterator[None]:
    """Serve while the block runs. Raises: CommandError: the server stopped by itself; the block is cancelled then."""
    # With log_config=None uvicorn leaves the logging of the process alone; "critical" keeps it quiet.
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, log_level="critical", access_log=False)
    server = _Server(config)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def serve() -> None:
            nonlocal failure
            cause: BaseException | None = None
            try:
                await server.serve(sockets=[sock])
            except (Exception, SystemExit) as error:  # uvicorn exits when it cannot start
                cause = error
            if not server.should_exit or cause is not None:
                failure = CommandError(f"the local server stopped: {cause!r}")
            tasks.cancel_scope.cancel()

        tasks.start_soon(serve)
        try:
            yield
        except Exception as error:  # re-raised below, outside of the group that would wrap it
            failure = error
        server.should_exit = True
    if failure is not None:
        raise failure
