"""Where keys come from, where they go, and where they never show."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

import millstream as ms
from providers.live import KEY, Scripted, whole
from providers.test_errors import GOOD

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ms.providers.provider_names()
        if name not in ("azure", "bedrock", "compatible", "vertex", "vertex-anthropic")
    ],
)
def test_a_key_of_the_environment_is_found_and_never_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ms.provider(f"{name}:m", api_key=KEY)
    assert isinstance(made, ms.providers.HTTPProvider)
    for variable in made.key_names:
        monkeypatch.setenv(variable, KEY)
        again = ms.provider(f"{name}:m")
        assert KEY not in repr(again) + repr(vars(again)) + str(again)
        assert variable in repr(vars(again))
        monkeypatch.delenv(variable)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(made._key)


async def asked(**options: object) -> str:
    with Scripted(GOOD) as server:
        await ms.provider("openai:m", base_url=server.url, **options).generate_text("hi")
        return server.asked[0][0]


async def test_a_key_of_the_environment_goes_to_no_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "authorization" not in await asked()
    assert f"authorization: Bearer {KEY}" in await asked(api_key=KEY)
    with Scripted(GOOD) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        await ms.provider("openai:m").generate_text("hi")
        assert f"authorization: Bearer {KEY}" in server.asked[0][0]


async def test_a_key_is_stripped() -> None:
    assert f"authorization: Bearer {KEY}\r\n" in await asked(api_key=f" {KEY}\n")


async def _soon() -> str:
    return "token-2"


@pytest.mark.parametrize(("give", "token"), [(lambda: "token-1", "token-1"), (_soon, "token-2")])
async def test_a_function_gives_the_key_for_each_request(give: Callable[[], object], token: str) -> None:
    assert f"authorization: Bearer {token}\r\n" in await asked(api_key=give)


async def test_an_empty_key_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    assert "authorization" not in await asked(api_key="")


async def test_headers_may_take_the_place_of_a_key() -> None:
    ms.provider("openai:m", headers={"Authorization": "Basic abc"})
    assert "authorization: Basic abc" in await asked(headers={"Authorization": "Basic abc"})


OWN = [
    ("openai:m", "Authorization"),
    ("anthropic:m", "Authorization"),
    ("anthropic:m", "X-Api-Key"),
    ("azure:m", "Api-Key"),
    ("gemini:m", "X-Goog-Api-Key"),
    ("vertex:m", "Authorization"),
    ("vertex-anthropic:m", "Authorization"),
]


@pytest.mark.parametrize(("name", "header"), OWN)
async def test_headers_of_the_caller_are_the_only_ones_that_sign_and_an_error_says_so(name: str, header: str) -> None:
    options: dict[str, Any] = {"project": "p", "location": "global"} if name.startswith("vertex") else {}
    with Scripted(whole("401 No", b"{}")) as server:
        model = ms.provider(name, base_url=server.url, headers={header: "of the caller"}, retry=None, **options)
        with pytest.raises(ms.AuthError, match="it was sent the headers that were given"):
            await model.generate_text("hi")
        sent = server.asked[0][0].lower()
    assert f"{header.lower()}: of the caller\r\n" in sent
    assert sum(sent.count(f"\r\n{name}:") for name in ("authorization", "api-key", "x-api-key", "x-goog-api-key")) == 1


def test_a_header_that_signs_is_enough_at_home() -> None:
    for name, header in OWN[:3] + OWN[4:5]:
        ms.provider(name, headers={header: "of the caller"}).stream_text("hi")


def test_a_service_that_nobody_knows_is_refused_and_those_known_are_named() -> None:
    with pytest.raises(ms.UsageError, match=r"no service 'nobody'; known are: .*groq.*; or give only base_url"):
        ms.providers.OpenAICompatible("m", service="nobody")


# --- Azure, Bedrock, Ollama ------------------------------------------------------------------------------------------


async def test_azure_signs_with_a_key_or_a_token_and_has_two_paths() -> None:
    with Scripted(GOOD) as server:
        await ms.providers.AzureOpenAI("my dep", base_url=server.url, api_key=KEY).generate_text("hi")
        await ms.providers.AzureOpenAI("d", base_url=server.url + "/openai/v1/", api_key=lambda: "entra").generate_text(
            "hi"
        )
        await ms.providers.AzureOpenAI(
            "my dep", base_url=server.url, api_key=KEY, api_version="2024-10-21"
        ).generate_text("hi")
        heads = [text for text, _ in server.asked]
    assert [text.split()[1] for text in heads] == [
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21",
    ]
    assert f"api-key: {KEY}" in heads[0]
    assert "authorization: Bearer entra" in heads[1]


def test_azure_without_an_address_says_what_to_give() -> None:
    with pytest.raises(ms.UsageError, match="azure: give base_url"):
        ms.providers.AzureOpenAI("m", api_key=KEY)


async def test_bedrock_signs_what_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.session import Session

    session = Session()
    session.set_credentials("AKIDEXAMPLE", KEY, "session-token")
    with Scripted(GOOD) as server:
        model = ms.providers.Bedrock(
            "anthropic/claude:0", region="eu-west-1", session=session, base_url=server.url, retry=None
        )
        with pytest.raises(ms.errors.UnexpectedContentType):
            await model.generate_text("hi")
        text, body = server.asked[0]
    lines = text.split("\r\n")
    pairs = [line.split(": ", 1) for line in lines[1:] if line]
    headers = {name.lower(): value for name, value in pairs}
    path = lines[0].split()[1]
    assert path == "/model/anthropic%2Fclaude%3A0/converse-stream"
    assert headers["x-amz-security-token"] == "session-token"
    assert KEY not in text

    # The server signs what arrived, and gets the same.
    signed = {name: headers[name] for name in ("content-type", "host")}
    again = AWSRequest("POST", server.url + path, signed, body)
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", KEY, "session-token"), "bedrock", "eu-west-1")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: _when(headers["x-amz-date"]))
    signer.add_auth(again)
    assert again.headers["Authorization"] == headers["authorization"]


def _when(date: str) -> object:
    from datetime import datetime

    return datetime.strptime(date, "%Y%m%dT%H%M%SZ")


async def test_bedrock_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ms.UsageError, match="bedrock: give region, or set AWS_REGION"):
        ms.providers.Bedrock("m")
    with pytest.raises(ms.AuthError, match="botocore finds no credentials"):
        await ms.providers.Bedrock("m", region="eu-west-1", retry=None).generate_text("hi")


async def test_bedrock_without_botocore_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ms.errors.MissingExtra, match=r"pip install 'millstream\[bedrock\]', or pass api_key"):
        await ms.providers.Bedrock("m", region="eu-west-1", retry=None).generate_text("hi")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("gpu:11434", "http://gpu:11434"),
        ("https://ollama.com/", "https://ollama.com"),
    ],
)
def test_ollama_host_may_be_what_the_server_takes(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ms.providers.Ollama("m").base_url == url
