"""Progress: characters, words, speed and tokens of an answer while it grows."""

import os

import anyio

import millstream as ms

PROMPT = "Analyse the architecture of distributed systems: scalability, reliability, performance."


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    progress = ms.streams.TextProgress(lambda report: print(f"\n[{report}]"), every=1.0)
    async with model.stream_text(PROMPT, max_tokens=2000).tap(progress.add) as events:
        async for event in events:
            if isinstance(event, ms.TextDelta):
                print(event.text, end="", flush=True)


anyio.run(main)
