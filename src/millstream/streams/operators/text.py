"""`text`: the answer as one string."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from millstream.events import Event, TextDelta

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["text"]


async def text(stream: Stream[Event]) -> str:
    """Consume a stream of events, close it, and return the text of the first answer.

    Raises: whatever the stream raises, with the text that came before it in the exception's `partial`.
    Cost: nobody sees the events, so those of messages that are alike are one (`Puller.join_texts`).
    """
    parts: list[str] = []
    try:
        async with stream:
            stream._puller.join_texts()
            async for batch in stream.batches():
                parts += [event.text for event in batch if isinstance(event, TextDelta) and event.choice == 0]
    except Exception as error:
        with suppress(AttributeError):  # an exception of somebody else may refuse attributes
            error.partial = "".join(parts)  # type: ignore[attr-defined]
        raise
    return "".join(parts)
