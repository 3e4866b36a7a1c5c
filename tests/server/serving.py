"""Real servers on loopback ports: uvicorn and hypercorn in front of an application, and a provider behind it."""

import socket
import warnings
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module

import anyio
import hypercorn
import sniffio
import uvicorn


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self):
        yield


@asynccontextmanager
async def serving(app, **settings):
    """Serve `app` with uvicorn while the block runs; gives its URL."""
    settings = {"lifespan": "off", "ws": "none", "log_config": None, "log_level": "critical", **settings}
    config = uvicorn.Config(app, access_log=False, **settings)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [sock])
            try:
                yield "http://{}:{}".format(*sock.getsockname())
            finally:
                server.should_exit = True


@asynccontextmanager
async def hypercorn_serving(app, **settings):
    """The same with hypercorn, on the event loop that runs: asyncio or trio."""
    config = hypercorn.Config()
    config.errorlog = config.accesslog = None
    config.graceful_timeout = 1
    for name, value in settings.items():
        setattr(config, name, value)
    sock = socket.create_server(("127.0.0.1", 0))
    url = "http://{}:{}".format(*sock.getsockname())
    config.bind = [f"fd://{sock.detach()}"]
    stop = anyio.Event()
    serve = import_module(f"hypercorn.{sniffio.current_async_library()}").serve
    async with anyio.create_task_group() as tasks:

        async def run():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of hypercorn itself
                await serve(app, config, shutdown_trigger=stop.wait)

        tasks.start_soon(run)
        try:
            yield url
        finally:
            stop.set()


@asynccontextmanager
async def served_by(server, app, **settings):
    """Serve with "uvicorn" or "hypercorn"."""
    async with (serving if server == "uvicorn" else hypercorn_serving)(app, **settings) as url:
        yield url


class Upstream:
    """A provider on a loopback port that sends what it is told, counts it, and knows when its client has gone.

    Args: pieces: bytes to send one after another; then silence. every: seconds between pieces of an endless repetition
        of the last one; None: silence after the last.
    """

    def __init__(self, *pieces, status="200 OK", headers=(), every=None):
        self.pieces = pieces
        self.status = status
        self.headers = headers
        self.every = every
        self.n_bytes = 0
        self.n_requests = 0
        self.gone = anyio.Event()

    async def __aenter__(self):
        self._tasks = await anyio.create_task_group().__aenter__()
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self._tasks.start_soon(listener.serve, self._handle)
        self._listener = listener
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc):
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._listener.aclose()

    async def _handle(self, stream):
        async with stream:
            try:
                await stream.receive()
                self.n_requests += 1
                head = [f"HTTP/1.1 {self.status}", "content-type: text/event-stream", "connection: close"]
                await stream.send("\r\n".join([*head, *self.headers, "", ""]).encode())
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._talk, stream)
                    await stream.receive()
            except* (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            finally:
                self.gone.set()

    async def _talk(self, stream):
        for piece in self.pieces:
            await stream.send(piece)
            self.n_bytes += len(piece)
        if self.status != "200 OK":
            await stream.aclose()
        while self.every is not None:
            await anyio.sleep(self.every)
            await stream.send(self.pieces[-1])
            self.n_bytes += len(self.pieces[-1])
