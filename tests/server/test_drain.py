"""A real uvicorn process with a stream that never ends is told to stop."""

import os
import signal
import socket
import subprocess
import sys

import anyio
import httpx2
import pytest

import millstream as ms

WINDOW = getattr(signal, "SIGWINCH", None)  # whose default action is to do nothing


@pytest.mark.skipif(WINDOW is None, reason="needs POSIX signals")
@pytest.mark.parametrize("former", [signal.SIG_DFL, signal.SIG_IGN, "a function"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_signal_is_handed_on_to_whatever_it_did_before(backend, former):
    heard = []

    async def main():
        async with ms.server.Drain(grace=50, signals=[WINDOW]) as drain:
            os.kill(os.getpid(), WINDOW)
            with anyio.fail_after(10):
                while not drain.draining:  # noqa: ASYNC110 - a signal is no event
                    await anyio.sleep(0.01)
            await anyio.wait_all_tasks_blocked()
            return signal.getsignal(WINDOW)

    before = signal.signal(WINDOW, former if former != "a function" else lambda number, frame: heard.append(number))
    try:
        during = anyio.run(main, backend=backend)
    finally:
        signal.signal(WINDOW, before)
    assert heard == ([WINDOW] if former == "a function" else [])
    assert (during == signal.SIG_DFL) == (former == signal.SIG_DFL), "the default action is in force again"


@pytest.mark.skipif(WINDOW is None, reason="needs POSIX signals")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_signal_ends_the_streams_at_once(backend):
    async def main():
        stopped = anyio.Event()
        async with ms.server.Drain(grace=50, signals=[WINDOW]) as drain:
            drain.add(stopped.set)
            for _ in range(2):
                assert not stopped.is_set()
                os.kill(os.getpid(), WINDOW)
                with anyio.fail_after(10):
                    while not drain.draining:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
            with anyio.fail_after(10):
                await stopped.wait()

    before = signal.signal(WINDOW, lambda number, frame: None)
    try:
        anyio.run(main, backend=backend)
    finally:
        signal.signal(WINDOW, before)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_without_a_task_of_its_own_it_still_takes_no_new_streams_and_can_be_left(backend):
    async def main():
        drain = ms.server.Drain(grace=0)
        drain.begin()
        assert drain.draining
        stopped = []
        drain.add(lambda: stopped.append(True))
        await drain.__aexit__(None, None, None)
        assert stopped == [True]

    anyio.run(main, backend=backend)


SCRIPT = """
import signal, sys, anyio, uvicorn
import millstream as ms
from millstream.testing import HANG, ScriptedSource

drain = ms.server.Drain(grace=0.2, signals=[signal.SIGTERM])

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

uvicorn.run(app, fd=int(sys.argv[1]), log_level="critical")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="needs POSIX signals")
def test_a_server_with_an_endless_stream_stops_and_its_client_is_told():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        sock.set_inheritable(True)
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(sock.fileno())], pass_fds=[sock.fileno()])
    try:
        http = httpx2.Client(trust_env=False, timeout=20)
        with http, http.stream("GET", f"http://127.0.0.1:{port}") as response:
            body = b""
            for data in response.iter_bytes():
                if not body:
                    process.send_signal(signal.SIGTERM)
                body += data
        assert b'"start"' in body
        assert b"producer_lost" in body
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
