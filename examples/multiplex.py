"""Multiplexing: several answers at the same time as one stream, each event with the key of its own."""

import os

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    cities = ["Oslo", "Rome", "Lima"]
    answers = [model.stream_text(f"Describe {city} in a sentence.") for city in cities]
    texts = dict.fromkeys(cities, "")
    failures: dict[str, ms.StreamError] = {}
    # "isolate": an answer that fails becomes an Error event with its key, and the others go on.
    async with ms.merge(*answers, keys=cities, on_error="isolate") as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text, stream_id=str(city)):
                    texts[city] += text
                case ms.Error(error=error, stream_id=str(city)):
                    failures[city] = error
    for city in cities:
        print(f"{city}: {len(texts[city])} characters", f"({failures[city]})" if city in failures else "")


anyio.run(main)
