"""Runs with tools over real HTTP: what each step sends, and what of it stays in the history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson
import pytest

import millstream as ms
from providers.live import KEY, Scripted, chunk, head, whole
from providers.test_errors import GOOD, event

pytestmark = pytest.mark.anyio


def calling(name: str, arguments: str, id: str = "c1") -> bytes:
    call = {"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}
    wants = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    return head() + b"".join(chunk(event(one)) for one in (wants, usage, b"[DONE]")) + b"0\r\n\r\n"


def model(server: Scripted, **options: Any) -> ms.Provider:
    return ms.provider("openai:m", base_url=server.url, api_key=KEY, retry=None, **options)


def bodies(server: Scripted) -> list[dict[str, Any]]:
    return [orjson.loads(body) for _, body in server.asked]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_r0009_r0060_tools_are_run_and_their_results_sent_back() -> None:
    with Scripted(calling("add", '{"a":1,"b":2}'), GOOD) as server:
        result = await model(server).generate_text("what is 1 + 2?", tools=[add])
        first, second = bodies(server)
    assert result.text == "Hello"
    assert [one.result for one in result.tool_results] == [3]
    assert result.finish is not None
    assert result.finish.steps == 2
    assert first["tools"][0]["function"]["name"] == "add"
    assert first["tools"][0]["function"]["parameters"]["required"] == ["a", "b"]
    assert [one["role"] for one in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][-1] == {"role": "tool", "tool_call_id": "c1", "content": "3"}
    assert [message.role for message in result.messages] == ["assistant", "tool", "assistant"]
    assert result.messages[0].origin == "openai-chat"


async def test_r0061_a_forced_choice_counts_for_the_first_step_only() -> None:
    for choice, wanted in [("required", "required"), ("add", {"type": "function", "function": {"name": "add"}})]:
        with Scripted(calling("add", '{"a":1,"b":2}'), GOOD) as server:
            await model(server).generate_text("add", tools=[add], tool_choice=choice)
            first, second = bodies(server)
        assert (first["tool_choice"], second.get("tool_choice")) == (wanted, None)


async def test_r0062_r0116_the_stop_condition_is_not_sent_and_ends_the_run() -> None:
    with Scripted(calling("add", '{"a":1,"b":2}')) as server:
        async with model(server).stream_text("add", tools=[add], stop_when=ms.max_steps(2)) as events:
            last = await events.last()
        assert len(server.asked) == 2
        assert all("stop_when" not in body for body in bodies(server))
    assert isinstance(last, ms.Finish)
    assert last.meta["stopped_by"]


async def test_r0114_the_first_step_gets_system_and_goal() -> None:
    with Scripted(GOOD) as server:
        await model(server).generate_text([ms.Message("system", "s"), ms.Message("user", "goal")], tools=[add])
        said = [(one["role"], one["content"]) for one in bodies(server)[0]["messages"]]
    assert said == [("system", "s"), ("user", "goal")]


async def test_calls_of_described_tools_are_left_to_the_caller() -> None:
    with Scripted(calling("add", "{}")) as server:
        async with model(server).stream_text("add", tools=[ms.ToolSpec("add")]) as events:
            kinds = [type(one).__name__ for one in await events.collect()]
        assert len(server.asked) == 1
    assert kinds == ["Start", "ToolCallDelta", "ToolCall", "Usage", "Finish"]


async def test_r0125_a_step_that_fails_keeps_what_there_was() -> None:
    with (
        Scripted(calling("add", '{"a":1,"b":2}'), whole("503 No", b"{}")) as server,
        pytest.raises(ms.Overloaded) as caught,
    ):
        await model(server).generate_text("add", tools=[add])
    assert [one.result for one in caught.value.partial.tool_results] == [3]
    assert caught.value.step == 2  # type: ignore[attr-defined]


def refuses(city: str) -> str:
    """Never works."""
    raise ValueError(f"no such city: {city}")


async def hangs() -> None:
    """Never ends."""
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("refuses", '{"city":"Atlantis"}', "ValueError: no such city: Atlantis"),
        ("hangs", "{}", "the tool gave no result within 0.05 s and was stopped"),
        ("nobody", "{}", "there is no tool 'nobody'; there are: refuses, hangs, add"),
        ("add", '{"a":1,"b":"two"}', "the arguments do not fit, so the tool was not run: Expected `int`, got `str`"),
        ("add", '{"a":1}', "missing required field `b`"),
        ("add", '{"a":1,', "the arguments are no JSON"),
    ],
)
async def test_whatever_goes_wrong_with_a_tool_the_model_is_told(name: str, arguments: str, said: str) -> None:
    seconds = 0.05 if name == "hangs" else 30.0
    with Scripted(calling(name, arguments), GOOD) as server:
        result = await model(server).generate_text("go", tools=[refuses, hangs, add], tool_timeout=seconds)
        told = bodies(server)[1]["messages"][-1]
    assert result.text == "Hello"
    [error] = [one.error for one in result.tool_results]
    assert said in str(error)
    assert (told["role"], told["tool_call_id"], told["content"]) == ("tool", "c1", f"Error: {error}")


async def test_a_call_that_was_cut_off_is_not_run_and_the_answer_is_kept() -> None:
    ran = []

    def delete(path: str) -> None:
        """Delete a file."""
        ran.append(path)

    call = {"index": 0, "id": "c1", "function": {"name": "delete", "arguments": '{"path":"/tmp/a'}}
    cut = {"choices": [{"index": 0, "delta": {"content": "Deleting", "tool_calls": [call]}, "finish_reason": "length"}]}
    with Scripted(head() + chunk(event(cut)) + chunk(event(b"[DONE]")) + b"0\r\n\r\n", GOOD) as server:
        result = await model(server).generate_text("go", tools=[delete])
    assert (ran, len(result.tool_results)) == ([], 1)
    assert "cut off" in str(result.tool_results[0].error)
    assert result.text.startswith("Deleting")


async def test_a_model_that_never_stops_calling_is_stopped_and_what_it_did_is_kept() -> None:
    with Scripted(calling("add", '{"a":1,"b":2}')) as server:
        with pytest.raises(ms.errors.StepLimit, match=r"stop_when=max_steps\(n\)") as caught:
            await model(server).generate_text("add", tools=[add])
        assert len(server.asked) == caught.value.limit == 100
    assert [one.result for one in caught.value.partial.tool_results] == [3] * 100


async def test_a_run_can_be_handed_over_to_another_provider() -> None:
    def ask_boss() -> ms.Handoff:
        """Ask the boss."""
        return ms.Handoff("boss")

    with Scripted(calling("ask_boss", "{}")) as first, Scripted(GOOD) as second:
        boss = ms.provider("mistral:large", base_url=second.url, api_key="another key")
        result = await model(first).generate_text("hi", tools=[ask_boss], handoffs={"boss": boss})
        assert (len(first.asked), len(second.asked)) == (1, 1)
        assert bodies(second)[0]["model"] == "large"
        assert bodies(second)[0]["tools"][0]["function"]["name"] == "ask_boss"
        assert KEY not in second.asked[0][0]
    assert result.text == "Hello"
    assert [message.origin for message in result.messages if message.role == "assistant"] == ["openai-chat", "mistral"]


async def test_a_conversation_keeps_calls_and_results_and_takes_back_a_run_that_failed() -> None:
    with Scripted(
        calling("add", '{"a":1,"b":2}'), GOOD, calling("add", '{"a":1,"b":2}'), whole("503 No", b"{}")
    ) as server:
        conversation = ms.Conversation(model(server), tools=[add])
        await conversation.ask("add")
        roles = [message.role for message in conversation.messages]
        assert roles == ["user", "assistant", "tool", "assistant"]
        with pytest.raises(ms.Overloaded):
            await conversation.ask("again")
        assert [message.role for message in conversation.messages] == roles


async def test_leaving_a_run_closes_the_upstream() -> None:
    def silent(connection: Any) -> None:
        connection.send(head() + chunk(event({"choices": [{"index": 0, "delta": {"content": "x"}}]})))
        connection.hold()

    with Scripted(silent) as server:
        async with model(server).stream_text("hi", tools=[add]) as events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    break
        assert server.connections[0].left.wait(20)


async def test_a_run_can_be_handed_over_to_an_agent_that_is_no_provider() -> None:
    def ask_boss() -> ms.Handoff:
        """Ask the boss."""
        return ms.Handoff("boss")

    async def boss(messages: list[ms.Message]) -> AsyncIterator[ms.Event]:
        for one in (ms.Start(), ms.TextDelta("I am the boss."), ms.Finish(ms.FinishReason.STOP)):
            yield one

    with Scripted(calling("ask_boss", "{}")) as first:
        agents = {"boss": ms.tools.Agent(open_step=boss)}
        result = await model(first).generate_text("hi", tools=[ask_boss], handoffs=agents)
    assert result.text == "I am the boss."
