"""Basic text: show an answer while it is being written."""

import os

import anyio

import millstream as ms

PROMPT = "Write a short story about a robot learning to paint."


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    story = []
    async with model.stream_text(PROMPT, max_tokens=1000, temperature=0.7) as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    print(text, end="", flush=True)
                    story.append(text)
                case ms.Finish(reason=reason):
                    print(f"\n\n[{reason}: {len(''.join(story))} characters]")


anyio.run(main)
