"""The tutorial, followed: its files are written as the page shows them, and its commands run, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx2
import orjson
import pytest

import millstream as ms
from server.serving import serving

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
HELLO, SERVED, SURVIVING, ONE_LINE = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
[HTML] = re.findall(r"^```html\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TEXT = orjson.loads((ROOT / "src/millstream/_recordings/demo-chat.sse.truth.json").read_bytes())["text"]
MODEL = "http://127.0.0.1:8000"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


def replay() -> ms.server.replay.ReplayApp:
    from millstream.server.replay import ReplayApp

    return ReplayApp(speed=float("inf"))


def made(code: str, model: str) -> Callable[..., object]:
    names: dict[str, object] = {"__name__": "app"}
    exec(compile(code.replace(MODEL, model), "app.py", "exec", dont_inherit=True), names)
    return names["app"]


def messages(body: bytes) -> list[ms.SSEMessage]:
    parser = ms.SSEParser()
    return parser.feed(body) + parser.close()


def text(body: bytes) -> str:
    events = [message.json() for message in messages(body)]
    return "".join(event["text"] for event in events if event["type"] == "text_delta")


async def test_hello(tmp_path: Path) -> None:
    async with serving(replay()) as model:
        (tmp_path / "hello.py").write_text(HELLO.replace(MODEL, model))
        done = await anyio.run_process([sys.executable, "-W", "error", "hello.py"], cwd=tmp_path)
    assert done.stdout.decode().replace("\r\n", "\n") == f"{TEXT}\n[stop, 46 tokens]\n"
    assert "`[stop, 46 tokens]`" in PAGE


async def test_the_page_serves(tmp_path: Path) -> None:
    async with serving(replay()) as model, serving(made(SERVED, model)) as url, httpx2.AsyncClient() as client:
        answer = await client.get(url + "/answer?question=hi")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    shown = re.search(r"^data: \{\"type\":\"start\",\.\.\.\n\n(data: .*\n)", PAGE, re.MULTILINE)
    assert shown is not None
    assert shown[1].encode() in answer.content
    assert text(answer.content) == TEXT


async def test_an_answer_survives_its_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.html").write_text(HTML)
    async with (
        serving(replay()) as model,
        serving(made(SURVIVING, model), lifespan="on") as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        assert (await client.get("/")).text == HTML
        answer_id = (await client.post("/answers?question=hi")).json()["id"]
        whole = (await client.get(f"/answers/{answer_id}")).content
        seen = messages(whole)[:30]
        rest = await client.get(f"/answers/{answer_id}", headers={"last-event-id": seen[-1].id})
    assert text(whole) == TEXT
    assert [one.id for one in messages(whole)][30:] == [one.id for one in messages(rest.content)]


def test_the_one_line_is_the_whole_change() -> None:
    memory = "hub = ms.relay.Hub(ms.relay.MemoryLog(), authorize=lambda scope, stream_id: True)\n"
    assert memory in SURVIVING
    assert memory.replace("MemoryLog()", 'RedisLog("redis://localhost")') == ONE_LINE
    example = (ROOT / "examples" / "answers" / "app.py").read_text()
    assert "ms.relay.RedisLog(redis) if redis else ms.relay.MemoryLog()" in example


async def test_the_demonstration_of_the_relay(tmp_path: Path) -> None:
    from relay.redis_server import executable

    env = {**os.environ, "PATH": f"{Path(executable()).parent}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "*"}
    demo = [sys.executable, "-W", "error", str(ROOT / "examples" / "answers" / "demo.py")]
    done = await anyio.run_process(demo, env=env, stderr=subprocess.STDOUT)
    killed, end = re.findall("^--- (?:killed|[0-9]).*$", done.stdout.decode(), re.MULTILINE)
    shown = re.search(r"make demo-relay\n(.*)\n(.*)\n```", PAGE)
    assert shown is not None
    assert re.sub("[0-9]+", "40", killed) == shown[1]  # the last chunk may hold more than one message
    assert end == shown[2]
