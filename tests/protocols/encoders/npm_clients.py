"""Real npm clients: node runs a script of tests/js against a loopback server that sends what a test says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import millstream as ms

JS = Path(__file__).parents[2] / "js"
PIECE = 997  # bytes per write: no message comes whole by luck


def require_node() -> None:
    """Skip (or fail, in CI) without node and the packages of tests/js."""
    if shutil.which("node") and (JS / "node_modules" / ".package-lock.json").exists():
        return
    message = "no node, or no packages for it: run `npm ci` in tests/js"
    if os.environ.get("MILLSTREAM_REQUIRE_NODE") == "1":
        pytest.fail(message + " (MILLSTREAM_REQUIRE_NODE=1)")
    pytest.skip(message, allow_module_level=True)


def node(script: str, *arguments: str) -> list[Any]:
    """Run a script and return the JSON lines that it prints."""
    done = subprocess.run(
        ["node", script, *arguments], cwd=JS, capture_output=True, text=True, timeout=50, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    # JSON may hold U+2028 and its like, which `splitlines` takes for line ends.
    return [json.loads(line) for line in done.stdout.split("\n") if line]


@contextmanager
def serving(protocol: str, bodies: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Serve each body under its own address, whatever is asked below it; yield the addresses in order."""
    encoder = ms.encoder(protocol)
    headers = {"content-type": encoder.media_type, **encoder.headers, "connection": "close"}
    listed = list(bodies.values())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = listed[int(self.path.split("/")[1])]
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for at in range(0, len(body), PIECE):
                self.wfile.write(body[at : at + PIECE])
                self.wfile.flush()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield [f"http://127.0.0.1:{server.server_address[1]}/{number}" for number in range(len(listed))]
        finally:
            server.shutdown()
            thread.join()
