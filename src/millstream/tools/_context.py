"""What a tool may know of the call that it runs for, and what an approval may answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millstream.events import ToolCall
from millstream.messages import Message

__all__ = ["Deny", "ToolContext"]


@dataclass(slots=True, kw_only=True, eq=False)
class ToolContext:
    """The call that a tool runs for. A tool that has a parameter of this type gets it; the model does not see it.

    Attributes:
        call: the call, with the arguments as they are used.
        step: which model call of the run asked for it, from 1.
        messages: what the model was asked with in this step.
        deps: what the application gave to `run_steps(deps=...)`: a database, the user.
    """

    call: ToolCall
    step: int = 1
    messages: tuple[Message, ...] = ()
    deps: Any = None
    _cancelled: bool = field(default=False, repr=False)

    @property
    def call_id(self) -> str:
        """The provider's id of the call, "" if it has none."""
        return self.call.id

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more. A tool in a thread cannot be stopped: a long one looks here."""
        return self._cancelled


@dataclass(frozen=True, slots=True)
class Deny:
    """The answer of an approval that does not let a call run. `reason` is told to the model."""

    reason: str = ""
