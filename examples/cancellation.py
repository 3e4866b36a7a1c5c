"""Cancellation and timeouts: whatever ends the block, the connection is closed at once and the model stops."""

import os

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    text = ""

    # For the user who has seen enough. The same happens when the task is cancelled, or on `break` or an exception.
    with anyio.move_on_after(1.2) as scope:
        async with model.stream_text("Write a very long story.") as events:
            async for event in events:
                if isinstance(event, ms.TextDelta):
                    text += event.text
    print(f"stopped: {scope.cancelled_caught}; what had come: {text.split()[:3]}")

    # For a model that is slow: a typed error, which says which clock ran out.
    try:
        async with model.stream_text("Write another one.").timeout(first=30, idle=10, total=1.2) as events:
            await events.collect()
    except ms.StreamTimeout as error:
        print(f"timeout ({error.kind}), after {len(error.partial)} events")


anyio.run(main)
