"""What can go wrong with a provider: each gives a typed error that says what to do, and none shows the key."""

from __future__ import annotations

import logging
import socket
import traceback
from email.utils import formatdate
from typing import Any

import orjson
import pytest

import millstream as ms
from providers.live import KEY, Scripted, chunk, head, whole

pytestmark = pytest.mark.anyio

AT_ONCE = ms.RetryPolicy(rate_limit=lambda n: 0.0, timeout=lambda n: 0.0, connection=lambda n: 0.0, max_delay=0.0)


def event(data: object) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


def delta(text: str, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
GOOD = head() + b"".join(chunk(event(one)) for one in (delta("Hel"), delta("lo"), END, b"[DONE]")) + b"0\r\n\r\n"


def openai(url: str, **options: Any) -> ms.Provider:
    return ms.provider("openai:m", **{"base_url": url, "api_key": KEY, "retry": None, **options})


async def refusal(answer: Any, **options: Any) -> ms.StreamError:
    with Scripted(answer) as server, pytest.raises(ms.StreamError) as caught:
        await openai(server.url, **options).generate_text("hi")
    assert KEY not in everything(caught.value)
    return caught.value


def everything(error: BaseException) -> str:
    """All that a log or an error tracker would see of it: text, attributes, locals of all frames but the test's own."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    own = [frame for frame in shown.stack if "/tests/" not in frame.filename]
    assert own
    shown.stack[:] = own
    return "".join(shown.format()) + repr(error) + repr(vars(error)) + repr(error.__cause__)


# --- before anything is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("openai-responses", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("cohere", "CO_API_KEY"),
        ("mistral", "MISTRAL_API_KEY"),
        ("deepseek", "DEEPSEEK_API_KEY"),
    ],
)
def test_no_key_says_which_variable_to_set(name: str, variable: str) -> None:
    with pytest.raises(ms.AuthError, match=f"no key: pass api_key or set {variable}"):
        ms.provider(f"{name}:m")


def test_an_unknown_provider_names_those_that_there_are() -> None:
    with pytest.raises(ms.errors.UnknownProvider, match=r"no provider 'opnai'.*anthropic, .*openai, .*base_url"):
        ms.provider("opnai:gpt")


@pytest.mark.parametrize("name", ["openai", "anthropic", "groq"])
def test_no_model_says_how_to_name_one(name: str) -> None:
    with pytest.raises(ms.UsageError, match=f"name a model, as in provider\\('{name}:MODEL'\\)"):
        ms.provider(name, api_key=KEY)


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "https://host/v1?key=1", "https://u:p@host/v1"])
def test_an_address_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ms.UsageError, match="base_url must") as caught:
        ms.provider("openai:m", base_url=url, api_key=KEY)
    assert "u:p" not in str(caught.value)


def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="no such setting: max_token; known are: system, max_tokens"):
        ms.provider("openai:m", api_key=KEY, max_token=5)
    with pytest.raises(TypeError, match="no such setting: top_k"):
        ms.provider("openai:m", api_key=KEY).stream_text("hi", top_k=5)  # type: ignore[call-arg]


def test_what_the_wire_cannot_say_is_refused_at_the_call() -> None:
    with pytest.raises(ms.errors.Inexpressible, match="seed"):
        ms.provider("anthropic:m", api_key=KEY).stream_text("hi", seed=1)


@pytest.mark.parametrize("key", ["a key\nwith a line break", "schlüssel-schlüssel"])
async def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ms.AuthError, match="the key from the argument api_key has characters") as caught:
        await ms.provider("openai:m", api_key=key).generate_text("hi")
    assert key not in everything(caught.value)


@pytest.mark.parametrize(
    ("key", "said"), [("", "is empty"), (" \n", "is empty"), ("k\u00e9", "has characters that no header")]
)
async def test_what_a_function_gives_for_a_key_is_looked_at_too(key: str, said: str) -> None:
    with Scripted(GOOD) as server:
        with pytest.raises(ms.AuthError, match=f"openai: the key from the argument api_key {said}"):
            await openai(server.url, api_key=lambda: key).generate_text("hi")
        assert server.asked == []


async def test_a_key_of_eight_characters_is_hidden_and_a_shorter_one_is_a_word() -> None:
    """Whoever hides words of seven letters hides what went wrong."""
    for key, shown in (("tokens12", "[key]"), ("tokens1", "tokens1")):
        answer = whole("400 Bad Request", orjson.dumps({"error": {"message": f"no {key} left"}}))
        with Scripted(answer) as server, pytest.raises(ms.InvalidRequest) as caught:
            await openai(server.url, api_key=key).generate_text("hi")
        assert f"no {shown} left" in str(caught.value)
        assert f"no {shown} left".encode() in caught.value.body


# --- refused ---------------------------------------------------------------------------------------------------------


async def test_a_wrong_key_says_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    body = orjson.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}})
    error = await refusal(whole("401 Unauthorized", body, more="x-request-id: req_1\r\n"))
    assert isinstance(error, ms.AuthError)
    assert (error.status, error.code, error.request_id, error.retryable) == (401, "invalid_api_key", "req_1", False)
    assert "Incorrect API key provided: [key]" in str(error)
    assert "the key from the argument api_key" in str(error)
    assert b"[key]" in error.body

    monkeypatch.setenv("VLLM_API_KEY", KEY)
    with Scripted(whole("401 Unauthorized", body)) as server:
        monkeypatch.setattr("millstream.providers.compatible.SERVICES", {"vllm": _vllm_at(server.url)})
        with pytest.raises(ms.AuthError, match="from the environment variable VLLM_API_KEY"):
            await ms.providers.OpenAICompatible(service="vllm").generate_text("hi")


def _vllm_at(url: str) -> Any:
    from millstream.providers.compatible import Service

    return Service(url, "VLLM_API_KEY", local=True)


async def test_a_server_that_wants_a_key_and_got_none_says_so() -> None:
    error = await refusal(whole("401 Unauthorized", b'{"detail": "Unauthorized"}'), api_key=None)
    assert isinstance(error, ms.AuthError)
    assert "no key: pass api_key or set OPENAI_API_KEY (not used for http://127.0.0.1" in str(error)


async def test_a_refusal_of_other_credentials_says_which_they_were() -> None:
    from botocore.session import Session

    session = Session()
    session.set_credentials("AKIDEXAMPLE", KEY)
    refused = whole("403 Forbidden", b'{"message":"The security token is invalid"}')
    with Scripted(refused) as server, pytest.raises(ms.AuthError, match="signed for eu-west-1 with the credentials"):
        await ms.providers.Bedrock("m", region="eu-west-1", session=session, base_url=server.url).generate_text("hi")
    error = await refusal(refused, api_key=None, headers={"authorization": "Basic abc"})
    assert "it was sent the headers that were given" in str(error)


async def test_an_unknown_model_names_it() -> None:
    body = orjson.dumps({"error": {"message": "The model does not exist", "code": "model_not_found"}})
    error = await refusal(whole("404 Not Found", body))
    assert isinstance(error, ms.InvalidRequest)
    assert "have a model named 'm'?" in str(error)


async def test_a_schema_that_the_provider_refuses_is_an_invalid_request() -> None:
    said = "Invalid schema for response_format 'response'"
    body = orjson.dumps({"error": {"message": said, "type": "invalid_request_error"}})
    with Scripted(whole("400 Bad Request", body)) as server, pytest.raises(ms.InvalidRequest, match=said):
        await openai(server.url).generate_object("hi", dict)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("retry-after: 7\r\n", 7.0),
        ("retry-after: 0.5\r\n", 0.5),
        ("retry-after-ms: 1500\r\n", 1.5),
        (f"retry-after: {formatdate(0, usegmt=True)}\r\n", 0.0),
        ("retry-after: 1000000000\r\n", 1e9),
        ("retry-after: soon\r\n", None),
        ("retry-after: -3\r\n", None),
        ("", None),
        ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n", 360.0),
    ],
)
async def test_a_rate_limit_tells_how_long_to_wait(headers: str, seconds: float | None) -> None:
    body = b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'
    error = await refusal(whole("429 Too Many Requests", body, more=headers))
    assert isinstance(error, ms.RateLimited)
    assert (error.retry_after, error.retryable, error.provider) == (seconds, True, "openai")


async def test_no_quota_left_is_no_reason_to_try_again() -> None:
    body = b'{"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}}'
    with Scripted(whole("429 Too Many Requests", body), GOOD) as server:
        with pytest.raises(ms.RateLimited):
            await openai(server.url, retry=AT_ONCE).generate_text("hi")
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        ("500 Oops", ms.ProviderError),
        ("502 Bad", ms.ProviderError),
        ("503 No", ms.Overloaded),
        ("529 X", ms.Overloaded),
    ],
)
async def test_a_server_that_fails_is_tried_again(status: str, cls: type[ms.ProviderError]) -> None:
    error = await refusal(whole(status, b"<html>nginx</html>", "text/html"))
    assert type(error) is cls
    assert error.retryable
    with Scripted(whole(status, b"<html>nginx</html>", "text/html"), GOOD) as server:
        assert (await openai(server.url, retry=AT_ONCE).generate_text("hi")).text == "Hello"
        assert len(server.asked) == 2
        assert server.asked[0] == server.asked[1]


async def test_attempts_that_all_fail_end_with_the_last_failure() -> None:
    with Scripted(whole("503 No", b"{}")) as server:
        with pytest.raises(ms.RetriesExhausted) as caught:
            await openai(server.url, retry=AT_ONCE).generate_text("hi")
        assert isinstance(caught.value.last, ms.Overloaded)
        assert len(server.asked) == caught.value.attempts == AT_ONCE.max_attempts


async def test_a_redirect_is_not_followed() -> None:
    with Scripted(GOOD) as other:
        error = await refusal(whole("307 Temporary Redirect", b"", more=f"location: {other.url}/\r\n"))
        assert other.asked == []
    assert isinstance(error, ms.ProviderError)
    assert "redirects are not followed" in str(error)


async def test_a_login_page_is_no_stream() -> None:
    error = await refusal(whole("200 OK", b"<html>please log in</html>", "text/html"))
    assert isinstance(error, ms.errors.UnexpectedContentType)


# --- the connection --------------------------------------------------------------------------------------------------


async def test_a_refused_connection_asks_for_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = "http://{}:{}".format(*sock.getsockname())
    with pytest.raises(ms.ConnectionFailed, match=f"is {url} the right address, and is the server running") as caught:
        await openai(url).generate_text("hi")
    assert KEY not in everything(caught.value)


async def test_a_connection_that_breaks_off_keeps_what_had_come() -> None:
    broken = head() + chunk(event(delta("Hel")))
    error = await refusal(lambda connection: (connection.send(broken), connection.hang_up()))
    assert isinstance(error, ms.ConnectionFailed)
    assert error.partial.text == "Hel"
    assert error.partial.messages[0].text == "Hel"


async def test_a_body_without_its_end_is_no_answer() -> None:
    error = await refusal(head() + chunk(event(delta("Hel"))) + b"0\r\n\r\n")
    assert isinstance(error, ms.IncompleteStream)
    assert error.partial.text == "Hel"


async def test_a_server_that_never_answers_is_given_up() -> None:
    error = await refusal(lambda connection: connection.hold(), timeouts=ms.Timeouts(first=0.05))
    assert isinstance(error, ms.StreamTimeout)
    assert error.kind == "first"


# --- inside the stream -----------------------------------------------------------------------------------------------

OVERLOADED = chunk(event({"error": {"message": "busy", "type": "overloaded_error", "code": "overloaded_error"}}))


async def test_overload_before_the_first_token_is_tried_again() -> None:
    with Scripted(head() + OVERLOADED + b"0\r\n\r\n", GOOD) as server:
        assert (await openai(server.url, retry=AT_ONCE).generate_text("hi")).text == "Hello"
        assert len(server.asked) == 2


async def test_overload_after_the_first_token_is_not_tried_again_and_keeps_what_had_come() -> None:
    with Scripted(head() + chunk(event(delta("Hel"))) + OVERLOADED + b"0\r\n\r\n", GOOD) as server:
        with pytest.raises(ms.Overloaded) as caught:
            await openai(server.url, retry=AT_ONCE).generate_text("hi")
        assert len(server.asked) == 1
    assert caught.value.partial.text == "Hel"


async def test_an_error_inside_the_stream_is_an_event_at_its_place_and_then_an_exception() -> None:
    with Scripted(head() + chunk(event(delta("Hel"))) + OVERLOADED + b"0\r\n\r\n") as server:
        seen = []
        with pytest.raises(ms.Overloaded):
            async with openai(server.url).stream_text("hi") as events:
                seen = [event async for event in events.tap(lambda event: seen.append(event))]
        assert [type(event).__name__ for event in seen] == ["Start", "TextDelta", "Error", "Finish"]


async def test_a_key_that_the_stream_quotes_is_hidden() -> None:
    error = await refusal(head() + chunk(event({"error": {"message": f"key {KEY} expired"}})) + b"0\r\n\r\n")
    assert "key [key] expired" in str(error)


async def test_an_error_that_is_told_twice_is_explained_once() -> None:
    body = chunk(event({"error": {"message": "expired", "type": "authentication_error"}}))
    error = await refusal(head() + body + b"0\r\n\r\n")
    assert isinstance(error, ms.AuthError)
    assert str(error).count("it was sent the key from the argument api_key") == 1


async def test_no_log_line_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Scripted(whole("503 No", KEY.encode()), GOOD) as server:
        await openai(server.url, retry=AT_ONCE).generate_text("hi")
    assert caplog.records
    assert KEY not in caplog.text
