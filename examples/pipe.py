"""Pipe: one function after another, sync or async, applied to each item as it comes."""

import os

import anyio

import millstream as ms


def words(delta: ms.TextDelta) -> list[str]:
    return delta.text.split()


async def longest(found: list[str]) -> str:
    return max(found, key=len)  # raises ValueError if there are none: such an item is skipped below


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    lines = model.stream_text("Write a poem.").filter(ms.filters.kinds(ms.TextDelta)).smooth("line", delay=0)
    async with lines.pipe(words, longest, str.upper, on_error="skip") as longest_words:  # or "raise", or "emit"
        async for word in longest_words:
            print(word)


anyio.run(main)
