"""Collect: a whole stream as a list, as text, or as one result; what had come is kept if it fails."""

import os

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    prompt = "Write a sentence about rivers."
    try:
        events = await model.stream_text(prompt).collect()
        print(len(events), "events, from", events[0].type, "to", events[-1].type)

        text = await model.stream_text(prompt).text()
        print(len(text), "characters")

        result = await model.generate_text(prompt)  # the same stream, collected into an object
        print(f"{result.reason}: {result.text[:40]!r}")
    except ms.StreamError as error:
        print(f"failed: {error}; before that came: {error.partial}")


anyio.run(main)
