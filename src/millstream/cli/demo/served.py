"""Act 5, served on: a backend reads the provider's stream and sends it to its own readers in another form."""

from __future__ import annotations

import millstream as ms
from millstream.cli.demo._stage import Stage
from millstream.server.responses import EventStreamResponse

__all__ = ["PATH", "PROTOCOL", "answer", "play"]

PATH = "/events"
PROTOCOL = "millstream.events.v1+ndjson"


def answer(stage: Stage) -> EventStreamResponse:
    """What the backend answers: the model's stream, decoded and encoded again."""
    return EventStreamResponse(stage.anthropic.stream_text("What is the Internet?"), protocol=PROTOCOL)


async def play(stage: Stage) -> None:
    """Read what the backend serves."""
    with stage.act(f"served on: the same answer through a backend, as {PROTOCOL}") as seen:
        request = stage.client.stream("POST", stage.url + PATH, timeout=None)
        async with ms.stream(request, protocol=PROTOCOL) as events:
            async for event in events:
                seen(event)
