"""What a response cost in tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.events._base import EventBase, EventType

__all__ = ["Usage"]


class Usage(EventBase, frozen=True, tag="usage"):
    """Token counts of one response, the provider's last word. None where it did not tell.

    Attributes:
        input_tokens: of the request, as the provider counts them (Anthropic: without cached tokens).
        output_tokens: of the answer.
        total_tokens: the provider's total, or input + output if it has none.
        cache_read_tokens: request tokens served from a cache.
        cache_write_tokens: request tokens written to a cache.
        reasoning_tokens: answer tokens spent on reasoning.
        raw: the provider's own object.
    """

    type: ClassVar[EventType] = EventType.USAGE

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    raw: dict[str, Any] | None = None
