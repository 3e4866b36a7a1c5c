"""What applications program against: a model that answers with streams, whoever it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

from millstream.events import Event
from millstream.messages import MessagesLike, Request, ResponseFormat
from millstream.objects import ObjectStream
from millstream.providers._result import ObjectResult, TextResult
from millstream.streams import Stream
from millstream.tools import Agent
from millstream.tools._agent import OpenStep
from millstream.tools._runner import Approve, OnToolError
from millstream.tools._tool import AnyTool
from millstream.tools.stop import StopWhen

__all__ = ["Prompt", "Provider", "RunSettings", "Settings"]

T = TypeVar("T")

Prompt = MessagesLike | Request
"""What may be asked: a string, messages, or a whole request."""


class Settings(TypedDict, total=False):
    """What one call may set, or a provider by default; see `Request`. None leaves it to the provider.

    Attributes: system: what goes in front of the messages.
    """

    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str]
    seed: int | None
    tool_choice: str | None
    response_format: ResponseFormat | None
    extra: dict[str, Any]


class RunSettings(Settings, total=False):
    """What a call with tools may set besides: see `run_steps`. Without tools that are run, it counts for nothing.

    Attributes: handoffs: who takes over, by name: a provider, an `Agent`, or a function that opens a step.
    """

    handoffs: Mapping[str, Provider | Agent | OpenStep]
    max_parallel: int
    tool_timeout: float | None
    approve: Approve | None
    on_error: OnToolError | None
    eager: bool
    deps: Any


@runtime_checkable
class Provider(Protocol):
    """A model. Those that speak HTTP derive from `HTTPProvider`; anything else with these methods will do.

    All four take a `prompt` (a string, messages or a `Request`) and `settings` for the call; the first two `tools` and
    `stop_when`, see `run_steps`; the others the `type` of the object. Errors are those of `errors.py`.
    """

    def stream_text(
        self,
        prompt: Prompt,
        *,
        tools: Iterable[AnyTool] = (),
        stop_when: StopWhen | None = None,
        **settings: Unpack[RunSettings],
    ) -> Stream[Event]:
        """Stream an answer; with tools that can be run, run them and go on until `stop_when`."""
        ...

    async def generate_text(
        self,
        prompt: Prompt,
        *,
        tools: Iterable[AnyTool] = (),
        stop_when: StopWhen | None = None,
        **settings: Unpack[RunSettings],
    ) -> TextResult:
        """Return the whole answer: the stream of `stream_text`, collected."""
        ...

    def stream_object(self, prompt: Prompt, type: type[T], **settings: Unpack[Settings]) -> ObjectStream[T]:
        """Stream an object of a type."""
        ...

    async def generate_object(self, prompt: Prompt, type: type[T], **settings: Unpack[Settings]) -> ObjectResult[T]:
        """Return the whole object: the stream of `stream_object`, collected."""
        ...
