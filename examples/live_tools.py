"""Live tools: functions that the model calls run at the same time, while the answer goes on."""

import os

import anyio

import millstream as ms


async def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    await anyio.sleep(0.2)
    return f"sunny in {city}"


async def query_growth(table: str) -> list[int]:
    """Query how a table of the database has grown, month by month."""
    await anyio.sleep(0.4)
    return [1, 4, 9]


def analyze_trend(values: list[float]) -> str:  # a sync function runs in a worker thread
    """Find the trend in numbers."""
    return "rising" if values[-1] > values[0] else "falling"


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    prompt = "Get the weather for NYC, query the growth of the table users, and analyze the trend of 1, 4, 9."
    tracker = ms.tools.ToolTracker()
    run = model.stream_text(prompt, tools=[get_weather, query_growth, analyze_trend], tool_choice="auto")
    async with run.tap(tracker.see) as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    print(text, end="", flush=True)
                case ms.ToolCall(name=name, arguments=arguments):
                    print("calling", name, arguments)
                case ms.ToolResult(name=name, result=result, error=None):
                    print(name, "gave", ms.tools.truncate(str(result), 100), "- still running:", tracker.running)
                case ms.ToolResult(name=name, error=error):
                    print(name, "failed:", error)
    print("\nCalled, in this order:", ", ".join(tracker.order))


anyio.run(main)
