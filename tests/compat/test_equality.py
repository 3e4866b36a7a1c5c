"""Every capture through the official clients, with and without us: equal objects, equal errors."""

from __future__ import annotations

import json

import pydantic
import pytest

from compat.sdks import ACCELERATE, ASK, MESSAGES, aread, client, read
from conftest import shared_dir
from protocols.decoding import pieces, random_cuts, sse

CORPUS = shared_dir() / "corpus"
INDEX = [entry for entry in json.loads((CORPUS / "INDEX.json").read_bytes()) if entry["api"] in ASK]


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param  # the SDKs' own async is not what is tested


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in INDEX])
def test_every_capture_gives_equal_objects(entry: dict) -> None:
    body = (CORPUS / entry["file"]).read_bytes()
    sdk, ask = ASK[entry["api"]]
    theirs = read(ask(client(sdk, [body])))
    for cuts in ([body], next(random_cuts(body, entry["file"]))):
        accelerated = client(sdk, cuts)
        with ACCELERATE[sdk](accelerated):
            ours = read(ask(accelerated))
        assert ours == theirs
    assert theirs


@pytest.mark.anyio
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in INDEX[::7]])
async def test_async_clients_give_equal_objects(entry: dict) -> None:
    body = (CORPUS / entry["file"]).read_bytes()
    sdk, ask = ASK[entry["api"]]
    theirs = await aread(ask(client(sdk, pieces(body, 997), sync=False)))
    with ACCELERATE[sdk]():
        ours = await aread(ask(client(sdk, pieces(body, 997), sync=False)))
    assert ours == theirs


def test_every_wire_of_the_clients_is_there() -> None:
    assert {entry["api"] for entry in INDEX} == ASK.keys()
    assert len(INDEX) > 150


ANSWERS = [entry for entry in INDEX if entry["api"] == "anthropic-messages"]


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["file"]) for entry in ANSWERS])
def test_the_helper_that_parses_what_has_arrived_gives_equal_events(entry: dict, monkeypatch) -> None:
    from millstream.compat import _growing

    monkeypatch.setattr(_growing, "SMALL", 0)
    body = (CORPUS / entry["file"]).read_bytes()

    def events(sdk_client) -> list:
        with sdk_client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            return read(iter(stream))

    theirs = events(client("anthropic", [body]))
    with ACCELERATE["anthropic"]():
        assert events(client("anthropic", [body])) == theirs


def test_the_helper_of_openai_gives_equal_structured_output(monkeypatch) -> None:
    from millstream.compat import _growing

    class Person(pydantic.BaseModel):
        name: str
        tags: list[str]

    def chunk(content: str, reason: str | None = None) -> dict:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
        return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    text = json.dumps({"name": 'A\u00e9 "quoted"', "tags": ["x" * 30, "y\n"]})
    body = sse(*map(chunk, pieces(text, 3)), chunk("", "stop"), "[DONE]")

    def events(sdk_client) -> list:
        with sdk_client.chat.completions.stream(model="m", messages=MESSAGES, response_format=Person) as stream:
            return [repr(event) for event in stream]

    monkeypatch.setattr(_growing, "SMALL", 0)
    theirs = events(client("openai", [body]))
    fed = []
    feed = _growing._Text.feed
    monkeypatch.setattr(_growing._Text, "feed", lambda self, data: fed.append(data) or feed(self, data))
    with ACCELERATE["openai"]():
        assert events(client("openai", [body])) == theirs
    assert len(fed) > 10
    assert any("parsed={'name'" in event for event in theirs)
