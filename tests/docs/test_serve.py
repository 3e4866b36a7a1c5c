"""The Python blocks of docs/howto/serve.md work as they stand there, in FastAPI, Flask and Django."""

from __future__ import annotations

import contextlib
import re
import signal
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import anyio
import django.conf
import fastapi
import flask
import httpx2
import pytest
from django.http import StreamingHttpResponse

import millstream as ms
from server.serving import serving

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "serve.md").read_text()
CHAT, RESUME, DRAIN, LIMIT, WSGI = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


async def words() -> AsyncIterator[ms.Event]:
    yield ms.Start()
    yield ms.TextDelta("Hello!")
    yield ms.Finish(ms.FinishReason.STOP)


def function(block: str, *arguments: str, **names: Any) -> Any:
    """A part of a page that returns something, as the body of a function."""
    exec(f"def handler({', '.join(arguments)}):\n{textwrap.indent(block, '    ')}", {"ms": ms, **names}, names)
    return names["handler"]


async def get(app: Any, path: str = "/", method: str = "GET", **options: Any) -> str:
    async with serving(app) as url, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.request(method, url + path, **options)
    assert answer.status_code == 200
    return answer.text


def test_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    names: dict[str, Any] = {}
    exec(CHAT, names)
    names["model"] = SimpleNamespace(stream_text=lambda question: ms.Stream(words()))
    assert '"delta":"Hello!"' in anyio.run(lambda: get(names["app"], "/chat", "POST", params={"question": "?"}))


def test_resume() -> None:
    async def main() -> str:
        async with ms.relay.Hub(ms.relay.MemoryLog(), authorize=lambda scope, stream_id: True) as hub:
            await hub.publish("chat", lambda: ms.Stream(words()))
            app = fastapi.FastAPI()
            app.get("/")(function(RESUME, hub=hub, stream_id="chat"))
            return await get(app)

    assert '"text":"Hello!"' in anyio.run(main)


def test_limit() -> None:
    class User:
        id = "ann"

    model = SimpleNamespace(stream_text=lambda question: ms.Stream(words()))
    app = fastapi.FastAPI()
    names: dict[str, Any] = {"ms": ms, "app": app, "model": model, "User": Annotated[User, fastapi.Depends(User)]}
    exec(LIMIT, names)

    async def main() -> tuple[int, str]:
        answer = await get(app, "/chat", "POST", params={"question": "?"})
        for _ in range(8):
            names["limit"].of("ann").enter()
        async with serving(app) as url, httpx2.AsyncClient(trust_env=False) as client:
            return (await client.post(url + "/chat", params={"question": "?"})).status_code, answer

    status, answer = anyio.run(main)
    assert status == 429
    assert '"text":"Hello!"' in answer


def test_drain() -> None:
    setup, handler = DRAIN.split("# in a handler\n")
    names: dict[str, Any] = {"ms": ms, "signal": signal, "asynccontextmanager": contextlib.asynccontextmanager}
    exec(setup, names)

    async def main() -> str:
        app = fastapi.FastAPI()
        answer = function(handler, "request", events=ms.Stream(words()))

        @app.get("/")
        async def _(request: fastapi.Request) -> ms.server.EventStreamResponse:
            return answer(request)

        async with names["lifespan"](app):
            return await get(app)

    before = signal.getsignal(signal.SIGTERM)
    assert '"text":"Hello!"' in anyio.run(main)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_wsgi(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, in_flask, in_django = WSGI.splitlines(keepends=True)
    names = {"events": ms.Stream(words()), "flask": flask, "StreamingHttpResponse": StreamingHttpResponse}
    if framework == "flask":
        app = flask.Flask(__name__)
        app.get("/")(function(body + in_flask, request=flask.request, **names))
        text = app.test_client().get("/").text
    else:
        defaults = django.conf.UserSettingsHolder(django.conf.global_settings)
        state = object.__getattribute__(django.conf.settings, "__dict__")
        monkeypatch.setitem(state, "_wrapped", defaults)  # other tests configure it in their own way
        answer = function(body + in_django, "request", **names)(SimpleNamespace(headers={}))
        text = b"".join(answer.streaming_content).decode()
        answer.close()
    assert '"text":"Hello!"' in text
