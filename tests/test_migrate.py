"""docs/howto/migrate.md: what comes after prints what came before, from a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import millstream as ms
from millstream.server.replay import Recording, ReplayApp
from server.serving import serving

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "migrate.md").read_text()
SECTIONS = dict(re.findall(r"^## From (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
NOT_HERE = ["LangChain", "LiteLLM"]  # they have environments of their own, see tests/compat/test_peers.py
MESSAGES = [{"role": "user", "content": "Say hello."}]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


def recording(protocol: str, path: str) -> Recording:
    wire = ms.encoder(protocol)
    events = [ms.Start("m", "id-1"), ms.TextDelta("Hel"), ms.TextDelta("lo!"), ms.Finish(ms.FinishReason.STOP)]
    body = b"".join(map(wire.encode, events)) + wire.close()
    return Recording(protocol, {"endpoint": path, "content_type": "text/event-stream"}, 0.0, ((0.0, body),))


def blocks(section: str) -> dict[str, str]:
    return dict(re.findall(r"^```python\n# (before|after)\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


CASES = [
    (name, which) for name in SECTIONS for which in blocks(SECTIONS[name]) if name not in NOT_HERE or which == "after"
]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_both(name: str) -> None:
    assert list(blocks(SECTIONS[name])) == ["before", "after"]


@pytest.mark.parametrize(("name", "which"), CASES)
async def test_it_prints_the_answer(
    name: str, which: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat, claude = recording("openai-chat", "/v1/chat/completions"), recording("anthropic-messages", "/v1/messages")
    async with serving(ReplayApp({one.name: one for one in (chat, claude)})) as url:
        for variable, value in [("OPENAI_BASE_URL", url + "/v1"), ("ANTHROPIC_BASE_URL", url)]:
            monkeypatch.setenv(variable, value)
            monkeypatch.setenv(variable.replace("BASE_URL", "API_KEY"), "k")
        names: dict[str, Any] = {"__name__": "migrate"}
        exec(compile(blocks(SECTIONS[name])[which], f"{name}, {which}", "exec", dont_inherit=True), names)
        if name == "httpx-sse":
            await names["answer"](url + "/v1/chat/completions", {"stream": True, "messages": MESSAGES})
        else:
            await names["answer"]("Say hello." if name == "LangChain" else MESSAGES)
    assert capsys.readouterr().out == "Hello!"
