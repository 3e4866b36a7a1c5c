"""`Conversation`: what is sent at each turn, and what becomes of turns that go wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anyio import to_thread

import millstream as ms
from millstream.messages import ToolCallPart
from millstream.streams._pull import Puller
from providers.live import KEY, Connection, Scripted, chunk, head, whole
from providers.test_errors import END, GOOD, delta, event

pytestmark = pytest.mark.anyio

FAILS = whole("503 No", b"{}")


class Batch(Puller[ms.Event]):
    """Gives all at once."""

    def __init__(self, events: list[ms.Event]) -> None:
        self._events = [events, []]

    async def open(self, tasks: Any) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def pull(self) -> list[ms.Event]:
        return self._events.pop(0)


def answer(text: str) -> bytes:
    return head() + b"".join(chunk(event(one)) for one in (delta(text), END, b"[DONE]")) + b"0\r\n\r\n"


def talk(url: str, **options: Any) -> ms.Conversation:
    model = ms.provider("openai:m", base_url=url, api_key=KEY, retry=None)
    return ms.Conversation(model, **{"system": "Be brief.", **options})


def sent(server: Scripted, turn: int) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in orjson.loads(server.asked[turn][1])["messages"]]


def roles(conversation: ms.Conversation) -> list[str]:
    return [message.role for message in conversation.messages]


async def test_r0072_r0075_r0079_each_turn_sends_the_whole_history_system_first() -> None:
    with Scripted(answer("One."), answer("Two.")) as server:
        conversation = talk(server.url)
        assert conversation.messages == [ms.Message("system", "Be brief.")]
        async with conversation.say("first") as events:
            assert conversation.messages[-1] == ms.Message("user", "first")
            assert await events.text() == "One."
        await conversation.ask("second")
        assert sent(server, 0) == [("system", "Be brief."), ("user", "first")]
        assert sent(server, 1) == [*sent(server, 0), ("assistant", "One."), ("user", "second")]
    assert roles(conversation) == ["system", "user", "assistant", "user", "assistant"]


async def test_r0073_what_the_user_says_is_stripped_and_nothing_is_refused() -> None:
    with Scripted(GOOD) as server:
        conversation = talk(server.url)
        await conversation.ask("  hi \n")
        assert conversation.messages[1] == ms.Message("user", "hi")
        with pytest.raises(ms.errors.InvalidMessage, match="nothing was said"):
            conversation.say(" \n")
        assert len(server.asked) == 1


def test_r0073_r0074_user_inputs_are_stripped_without_empty_ones_and_end_at_exit() -> None:
    lines = iter(["  hi \n", "\n", "exit now\n", " exit\n", "never read\n"])
    assert list(ms.providers.user_inputs(lines)) == ["hi", "exit now"]
    assert next(lines) == "never read\n"
    assert list(ms.providers.user_inputs(["hi\n", "\n", "bye\n"])) == ["hi", "bye"]


async def test_r0076_one_stream_for_each_turn_and_never_two_at_once() -> None:
    with Scripted(GOOD) as server:
        conversation = talk(server.url)
        for turn in range(3):
            async with conversation.say(f"turn {turn}") as events:
                with pytest.raises(ms.errors.StreamBusy, match="turn before"):
                    conversation.say("meanwhile")
                await events.text()
        assert len(server.asked) == 3

        early, late = conversation.say("one"), conversation.say("two")
        async with early as events:
            with pytest.raises(ms.errors.StreamBusy):
                await late.text()
            assert await events.text() == "Hello"


async def test_r0076_each_turn_closes_its_stream_before_the_next_one_begins() -> None:
    def endless(connection: Connection) -> None:
        connection.send(head() + chunk(event(delta("and so on"))))
        connection.hold()

    with Scripted(endless) as server:
        conversation = talk(server.url)
        for turn in range(3):
            async with conversation.say("go on") as events:
                async for one in events:
                    if isinstance(one, ms.TextDelta):
                        break
            assert len(server.connections) == turn + 1
            assert await to_thread.run_sync(server.connections[turn].left.wait, 1.0)


async def test_r0077_a_turn_that_cannot_be_opened_is_taken_back_and_the_next_one_works() -> None:
    with Scripted(FAILS, GOOD) as server:
        conversation = talk(server.url)
        with pytest.raises(ms.Overloaded):
            await conversation.ask("hi")
        assert roles(conversation) == ["system"]
        assert (await conversation.ask("hi")).text == "Hello"
        assert sent(server, 1) == [("system", "Be brief."), ("user", "hi")]


@pytest.mark.parametrize("keep_partial", [False, True])
async def test_r0078_an_answer_joins_the_history_whole_or_marked_as_wished(keep_partial: bool) -> None:
    with Scripted(GOOD) as server:
        conversation = talk(server.url, keep_partial=keep_partial)
        async with conversation.say("hi") as events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    break
            assert roles(conversation) == ["system", "user"]
        said = [message.text for message in conversation.messages[1:]]
    assert said in ([["hi", "Hel"], ["hi", "Hello"]] if keep_partial else [[]])  # as much as had come


@pytest.mark.parametrize("n", [1, 2, 3])
async def test_r0078_leaving_before_the_finish_is_leaving_even_if_it_has_come_already(n: int) -> None:
    """However the network cut it: here the whole answer comes in one piece."""
    events_of = [ms.Start(), ms.TextDelta("Hel"), ms.TextDelta("lo"), ms.Finish(ms.FinishReason.STOP)]

    class AtOnce(ms.providers.BaseProvider):
        name = "at-once"

        def open(self, request: ms.Request) -> ms.Stream[ms.Event]:
            return ms.Stream(Batch(events_of))

    conversation = ms.Conversation(AtOnce("m"))
    async with conversation.say("hi") as events:
        for _ in range(n):
            await anext(events)
    assert conversation.messages == []
    async with conversation.say("hi") as events:
        assert await events.collect() == events_of
    assert roles(conversation) == ["user", "assistant"]


@pytest.mark.parametrize(
    "broken", [GOOD[: GOOD.index(b"stop")], GOOD.replace(b"[DONE]", b"      ").replace(b"stop", b"")]
)
async def test_r0078_a_turn_that_broke_off_is_taken_back(broken: bytes) -> None:
    def answer_and_leave(connection: Any) -> None:
        connection.send(broken)
        connection.hang_up()

    with Scripted(answer_and_leave) as server:
        conversation = talk(server.url)
        with pytest.raises(ms.StreamError) as caught:
            await conversation.ask("hi")
        assert caught.value.partial.text.startswith("Hel")
        assert roles(conversation) == ["system"]


async def test_calls_that_were_left_to_the_caller_stay_in_the_history() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}
    wants = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    body = head() + chunk(event(wants)) + chunk(event(b"[DONE]")) + b"0\r\n\r\n"
    with Scripted(body, GOOD) as server:
        conversation = talk(server.url, tools=[ms.ToolSpec("add")])
        result = await conversation.ask("add")
        assert conversation.messages[-1].parts == (ToolCallPart("c1", "add", '{"a":1}'),)
        assert result.reason is ms.FinishReason.TOOL_CALLS
        await conversation.ask(ms.tool_message([ms.ToolResult("c1", "add", 2)]))
        assert roles(conversation) == ["system", "user", "assistant", "tool", "assistant"]


async def test_settings_hold_for_all_turns_and_give_way_to_those_of_one() -> None:
    with Scripted(GOOD) as server:
        conversation = talk(server.url, max_tokens=9)
        await conversation.ask("hi")
        await conversation.ask("hi", max_tokens=5)
        assert [orjson.loads(body)["max_completion_tokens"] for _, body in server.asked] == [9, 5]


async def test_an_answer_whose_end_never_came_is_an_error_though_its_stream_did_not_raise() -> None:
    class NoEnd(ms.providers.BaseProvider):
        name = "no-end"

        def open(self, request: ms.Request) -> ms.Stream[ms.Event]:
            return ms.Stream(Batch([ms.Start(), ms.TextDelta("Hel"), ms.Finish(ms.FinishReason.INCOMPLETE)]))

    conversation = ms.Conversation(NoEnd("m"))
    with pytest.raises(ms.errors.IncompleteStream, match="before the answer did") as caught:
        await conversation.ask("hi")
    assert caught.value.partial.text == "Hel"
    assert conversation.messages == []
