"""Vertex AI: addresses, and tokens that google-auth gets for the credentials that it finds, over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx2
import orjson
import pytest

import millstream as ms
from providers.live import KEY, Connection, Scripted, chunk, head, whole

pytestmark = pytest.mark.anyio

ANSWER = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]}
GOOD = head() + chunk(b"data: " + orjson.dumps(ANSWER) + b"\r\n\r\n") + b"0\r\n\r\n"
WORDS = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
CLAUDE = b"".join(b"event: %s\ndata: %s\n\n" % (str(one["type"]).encode(), orjson.dumps(one)) for one in WORDS)
HOME = "projects/p/locations/europe-west1"


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine is found: no variables, no gcloud, no metadata server."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("NO_PROXY", "*")


class Here(httpx2.AsyncHTTPTransport):
    """Takes what is meant for another host to a server of this machine; the header `host` stays."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = httpx2.URL(url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


def told(asked: tuple[str, bytes]) -> tuple[str, dict[str, str]]:
    """Path and headers."""
    first, *lines = asked[0].rstrip("\r\n").split("\r\n")
    return first.split()[1], {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def account(folder: Path, token_url: str) -> tuple[str, Any]:
    """A service account as gcloud writes it, with a key made for this test; and the public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    file = folder / "account.json"
    told = {"type": "service_account", "project_id": "of-the-account", "private_key_id": "1", "private_key": pem}
    file.write_bytes(orjson.dumps({**told, "client_email": "it@example.com", "client_id": "1", "token_uri": token_url}))
    return str(file), private.public_key()


def is_signed(assertion: str, public: Any) -> bool:
    from google.auth import jwt
    from google.auth.crypt import RSAVerifier

    return RSAVerifier(public).verify(
        assertion.rpartition(".")[0].encode(), jwt._helpers.padded_urlsafe_b64decode(assertion.rpartition(".")[2])
    )


async def test_a_service_account_of_the_environment_gets_a_token_once_and_signs_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = whole("200 OK", orjson.dumps({"access_token": KEY, "expires_in": 3600, "token_type": "Bearer"}))
    with Scripted(token) as tokens, Scripted(GOOD) as server:
        file, public = account(tmp_path, tokens.url + "/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        async with httpx2.AsyncClient(transport=Here(server.url)) as client:
            model = ms.provider("vertex:gemini-3.5-flash", location="europe-west1", client=client)
            assert KEY not in repr(model) + repr(vars(model))
            assert [(await model.generate_text("hi")).text for _ in range(2)] == ["Hello"] * 2
    assert len(tokens.asked) == 1  # the token is good for an hour
    [assertion] = parse_qs(tokens.asked[0][1].decode())["assertion"]
    assert is_signed(assertion, public)
    path, headers = told(server.asked[0])
    assert path == (
        "/v1/projects/of-the-account/locations/europe-west1/publishers/google/models/gemini-3.5-flash"
        ":streamGenerateContent?alt=sse"
    )
    assert headers["host"] == "europe-west1-aiplatform.googleapis.com"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert orjson.loads(server.asked[0][1])["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


async def test_a_token_that_google_refuses_is_an_auth_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refused = whole("400 Bad Request", b'{"error": "invalid_grant", "error_description": "Account is disabled"}')
    with Scripted(refused) as tokens:
        file, _ = account(tmp_path, tokens.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        model = ms.providers.Vertex("m", project="p")
        with pytest.raises(ms.AuthError, match=r"no token for Google's default credentials: .*disabled.*gcloud auth"):
            await model.generate_text("hi")


async def test_a_token_end_point_that_is_not_there_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Scripted(GOOD) as gone:
        file, _ = account(tmp_path, gone.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda seconds: None)
    with pytest.raises(ms.ConnectionFailed, match="cannot ask Google for a token"):
        await ms.providers.Vertex("m", project="p", retry=None).generate_text("hi")


async def test_without_credentials_it_says_what_to_do() -> None:
    with pytest.raises(ms.AuthError, match="finds no credentials; try `gcloud auth"):
        ms.providers.Vertex("m")  # the project is asked for at once
    with pytest.raises(ms.AuthError, match="finds no credentials; try `gcloud auth"):
        await ms.providers.Vertex("m", project="p", retry=None).generate_text("hi")


async def test_credentials_found_go_to_no_other_address_and_those_given_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from google.oauth2.credentials import Credentials

    file, _ = account(tmp_path, "http://127.0.0.1:9/never")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    refuse = whole("401 Unauthorized", b'{"error": {"code": 401, "message": "who?", "status": "UNAUTHENTICATED"}}')
    with Scripted(refuse, GOOD) as server:
        with pytest.raises(ms.AuthError, match=r"vertex: no key: pass credentials or api_key; Google's own are not"):
            await ms.providers.Vertex("m", project="p", base_url=server.url).generate_text("hi")
        given = Credentials(KEY, quota_project_id="pays")
        await ms.providers.Vertex("m", project="p", credentials=given, base_url=server.url).generate_text("hi")
    assert "authorization" not in told(server.asked[0])[1]
    headers = told(server.asked[1])[1]
    assert (headers["authorization"], headers["x-goog-user-project"]) == (f"Bearer {KEY}", "pays")


async def test_a_key_of_the_express_mode_takes_the_place_of_a_project() -> None:
    with Scripted(GOOD) as server:
        await ms.providers.Vertex("gemini-3.5-flash", api_key=KEY, base_url=server.url).generate_text("hi")
    path, headers = told(server.asked[0])
    assert path == "/v1/publishers/google/models/gemini-3.5-flash:streamGenerateContent?alt=sse"
    assert headers["x-goog-api-key"] == KEY
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("m", f"{HOME}/publishers/google/models/m"),
        ("meta/llama-4", f"{HOME}/publishers/meta/models/llama-4"),
        ("publishers/mistralai/models/x", f"{HOME}/publishers/mistralai/models/x"),
        ("endpoints/123", f"{HOME}/endpoints/123"),
        ("projects/q/locations/us/endpoints/7", "projects/q/locations/us/endpoints/7"),
        ("a?b#c", f"{HOME}/publishers/google/models/a%3Fb%23c"),
    ],
)
async def test_models_of_others_and_tuned_ones_have_paths_of_their_own(model: str, path: str) -> None:
    with Scripted(GOOD) as server:
        options: dict[str, Any] = {"project": "p", "location": "europe-west1", "api_key": lambda: KEY}
        await ms.providers.Vertex(model, base_url=server.url, **options).generate_text("hi")
    assert told(server.asked[0])[0] == f"/v1/{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("", "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(location: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (ms.providers.Vertex, ms.providers.VertexAnthropic):
        assert cls("m", project="p", location=location, api_key=lambda: KEY).base_url == f"https://{host}"
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-the-environment")
    found = ms.providers.Vertex("m", api_key=lambda: KEY)
    assert (found.base_url, found.project) == (f"https://{host}", "of-the-environment")


def test_without_a_project_it_says_what_to_give() -> None:
    with pytest.raises(ms.UsageError, match="vertex: give project, or set GOOGLE_CLOUD_PROJECT"):
        ms.providers.Vertex("m", api_key=lambda: KEY)


async def test_anthropics_models_are_named_by_the_path_and_the_version_by_the_body() -> None:
    def answer(connection: Connection) -> None:
        connection.send(head() + chunk(CLAUDE) + b"0\r\n\r\n")

    with Scripted(answer) as server:
        model = ms.provider(
            "vertex-anthropic:claude-sonnet-5", project="p", location="eu", api_key=lambda: KEY, base_url=server.url
        )
        assert (await model.generate_text("hi", max_tokens=7)).text == "Hello"
    path, headers = told(server.asked[0])
    assert path == "/v1/projects/p/locations/eu/publishers/anthropic/models/claude-sonnet-5:streamRawPredict"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert orjson.loads(server.asked[0][1]) == {
        "anthropic_version": "vertex-2023-10-16",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 7,
        "stream": True,
    }


def test_without_google_auth_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "google.auth.transport.requests", None)
    with pytest.raises(ms.errors.MissingExtra, match=r"pip install 'millstream\[vertex\]', or pass api_key"):
        ms.providers.Vertex("m", project="p")
    ms.providers.Vertex("m", project="p", api_key=lambda: KEY)


async def test_calls_that_begin_together_ask_for_one_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = whole("200 OK", orjson.dumps({"access_token": KEY, "expires_in": 3600, "token_type": "Bearer"}))
    with Scripted(token) as tokens, Scripted(GOOD) as server:
        file, _ = account(tmp_path, tokens.url + "/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        async with httpx2.AsyncClient(transport=Here(server.url)) as client:
            model = ms.provider("vertex:gemini-3.5-flash", location="europe-west1", client=client)
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(model.generate_text, "hi")
    assert len(tokens.asked) == 1
    assert [told(asked)[1]["authorization"] for asked in server.asked] == [f"Bearer {KEY}"] * 8
