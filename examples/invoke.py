"""Invoke: write how something streams, and how it answers at once comes with it: the last item of its stream."""

import os
from collections.abc import AsyncIterator
from typing import Any

import anyio

import millstream as ms


class Summarizer(ms.streams.Runnable[str, str]):
    """Streams a summary as it grows."""

    def __init__(self, model: ms.Provider) -> None:
        self.model = model

    async def stream(self, input: str, /, **options: Any) -> AsyncIterator[str]:
        summary = ""
        async with self.model.stream_text(f"Summarize: {input}", **options) as events:
            async for event in events:
                if isinstance(event, ms.TextDelta):
                    summary += event.text
                    yield summary


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    summarizer = Summarizer(model)
    async with ms.Stream(summarizer.stream("the news")) as summaries:
        async for summary in summaries.take(5):
            print(repr(summary))
    print(await summarizer.invoke("the news", max_tokens=200))


anyio.run(main)
