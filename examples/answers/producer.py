"""Asks the model in a process of its own: `python producer.py ANSWER_ID QUESTION`. Replicas serve what it writes."""

import os
import sys

import anyio

import millstream as ms

model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))


async def main(answer_id: str, question: str) -> None:
    log = ms.relay.RedisLog(os.environ["REDIS_URL"])
    async with ms.relay.Hub(log, authorize=lambda scope, stream_id: True) as hub:
        run = await hub.publish(answer_id, lambda: model.stream_text(question))
        print(run.role, flush=True)
        print((await run.wait()).value, flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
