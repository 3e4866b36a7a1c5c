"""uvicorn on a loopback port, for tests over real HTTP."""

import socket
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self):
        yield


@asynccontextmanager
async def serving(app):
    """Serve `app` while the block runs; gives its URL."""
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, log_level="critical", access_log=False)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [sock])
            try:
                yield "http://{}:{}".format(*sock.getsockname())
            finally:
                server.should_exit = True
