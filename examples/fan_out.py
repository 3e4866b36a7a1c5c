"""Fan-out: several processors read one answer at the same time, each in a task and with a buffer of its own."""

import os
from collections import Counter

import anyio

import millstream as ms

keywords: Counter[str] = Counter()
scripts: Counter[str] = Counter()
summary: list[str] = []


def extract_keywords(delta: ms.TextDelta) -> None:
    keywords.update(word for word in delta.text.lower().split() if len(word) > 4)


def detect_scripts(delta: ms.TextDelta) -> None:
    scripts.update("latin" if char.isascii() else "other" for char in delta.text if char.isalpha())


async def summarize(delta: ms.TextDelta) -> None:
    if sum(map(len, summary)) < 80:
        summary.append(delta.text)


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    events = model.stream_text("Write a comprehensive report on several topics.")
    # "wait": the slowest governs. By default, who has 20 pieces waiting misses the next ones and delays nobody.
    lost = await ms.fan_out(events, extract_keywords, detect_scripts, summarize, buffer=20, overflow="wait")
    print("keywords:", [word for word, _ in keywords.most_common(3)])
    print("scripts:", dict(scripts))
    print("summary:", "".join(summary))
    print("lost:", lost)  # by each of them


anyio.run(main)
