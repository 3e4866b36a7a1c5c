"""The blocks of docs/howto/drop_in.md: those that print are run, against recorded answers over loopback."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import millstream

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "drop_in.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
RUN = [block for block in BLOCKS if re.search(r"^ *# ", block, re.MULTILINE)]
RECORDINGS = Path(millstream.__file__).parent / "_recordings"
ANSWERS = {"/v1/chat/completions": "chat-text.sse", "/v1/messages": "messages-text.sse", "/events": "chat-text.sse"}


@pytest.fixture
def url(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write((RECORDINGS / ANSWERS[self.path]).read_bytes())

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    at = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OPENAI_BASE_URL", at + "/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", at)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "k")
    yield at + "/events"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.splitlines()[0])
def test_the_block_prints_what_it_says(block: str, url: str) -> None:
    out = io.StringIO()
    names = {"url": url}
    with contextlib.redirect_stdout(out):
        exec(compile(block, str(PAGE), "exec"), names)
    for resource in ("stream", "client"):
        if resource in names:
            names[resource].close()
    assert out.getvalue().splitlines() == re.findall(r"^ *# (.*)$", block, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_the_block_imports_of_us_is_there(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("millstream"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_each_has_a_before_and_an_after() -> None:
    assert len(RUN) == 8
    assert sum("millstream" in block for block in RUN) == 4
