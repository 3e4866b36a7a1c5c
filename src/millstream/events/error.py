"""Errors as events: what went wrong, in its place in the stream."""

from __future__ import annotations

from typing import Any, ClassVar

from millstream.errors import StreamError
from millstream.events._base import EventBase, EventType

__all__ = ["Error"]


class Error(EventBase, frozen=True, gc=True, tag="error"):
    """Something went wrong.

    Attributes:
        error: the exception object, with all its facts; never a bare string.
        fatal: the stream ends with this error. False: a warning, and more events follow.
    """

    type: ClassVar[EventType] = EventType.ERROR

    error: StreamError
    fatal: bool = True

    @property
    def kind(self) -> str:
        """Stable name of the error's class."""
        return self.error.kind

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed if it is sent again."""
        return self.error.retryable

    @property
    def partial(self) -> Any:
        """What had arrived before, if the error knows."""
        return self.error.partial
