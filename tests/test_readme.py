"""The README's Python blocks run against a server on loopback and print what they say. Links: `docs/test_links.py`."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

import millstream as ms
from server.serving import serving

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
PRINTING = [block for block in BLOCKS if re.search("^# ", block, re.MULTILINE)]
LOCAL = "http://127.0.0.1:8080"  # what the page says; the server of the test is somewhere else
ANSWER = (
    b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"lo!"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A chat server. The key and the address of OpenAI in the environment are its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = self.path == "/v1/chat/completions"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(ANSWER)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    at = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OPENAI_BASE_URL", at + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    yield at
    server.shutdown()
    thread.join()
    server.server_close()


def run(block: str, url: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block.replace(LOCAL, url), "README.md", "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize("block", PRINTING, ids=range(len(PRINTING)))
def test_the_block_prints_what_it_says(block: str, url: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        run(block, url)
    assert out.getvalue().splitlines() == re.findall(r"^# (.*)$", block, re.MULTILINE)


def test_the_block_that_serves_answers_over_http(url: str) -> None:
    [block] = [block for block in BLOCKS if block not in PRINTING]

    async def main() -> str:
        async with serving(run(block, url)["app"]) as server, httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{server}/chat", params={"prompt": "Say hello."})
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        return answer.text

    text = anyio.run(main)
    assert re.findall('"delta":"(.*?)"', text) == ["Hel", "lo!"]
    assert text.endswith("data: [DONE]\n\n")


def test_the_page_is_short_and_begins_with_ten_lines() -> None:
    assert len(README.read_text().splitlines()) <= 160
    code = [line for line in BLOCKS[0].splitlines() if line.strip() and not line.startswith("# ")]
    assert len(code) == 10


def test_the_page_counts_right() -> None:
    text = README.read_text()
    assert f"read {len(ms.protocols.decoder_names())} wires" in text
    assert f"write {len(ms.protocols.encoder_names())} wires" in text
    assert f"{len(ms.providers.provider_names())} names" in text


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([\w/]+\.md)\)", (DOCS / "index.md").read_text()))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.parent.name != "changes"}
    assert listed == there - {"index.md"}
