"""Pull: ask for single items by hand, where a loop does not fit; here for the first sentence and no more."""

import os

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    async with model.stream_text("Write a long story.").pull() as items:
        if isinstance(start := await items.next(), ms.Start):
            print("model:", start.model)
        sentence = ""
        while not sentence.endswith("."):
            match await items.next():
                case ms.TextDelta(text=text):
                    sentence += text
                case ms.streams.END:
                    break
        print("first sentence:", sentence)
        print("what comes next:", await items.peek())  # it stays there
    # Leaving the block has closed the connection, so the model writes no further.


anyio.run(main)
