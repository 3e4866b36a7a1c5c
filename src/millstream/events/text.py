"""What the model says, and what it thinks."""

from __future__ import annotations

from typing import ClassVar

from millstream.events._base import EventBase, EventType
from millstream.events.logprobs import Logprob, token_logprobs

__all__ = ["ReasoningDelta", "TextDelta"]


class TextDelta(EventBase, frozen=True, gc=False, tag="text_delta"):
    """A piece of the answer. Never empty.

    Attributes:
        text: the piece, from part of a character's word to many words.
        index: the content block of the answer that it belongs to, from 0.
        choice: which of several answers (`n` > 1) it belongs to, from 0.
    """

    type: ClassVar[EventType] = EventType.TEXT_DELTA

    text: str
    index: int = 0
    choice: int = 0

    @property
    def logprobs(self) -> tuple[Logprob, ...]:
        """How likely each token of it was, read from `meta["logprobs"]`; () if the provider did not tell."""
        return token_logprobs(self._meta.get("logprobs")) if self._meta else ()


class ReasoningDelta(EventBase, frozen=True, gc=False, tag="reasoning_delta"):
    """A piece of the model's reasoning, or an opaque part of it that must be sent back as it came.

    Attributes:
        text: the piece; "" if the event carries only an opaque part.
        index: the content block, from 0.
        choice: which of several answers, from 0.
        signature: the provider's signature of the block, to be sent back with it, else None.
        encrypted: the block itself where the provider only shows it encrypted or redacted, else None.
    """

    type: ClassVar[EventType] = EventType.REASONING_DELTA

    text: str = ""
    index: int = 0
    choice: int = 0
    signature: str | None = None
    encrypted: str | None = None
