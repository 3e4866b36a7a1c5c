"""A real uvicorn process with a stream that never ends is told to stop."""

import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest

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
