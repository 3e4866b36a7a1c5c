"""Produce: an async generator is a stream; here one that puts events of your own between those of a model."""

import os
from collections.abc import AsyncIterator
from typing import NamedTuple

import anyio

import millstream as ms


class Progress(NamedTuple):
    words: int
    of: int


async def with_progress(events: ms.Stream[ms.Event], of: int) -> AsyncIterator[ms.Event]:
    words = 0
    async with events:  # leaving the generator closes it too
        async for event in events:
            yield event
            if isinstance(event, ms.TextDelta) and event.text.startswith(" "):
                words += 1
                if words % 20 == 0:
                    yield ms.Data(Progress(words, of), name="progress")


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    story = model.stream_text("Write a story of 100 words.")
    async with ms.Stream(with_progress(story, of=100)) as events:
        async for event in events:
            match event:
                case ms.Data(name="progress", payload=Progress(words=words, of=of)):
                    print(f"{words} of {of} words")
                case ms.Finish(reason=reason):
                    print(f"[{reason}]")


anyio.run(main)
