"""Pooled buffers: the text's bytes, delta by delta, in memory that is used again and again."""

import hashlib
import os

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    digest = hashlib.sha256()
    pool = ms.streams.BufferPool(size=1024)
    processor = ms.streams.StreamProcessor(digest.update, buffer_pool=pool)  # gets a memoryview, good until it returns
    await processor.process(model.stream_text("Write a large document with several sections."))
    print("sha256 of the answer:", digest.hexdigest())
    print(f"buffers: {pool.outstanding} out, {pool.free} free")

    with pool.lease() as buffer:  # the pool is good for other things too; the buffer grows as it is written
        buffer.extend(b"Hello, ")
        buffer.extend(b"world")
        print(bytes(buffer).decode())


anyio.run(main)
