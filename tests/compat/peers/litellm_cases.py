"""LiteLLM's real chunks -> events; and its older OpenAI client, accelerated. Run by test_peers.py."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network at import

import litellm
import openai
import pytest

import millstream as ms
from millstream.compat.litellm import events, iter_events
from millstream.compat.openai import accelerate

RECORDING = Path(ms.__file__).parent / "_recordings" / "chat-tool-call.sse"


@pytest.fixture(scope="module")
def url():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(RECORDING.read_bytes())

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str) -> dict:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "openai/m", "messages": messages, "api_base": url, "api_key": "k", "stream": True}


def check(found: list[ms.Event]) -> None:
    direct = list(ms.iter_events([RECORDING.read_bytes()], "openai-chat"))

    def calls(events: list[ms.Event]) -> list:
        return [(e.name, e.arguments, e.validity) for e in events if isinstance(e, ms.ToolCall)]

    assert calls(found) == calls(direct) != []
    assert "".join(e.text for e in found if isinstance(e, ms.TextDelta)) == "".join(
        e.text for e in direct if isinstance(e, ms.TextDelta)
    )
    assert found[-1].reason == direct[-1].reason


def test_completion(url: str) -> None:
    check(list(iter_events(litellm.completion(**ask(url)))))


def test_acompletion(url: str) -> None:
    async def main() -> list[ms.Event]:
        async with events(await litellm.acompletion(**ask(url))) as stream:
            return [event async for event in stream]

    check(asyncio.run(main()))


def test_an_older_sdk_gives_the_same(url: str) -> None:
    assert not openai.__version__.startswith("3."), "the point is another version than the one we test with"
    client = openai.OpenAI(api_key="k", base_url=url)

    def read() -> list[str]:
        return [
            json.dumps(chunk.model_dump())
            for chunk in client.chat.completions.create(model="m", messages=[], stream=True)
        ]

    theirs = read()
    handle = accelerate(client)
    assert handle.active, "2.54 has the same hook"
    assert read() == theirs != []
    handle.undo()
    assert read() == theirs
