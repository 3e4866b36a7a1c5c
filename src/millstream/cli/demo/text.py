"""Act 1, text: words as they come."""

from __future__ import annotations

from millstream.cli.demo._stage import Stage

__all__ = ["play"]


async def play(stage: Stage) -> None:
    """Stream an answer of an OpenAI-like server."""
    with stage.act("text: a model of OpenAI's kind answers") as seen:
        async with stage.openai.stream_text("Explain what a river is to a child.") as events:
            async for event in events:
                seen(event)
