"""Filters: keep the events that you want; ready predicates and your own combine with &, | and ~."""

import os

import anyio

import millstream as ms


def has_letters(event: ms.Event) -> bool:
    return not isinstance(event, ms.TextDelta) or any(map(str.isalpha, event.text))


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))

    words = ms.filters.text_only & ms.filters.no_errors & has_letters
    async with model.stream_text("Write a haiku, with a number in it.").filter(words) as events:
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    print(text, end="|", flush=True)
                case ms.Finish(reason=reason):
                    print(f"\n[{reason}]")

    facts = ~ms.filters.kinds(ms.TextDelta, ms.ReasoningDelta, ms.Raw)
    print([event.type.value for event in await model.stream_text("Another one.").filter(facts).collect()])


anyio.run(main)
