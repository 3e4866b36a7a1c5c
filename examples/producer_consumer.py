"""Producer and consumers: linked stages, each in a task of its own, with a bounded buffer before each."""

import os
from typing import NamedTuple

import anyio

import millstream as ms


class Processed(NamedTuple):
    text: str
    words: int


class Analyzed(NamedTuple):
    text: str
    words: int
    is_long: bool


def process(delta: ms.TextDelta) -> Processed:
    return Processed(delta.text.strip(), len(delta.text.split()))


async def analyze(piece: Processed) -> Analyzed:
    await anyio.sleep(0.001)  # a slow stage slows down the ones before it, the model included; nothing is lost
    return Analyzed(*piece, is_long=len(piece.text) > 80)


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    texts = model.stream_text("Analyse the current conditions of the market.").filter(ms.filters.kinds(ms.TextDelta))
    long = total = 0

    def show(result: Analyzed) -> None:
        nonlocal long, total
        long += result.is_long
        total += result.words
        print(f"{total:4} words  {result.text[:60]!r}")

    lines = texts.smooth("line", delay=0)
    await ms.streams.pipeline(
        lines,
        ms.streams.stage(process, buffer=50),
        ms.streams.stage(analyze, buffer=20),
        ms.streams.sink(show, buffer=10),
    )
    print(f"{total} words, {long} long lines")


anyio.run(main)
