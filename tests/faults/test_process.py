"""Faults 84, 85, 87 and 90 to 92: middleware, signals, no descriptors, clocks, a loop that stood still, a suspend."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

import millstream as ms
from faults.invariants import PATIENCE, comparable, read
from faults.layers import LAYERS, Layer, Served
from faults.proxy import Hurt, Proxy
from millstream.testing import HANG, FakeClock, ScriptedSource
from server.serving import served_by

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2.*garbage collected:ResourceWarning"),
]

SRC = Path(ms.__file__).parent
LONG = os.environ.get("MILLSTREAM_LONG") == "1"
RECORDED = ["chat-text", "chat-tool-call", "messages-text"]


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.invariants(step_ms=200, because="it is in this loop that the server imports what it is made of")
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.parametrize("stack", ["base", "gzip", "cors", "all"])
async def test_fault_84_the_first_event_passes_any_middleware_at_once(
    server: str, stack: str, anyio_backend: str
) -> None:
    if (server, anyio_backend) == ("uvicorn", "trio"):
        pytest.skip("uvicorn runs on asyncio")

    class Base(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    found = {
        "base": [Middleware(Base)],
        "gzip": [Middleware(GZipMiddleware, minimum_size=1)],
        "cors": [Middleware(CORSMiddleware, allow_origins=["*"])],
    }
    chosen = [one for name, some in found.items() for one in some if stack in (name, "all")]

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        stream = ms.Stream(ScriptedSource(ms.Start("m"), ms.TextDelta("first"), HANG))
        await ms.server.EventStreamResponse(stream)(scope, receive, send)

    class Endpoint:
        def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            return endpoint(scope, receive, send)

    app = Starlette(routes=[Route("/", Endpoint())], middleware=chosen)
    async with served_by(server, app) as url, httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        begun = time.monotonic()
        async with client.stream("GET", url, headers={"accept-encoding": "gzip", "origin": "http://a"}) as response:
            body = response.aiter_bytes()
            data = b""
            while b"first" not in data:
                data += await anext(body)
            took = time.monotonic() - begun
            await body.aclose()  # type: ignore[attr-defined]
    assert took < 2 * PATIENCE, "it waits for no more bytes; 100 ms on an idle machine"


SERVER = """
import signal, sys, anyio
import millstream as ms
from millstream.testing import HANG, ScriptedSource

signals = [signal.SIGTERM] if sys.argv[2] == "uvicorn" else []
drain = ms.server.Drain(grace=float(sys.argv[3]), signals=signals)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        async with drain:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        stream = ms.Stream(ScriptedSource(ms.Start("m"), HANG))
        await ms.server.EventStreamResponse(stream, drain=drain)(scope, receive, send)

if sys.argv[2] == "uvicorn":
    import uvicorn
    uvicorn.run(app, fd=int(sys.argv[1]), log_level="critical")
elif sys.argv[2] == "hypercorn":
    from hypercorn.config import Config
    from hypercorn.asyncio import serve
    config = Config()
    config.bind = ["fd://" + sys.argv[1]]
    config.graceful_timeout = 10
    config.errorlog = None

    async def told():
        with anyio.open_signal_receiver(signal.SIGTERM) as received:
            async for _ in received:
                break
        drain.begin()

    anyio.run(lambda: serve(app, config, shutdown_trigger=told))
else:
    from granian import Granian
    settings = {"interface": "asgi", "workers_kill_timeout": 1, "log_enabled": False, "backlog": 1024}
    Granian("-", port=int(sys.argv[1]), **settings).serve(target_loader=lambda *_: app)
"""

MANY = 1000


async def listen(port: int, begun: list[int], bodies: list[bytes]) -> None:
    """Ask, note the first event, and read to the end, however it comes."""
    while True:
        try:
            stream = await anyio.connect_tcp("127.0.0.1", port)
            break
        except OSError:  # it does not listen yet
            await anyio.sleep(0.05)
    async with stream:
        await stream.send(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        body = b""
        try:
            while True:
                if b'"start"' not in body:
                    body += await stream.receive()
                    if b'"start"' in body:
                        begun.append(1)
                else:
                    body += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            bodies.append(body)


@pytest.mark.invariants(step_ms=500, because="it starts a process and a thousand connections in this loop")
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # of the clients, whose loop says nothing of the server
@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
async def test_fault_85_sigterm_with_a_thousand_streams_ends_all_of_them_within_the_grace(server: str) -> None:
    """Granian ends streams by its own deadline, the others' get a word."""
    pytest.importorskip(server)
    bodies = await told_to_stop(server, MANY, "0.2", 1)
    if server != "granian":
        assert all(b"producer_lost" in body for body in bodies)


@pytest.mark.invariants(step_ms=500, because="it starts a process in this loop")
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_fault_85_a_second_sigterm_ends_all_at_once() -> None:
    bodies = await told_to_stop("uvicorn", 20, "60", 2)
    assert all(b"producer_lost" in body for body in bodies)


async def told_to_stop(server: str, n: int, grace: str, n_signals: int) -> list[bytes]:
    """Serve so many streams, send the signals, and return what clients were sent; all ends within ten seconds."""
    with socket.create_server(("127.0.0.1", 0), backlog=n) as sock:
        port = sock.getsockname()[1]
        at = sock.fileno()
        if server == "granian":  # it takes no socket: it gets the number of the port
            sock.close()
        words = [sys.executable, "-c", SERVER, str(port if server == "granian" else at), server, grace]
        process = subprocess.Popen(words, pass_fds=[] if server == "granian" else [at], start_new_session=True)  # noqa: ASYNC220
        try:
            bodies: list[bytes] = []
            begun: list[int] = []
            with anyio.fail_after(40):
                async with anyio.create_task_group() as tasks:
                    for _ in range(n):
                        tasks.start_soon(listen, port, begun, bodies)
                    while len(begun) < n:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
                    told = time.monotonic()
                    for _ in range(n_signals):
                        process.send_signal(signal.SIGTERM)
                        await anyio.sleep(0.2)
                assert time.monotonic() - told < 10 * PATIENCE
            assert len(bodies) == n
            assert await anyio.to_thread.run_sync(process.wait, 10) in (0, -signal.SIGTERM)
            return bodies
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with granian's worker
                process.wait()


NO_FILES = """
import os, resource, socket, sys, anyio
import millstream as ms
url = sys.argv[1]

async def main():
    model = ms.provider("openai:m", base_url=url + "/v1", api_key="x" * 20, retry=None)
    first = (await model.generate_text("hi")).text
    held = []
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kinds = set()
    streams = [model.stream_text("hi") for _ in range(20)]
    async def ask(stream):
        try:
            async with stream as events:
                held.append([event async for event in events])
                await anyio.sleep(0.2)
        except ms.StreamError as error:
            kinds.add(type(error).__name__)
    fillers = []
    try:
        while True:
            fillers.append(socket.socket())
    except OSError:
        pass
    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(ask, stream)
    for filler in fillers:
        filler.close()
    again = (await model.generate_text("hi")).text
    print(kinds, again == first, flush=True)

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_fault_87_without_descriptors_calls_fail_typed_and_work_again_later(
    replay_url: str, anyio_backend: str
) -> None:
    words = [sys.executable, "-W", "ignore", "-c", NO_FILES, replay_url, anyio_backend]
    process = subprocess.run(words, capture_output=True, text=True, timeout=50)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "{'ConnectionFailed'} True"


# --- clocks ----------------------------------------------------------------------------------------------------------


WALL_CLOCKS = {"time", "time_ns", "now", "utcnow", "today", "gmtime", "localtime"}
WHERE_DATES_ARE_MEANT = {
    "streams/_retry_after.py": "an HTTP date is compared with the date of today",
    "providers/bedrock.py": "AWS signs the date",
    "relay/memory.py": "a generation is one higher than the last at least; the date only keeps two processes apart",
    "server/gateway/_chats.py": "the wire has a date, which nobody reckons with",
    "server/gateway/app.py": "the same",
}


def test_fault_82_90_no_duration_is_measured_with_the_clock_of_the_wall() -> None:
    """Every clock that decides anything is monotonic; ids of the relay hold no time at all."""
    found = set()
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WALL_CLOCKS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in ("time", "datetime", "date"):
                    found.add(path.relative_to(SRC).as_posix())
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                found |= {path.relative_to(SRC).as_posix() for name in node.names if name.name in WALL_CLOCKS}
    assert found - SHOWN <= WHERE_DATES_ARE_MEANT.keys()


SHOWN = {path.relative_to(SRC).as_posix() for path in (SRC / "cli").rglob("*.py")}
"""A terminal may show and record dates."""


@pytest.mark.invariants(step_ms=5000, because="the loop is blocked on purpose")
@pytest.mark.parametrize("served", RECORDED if LONG else RECORDED[:1], indirect=True)
@pytest.mark.parametrize("which", ["idle", "progress"])
async def test_fault_91_a_loop_that_stood_still_reads_what_had_come_before_it_gives_up(
    layer: Layer, served: Served, which: str
) -> None:
    """The application blocks for longer than the clock allows, while the answer lies in the socket."""
    clocks = ms.Timeouts(**{which: 0.25})
    with Proxy(served.port, Hurt("split", len(served.body) // 2, 0.08)) as proxy:
        got: list[Any] = []
        error = None
        async with anyio.create_task_group() as tasks:

            async def block() -> None:
                while len(got) < 3:  # noqa: ASYNC110
                    await anyio.sleep(0.002)
                await anyio.sleep(0.03)  # now the consumer waits for the second half
                time.sleep(0.6)  # noqa: ASYNC251

            tasks.start_soon(block)
            async with layer(proxy.url, served, clocks) as stream:
                seen = await read(stream, got.append)
                error = seen.error
        assert error is None, "a false timeout: bytes were there"
        assert comparable(seen.events) == comparable(served.truth)


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest) -> Layer:
    return request.param


async def test_fault_92_after_a_suspend_of_hours_the_clock_of_silence_ends_it() -> None:
    """The connection is dead and does not say so; the clock has jumped, or stood still and goes on: both end it."""
    for jump in (8 * 3600.0, 121.0):
        clock = FakeClock()
        source = ScriptedSource(ms.Start("m"), ms.TextDelta("a"), HANG, clock=clock)
        stream = ms.Stream(source).timeout(ms.Timeouts(idle=120.0), clock=clock)
        seen: list[Any] = []
        async with anyio.create_task_group() as tasks:

            async def consume(stream: Any = stream, seen: list[Any] = seen) -> None:
                seen.append(await read(stream))

            tasks.start_soon(consume)
            await clock.settle()
            await clock.advance(jump)
        assert (seen[0].outcome, seen[0].error.kind, seen[0].text) == ("Timeout", "idle", "a")
        assert source.closed
