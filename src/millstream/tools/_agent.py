"""Who answers the next step, with which tools, and what it gets to read of the conversation."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from millstream.errors import ProcessingError
from millstream.events import Event, Handoff
from millstream.messages import Message
from millstream.tools._runner import ToolRunner
from millstream.tools._tool import AnyTool

__all__ = ["Agent", "OpenStep", "Path"]

OpenStep: TypeAlias = Callable[[list[Message]], AsyncIterable[Event] | Awaitable[AsyncIterable[Event]]]
"""Opens one model call, or calls an agent function: messages in, events out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Whom a run can be handed over to. A bare `open_step` stands for an agent with the tools of the run.

    Attributes:
        open_step: see `run_steps`.
        tools: what it may call; None: what the run began with.
        protocol: see `run_steps`.
        system: takes the place of the conversation's system messages; "" leaves them.
    """

    open_step: OpenStep
    tools: Iterable[AnyTool] | None = None
    protocol: str = ""
    system: str = ""

    def __post_init__(self) -> None:
        if not callable(self.open_step):
            kind = type(self.open_step).__name__
            remedy = (
                "provider(...).stream_text" if isinstance(self.open_step, str) else "its stream_text, if it has one"
            )
            raise TypeError(f"open_step must be a function of the messages, not {kind}: give {remedy}")


class Path:
    """The agents that a run goes through, and who said what: opaque parts go back only to who made them."""

    def __init__(
        self,
        first: Agent,
        others: Mapping[str, OpenStep | Agent],
        runner: Callable[[Iterable[AnyTool]], ToolRunner],
    ) -> None:
        self._others = {name: one if isinstance(one, Agent) else Agent(open_step=one) for name, one in others.items()}
        self._first = runner(first.tools or ())
        # All at once: a tool that cannot be made shall fail before the run has cost anything.
        self._runners = {
            name: self._first if one.tools is None else runner(one.tools) for name, one in self._others.items()
        }
        self.name = ""
        self.agent = first
        self.runner = self._first
        self._owners: list[OpenStep | None] = []

    @property
    def names(self) -> list[str]:
        """Whom the run can be handed over to."""
        return list(self._others)

    def visible(self, messages: list[Message]) -> list[Message]:
        """Return the messages for the agent whose turn it is."""
        # What was given belongs to the first agent, whose turn it is when this is called for the first time.
        self._owners += [self.agent.open_step] * (len(messages) - len(self._owners))
        mine = [
            message if owner is None or owner == self.agent.open_step else message.portable()
            for message, owner in zip(messages, self._owners, strict=True)
        ]
        if self.agent.system:
            mine = [Message("system", self.agent.system), *(message for message in mine if message.role != "system")]
        return [message for message in mine if message.parts]

    def said(self, messages: list[Message], *new: Message) -> None:
        """Append messages of the agent whose turn it is."""
        messages += new
        self._owners += [self.agent.open_step] * len(new)

    def hand_over(self, messages: list[Message], handoff: Handoff, *, answered: bool) -> None:
        """Make it another agent's turn.

        Args: answered: the payload stands in the conversation already, as the result of a tool.
        Raises: ProcessingError: there is nobody of this name.
        """
        if handoff.target not in self._others:
            there_are = ", ".join(self.names)
            raise ProcessingError(f"there is no {handoff.target!r} to hand the run over to; there are: {there_are}")
        if handoff.payload is not None and not answered:
            given = handoff.payload
            messages.append(Message("user", given if isinstance(given, str) else msgspec.json.encode(given).decode()))
            self._owners.append(None)
        self.name = handoff.target
        self.agent = self._others[self.name]
        self.runner = self._runners[self.name]
