"""Act 3, tools: the model asks for functions, they run side by side, and it goes on with what they gave."""

from __future__ import annotations

from typing import Literal

import anyio

import millstream as ms
from millstream.cli.demo._stage import Stage

__all__ = ["play"]

DEGREES = {"Paris": 64, "Lyon": 70, "Nice": 81}


async def play(stage: Stage) -> None:
    """Stream a run of three steps; the first call was recorded, the rest is written."""

    async def get_weather(city: str, unit: Literal["c", "f"]) -> str:
        """Tell the weather of a city."""
        await anyio.sleep(stage.pause(0.8 if city == "Lyon" else 0.4))
        return f"{DEGREES[city]} {unit}" if unit == "f" else f"{(DEGREES[city] - 32) / 1.8:.0f} {unit}"

    with stage.act("tools: a run of several steps") as seen:
        tracker = ms.tools.ToolTracker()
        prompt = "What is the weather in Paris? Is it warmer in Lyon or in Nice?"
        run = stage.openai.stream_text(prompt, tools=[get_weather], stop_when=ms.max_steps(5))
        async with run.tap(tracker.see) as events:
            async for event in events:
                seen(event)
                match event:
                    case ms.ToolResult() if tracker.running:
                        stage.view.status(f"still running: {', '.join(tracker.running)}")
                    case ms.Finish(steps=steps, meta=meta):
                        stage.view.status(f"{steps} steps, {tracker.calls} calls, {meta['duration']:.1f} s")
