"""Refusals, filters and ratings."""

from __future__ import annotations

from typing import ClassVar

from millstream.events._base import EventBase, EventType
from millstream.events.logprobs import Logprob, token_logprobs

__all__ = ["Safety"]


class Safety(EventBase, frozen=True, gc=False, tag="safety"):
    """The model refused, or a filter had something to say.

    Attributes:
        category: "refusal" for the model's own refusal, else the provider's name of the category.
        action: "refuse", "block", "warn" or "pass".
        score: the provider's score or level as a number, None if it has none.
        note: a fragment of the refusal's text, or the provider's explanation.
        choice: which of several answers, from 0.
    """

    type: ClassVar[EventType] = EventType.SAFETY

    category: str
    action: str = "warn"
    score: float | None = None
    note: str = ""
    choice: int = 0

    @property
    def logprobs(self) -> tuple[Logprob, ...]:
        """How likely each token of it was, read from `meta["logprobs"]`; () if the provider did not tell."""
        return token_logprobs(self._meta.get("logprobs")) if self._meta else ()
