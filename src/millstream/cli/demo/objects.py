"""Act 2, objects: a typed value that is there before the model has finished it."""

from __future__ import annotations

import msgspec

import millstream as ms
from millstream.cli.demo._stage import Stage

__all__ = ["play"]


class City(msgspec.Struct):
    """What the model is asked for."""

    city: str
    population: int
    tags: list[str]


async def play(stage: Stage) -> None:
    """Stream a `City`; draw it each time that it has changed."""
    shown = ""
    with stage.act("object: a City grows while it is written") as seen:
        async with stage.openai.stream_object("Describe Paris as JSON.", City) as objects:
            async for event in objects.events():
                seen(event, show=not isinstance(event, ms.TextDelta | ms.ObjectDelta))  # the object says it all
                if isinstance(event, ms.ObjectDelta) and shown != str(objects.current):
                    shown = str(objects.current)
                    stage.view.state(objects.current)
            stage.view.status(f"validated: {await objects.final()}")
