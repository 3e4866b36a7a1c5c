"""The Python blocks of providers.md and add_a_provider.md print what they say; a server on loopback answers them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import orjson
import pytest

import millstream as ms
from providers.live import KEY, Connection, Scripted, chunk, head
from providers.test_errors import END, delta, event
from providers.test_runs import calling

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGE = (HOWTO / "providers.md").read_text()
PAGES = PAGE + (HOWTO / "add_a_provider.md").read_text()
USAGE = {"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}}


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", PAGES, re.DOTALL | re.MULTILINE))
def test_each_block_prints_what_it_says(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: Connection) -> None:
        body = orjson.loads(server.asked[-1][1])
        if "tools" in body and body["messages"][-1]["role"] == "user":
            return connection.send(calling("add", '{"a":1,"b":2}'))
        words = '{"word":"Hi"}' if "response_format" in body else "Hello"
        parts = (delta(words), END, USAGE, b"[DONE]")
        return connection.send(head() + b"".join(chunk(event(one)) for one in parts) + b"0\r\n\r\n")

    promised = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    assert promised
    out = io.StringIO()
    with Scripted(answer) as server:
        for service in ("OPENAI", "HOUSE"):
            monkeypatch.setenv(f"{service}_BASE_URL", server.url)
            monkeypatch.setenv(f"{service}_API_KEY", KEY)
        with contextlib.redirect_stdout(out):
            exec(compile(block, "providers.md", "exec", dont_inherit=True), {"__name__": "howto"})
    assert out.getvalue().splitlines() == promised


def test_the_page_names_every_provider_and_its_variables() -> None:
    for name in ms.providers.provider_names():
        assert f"`{name}`" in PAGE
    for cls in (
        ms.providers.OpenAIChat,
        ms.providers.OpenAIResponses,
        ms.providers.Anthropic,
        ms.providers.Gemini,
        ms.providers.Ollama,
        ms.providers.Cohere,
        ms.providers.AzureOpenAI,
        ms.providers.Bedrock,
        ms.providers.Vertex,
        ms.providers.VertexAnthropic,
    ):
        for variable in cls.key_names:
            assert f"`{variable}`" in PAGE
        assert f"`{cls.__name__}`" in PAGE
    for method in ("stream_text", "generate_text", "stream_object", "generate_object"):
        assert method in PAGE
