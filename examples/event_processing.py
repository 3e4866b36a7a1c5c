"""Event processing: one place that handles every kind of event."""

import os
from typing import Literal

import anyio

import millstream as ms


def get_weather(city: str, unit: Literal["c", "f"]) -> str:
    """Get the weather of a city."""
    return f"sunny, 20 {unit}" if unit == "c" else f"sunny, 68 {unit}"


async def process(events: ms.Stream[ms.Event]) -> None:
    """Show the events to the end. Raises what the stream raises, after its `Error` event was shown."""
    async with events:
        async for event in events:
            match event:
                case ms.Start(model=model):
                    print("started:", model)
                case ms.TextDelta(text=text):
                    print(text, end="", flush=True)
                case ms.ToolCall(name=name, input=json):
                    print("calling", name, json)
                case ms.ToolResult(name=name, result=result, error=error):
                    print(name, "gave", error or result)
                case ms.Usage(total_tokens=total):
                    print("\ntokens:", total)
                case ms.Error(error=error):
                    print("error:", error)
                case ms.Finish(reason=reason, steps=steps):
                    print(f"complete: {reason}, {steps} steps")
                case _:
                    pass  # what a later version adds is no reason to fail


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    await process(model.stream_text("What is the weather in Paris?", tools=[get_weather]))


anyio.run(main)
