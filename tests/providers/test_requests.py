"""What a call asks reaches the server: read there, from the body of the HTTP request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

import orjson
import pytest

import millstream as ms
from millstream.providers import Prompt, RunSettings, Settings
from providers.live import KEY, Scripted
from providers.test_errors import GOOD

pytestmark = pytest.mark.anyio

ADD = ms.ToolSpec("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})


async def body_of(prompt: Prompt = "hi", options: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    with Scripted(GOOD) as server:
        model = ms.provider("vllm:m", base_url=server.url, **(options or {}))
        await model.generate_text(prompt, **settings)
        found: dict[str, Any] = orjson.loads(server.asked[0][1])
        return found


async def test_r0057_r0063_r0064_the_conversation_reaches_the_server_in_order() -> None:
    said = [
        ms.Message("system", "Be brief."),
        ms.Message("user", ["one", "two"]),
        ms.Message("assistant", "three"),
        ms.Message("user", "four"),
    ]
    body = await body_of(said)
    two = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert [(one["role"], one["content"]) for one in body["messages"]] == [
        ("system", "Be brief."),
        ("user", two),
        ("assistant", "three"),
        ("user", "four"),
    ]


async def test_r0058_r0059_settings_reach_the_server() -> None:
    body = await body_of(max_tokens=1000, temperature=0.7, top_p=0.5, stop="END", seed=3, extra={"top_k": 5})
    wanted = {"max_tokens": 1000, "temperature": 0.7, "top_p": 0.5, "stop": ["END"], "seed": 3, "top_k": 5}
    assert body | wanted == body


async def test_r0060_tools_reach_the_server_with_their_schemas() -> None:
    body = await body_of(tools=[ADD])
    function = {"name": "add", "description": "Add.", "parameters": ADD.parameters}
    assert body["tools"] == [{"type": "function", "function": function}]


async def test_r0105_the_model_chooses_by_default() -> None:
    """All wires take no `tool_choice` for "auto"; said aloud, it is sent as that."""
    assert "tool_choice" not in await body_of(tools=[ADD])
    assert (await body_of(tools=[ADD], tool_choice="auto"))["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
async def test_r0061_each_tool_choice_reaches_the_server(choice: str, wanted: object) -> None:
    assert (await body_of(tools=[ADD], tool_choice=choice))["tool_choice"] == wanted


async def test_r0065_a_string_is_what_the_user_says() -> None:
    assert await body_of("hi") == await body_of(ms.Message("user", [ms.TextPart("hi")]))


async def test_a_system_setting_goes_in_front() -> None:
    body = await body_of("hi", system="Be brief.")
    assert [one["role"] for one in body["messages"]] == ["system", "user"]


async def test_what_a_call_sets_counts_more_than_the_request_and_that_more_than_the_defaults() -> None:
    options = {"max_tokens": 1, "temperature": 0.1, "seed": 1, "extra": {"a": 1, "b": 1}}
    request = ms.Request(messages="hi", temperature=0.2, seed=2, extra={"b": 2, "c": 2}, model="other")
    body = await body_of(request, options, seed=3, extra={"c": 3})
    wanted = {"max_tokens": 1, "temperature": 0.2, "seed": 3, "a": 1, "b": 2, "c": 3, "model": "other"}
    assert body | wanted == body
    assert "temperature" not in await body_of("hi", options, temperature=None)


async def test_headers_of_the_caller_come_on_top() -> None:
    with Scripted(GOOD) as server:
        model = ms.providers.Anthropic(
            "m", base_url=server.url, api_key=KEY, headers={"Anthropic-Beta": "x"}, retry=None
        )
        async with model.stream_text("hi"):
            pass
        assert "anthropic-beta: x" in server.asked[0][0]
        assert "anthropic-version: 2026-10-21" in server.asked[0][0]
        assert f"x-api-key: {KEY}" in server.asked[0][0]
        async with model.stream_text("hi", temperature=0.5):
            pass
        assert "anthropic-version: 2023-06-01" in server.asked[1][0]


class Parrot:
    """A provider of somebody else: no HTTP, nothing of ours but the types."""

    def __init__(self, model: str, *, words: str = "") -> None:
        self.words = words or model

    def stream_text(
        self, prompt: Prompt, *, tools: Iterable[Any] = (), stop_when: Any = None, **settings: Unpack[RunSettings]
    ) -> ms.Stream[ms.Event]:
        async def events() -> Any:
            yield ms.Start("parrot")
            yield ms.TextDelta(self.words)
            yield ms.Finish(ms.FinishReason.STOP)

        return ms.Stream(events())

    async def generate_text(
        self, prompt: Prompt, *, tools: Iterable[Any] = (), stop_when: Any = None, **settings: Unpack[RunSettings]
    ) -> ms.providers.TextResult:
        raise NotImplementedError

    def stream_object(self, prompt: Prompt, type: Any, **settings: Unpack[Settings]) -> ms.ObjectStream[Any]:
        return ms.ObjectStream(self.stream_text(prompt), type)

    async def generate_object(
        self, prompt: Prompt, type: Any, **settings: Unpack[Settings]
    ) -> ms.providers.ObjectResult[Any]:
        raise NotImplementedError


class OneCall(ms.providers.BaseProvider):
    """A provider of somebody else that can make one model call, and nothing more."""

    name = "scripted"

    def __init__(self, *answers: list[ms.Event]) -> None:
        super().__init__("m")
        self.answers = list(answers)
        self.seen: list[ms.Request] = []

    def open(self, request: ms.Request) -> ms.Stream[ms.Event]:
        self.seen.append(request)

        async def events() -> Any:
            for one in self.answers.pop(0):
                yield one

        return ms.Stream(events())


STOP = ms.Finish(ms.FinishReason.STOP)


async def test_who_can_make_one_model_call_gets_the_four_methods_and_runs() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    call = ms.ToolCall("c", "add", b'{"a":1,"b":2}', {"a": 1, "b": 2})
    model = OneCall(
        [ms.Start(), call, ms.Finish(ms.FinishReason.TOOL_CALLS)],
        [ms.Start(), ms.TextDelta("three"), STOP],
        [ms.Start(), ms.TextDelta('{"a":1}'), STOP],
    )
    result = await model.generate_text("add", tools=[add], system="Be brief.")
    assert (result.text, [one.result for one in result.tool_results]) == ("three", [3])
    assert [message.role for message in model.seen[1].messages] == ["system", "user", "assistant", "tool"]
    assert (await model.generate_object("x", dict, mode="schema")).object == {"a": 1}


async def test_r0066_a_class_of_somebody_else_is_a_provider() -> None:
    parrot: ms.Provider = Parrot("squawk")
    assert isinstance(parrot, ms.Provider)
    conversation = ms.Conversation(parrot)
    assert (await conversation.ask("hi")).text == "squawk"
    assert [message.role for message in conversation.messages] == ["user", "assistant"]


def test_an_entry_point_adds_a_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    info = tmp_path / "parrot-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[millstream.providers]\nparrot = {__name__}:Parrot\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = ms.provider("parrot:hello:there", words="hi")
    assert type(made).__name__ == "Parrot"
    assert "parrot" in ms.providers.provider_names()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retry": 3}, "retry must be a millstream.RetryPolicy or None"),
        ({"timeouts": 30}, "timeouts must be a millstream.Timeouts or None"),
        ({"limits": {"max_event_bytes": 5}}, "limits must be a millstream.Limits"),
    ],
)
def test_options_of_another_type_are_refused_when_the_provider_is_made(options: dict, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        ms.provider("openai:m", api_key="k", **options)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"prompt": 3}, ms.errors.InvalidMessage, "messages is a int"),
        ({"prompt": None}, ms.errors.InvalidMessage, "messages is a NoneType"),
        ({"tools": "weather"}, TypeError, "tools must be several"),
        ({"tools": ms.ToolSpec("f", "", {})}, TypeError, "give it in a list"),
        ({"stop_when": 5}, TypeError, r"such as max_steps\(5\), not 5"),
    ],
)
def test_arguments_of_another_type_are_refused_at_the_call(options: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        ms.provider("openai:m", api_key="k").stream_text(**{"prompt": "hi", **options})
