"""Batching: events in batches of ten, text in larger pieces, and work that goes on while the next ones come."""

import os

import anyio

import millstream as ms

PROMPT = "Write a large document with several sections."


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))

    # Ten events at a time, fewer after 50 ms or at the end: as for a database or a websocket.
    async with model.stream_text(PROMPT).batched(10, max_wait=0.05) as batches:
        sizes = [len(batch) async for batch in batches]
    print(f"{sum(sizes)} events in {len(sizes)} batches, the longest of {max(sizes)}")

    # Text in pieces of more than 256 bytes; the answer is read on, up to 100 items ahead, while you work on one.
    async with model.stream_text(PROMPT).chunk_text(256).buffer(100) as pieces:
        async for piece in pieces:
            if isinstance(piece, ms.TextDelta):
                await anyio.sleep(0.01)
                print(f"a piece of {len(piece.text.encode())} bytes")


anyio.run(main)
