"""A real local model, if MILLSTREAM_LOCAL_BASE_URL names its server: `make test-local`, docs/howto/local_model.md.

What a small model says is its own affair; what is asserted is the shape of it, and that a schema is kept.
"""

from __future__ import annotations

import os

import msgspec
import pytest

import millstream as ms

URL = os.environ.get("MILLSTREAM_LOCAL_BASE_URL", "")
SERVICE = os.environ.get("MILLSTREAM_LOCAL_SERVICE", "llamacpp")
MODEL = os.environ.get("MILLSTREAM_LOCAL_MODEL", "")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not URL, reason="MILLSTREAM_LOCAL_BASE_URL is not set"),
]

PATIENT = ms.Timeouts(first=300.0, total=500.0)


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def model() -> ms.Provider:
    options = {"timeouts": PATIENT, "temperature": 0.0, "seed": 1, "max_tokens": 200}
    return ms.provider(f"{SERVICE}:{MODEL}", base_url=URL, **options)


async def test_it_chats_and_remembers() -> None:
    conversation = ms.Conversation(model(), system="Answer in one short sentence.")
    async with conversation.say("My name is Ada. Say hello.") as events:
        kinds = [type(event).__name__ for event in await events.collect()]
    assert kinds[0] == "Start"
    assert kinds[-1] == "Finish"
    assert "TextDelta" in kinds
    again = await conversation.ask("What is my name?")
    assert again.text
    assert again.usage is not None
    assert [message.role for message in conversation.messages] == ["system", "user", "assistant", "user", "assistant"]


async def test_it_calls_a_tool_and_reads_the_result() -> None:
    seen = []

    def add(a: int, b: int) -> int:
        """Add two whole numbers."""
        seen.append((a, b))
        return a + b

    result = await model().generate_text(
        "Use the tool to add 20 and 22.", tools=[add], tool_choice="required", stop_when=ms.max_steps(2)
    )
    if not result.tool_calls:
        pytest.skip(f"this model called no tool; it said {result.text[:60]!r}")
    assert seen
    assert result.tool_results[0].result == sum(seen[0])


class City(msgspec.Struct):
    name: str
    country: str
    inhabitants: int


async def test_it_keeps_a_schema() -> None:
    async with model().stream_object("Describe Paris.", City) as objects:
        partials = [objects.snapshot() async for _ in objects.partials()]
        city = await objects.final()
    assert partials
    assert isinstance(city, City)
