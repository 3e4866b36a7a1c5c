"""Text and objects from whatever can make one model call: the four methods that every provider here has.

Not known here: HTTP, keys, addresses. See `_base.py` for those.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar, Unpack, cast, overload

from msgspec.structs import asdict, replace

from millstream.errors import IncompleteStream, StreamError
from millstream.events import Event, FinishReason
from millstream.limits import DEFAULT_LIMITS, Limits, refuse_no_limits
from millstream.messages import Message, Request, ToolSpec, as_messages
from millstream.objects import ObjectStream
from millstream.objects._backend import BackendName
from millstream.objects._stream import Repair
from millstream.providers._objects import TOOL, ObjectMode, Schemas, ask_for_object
from millstream.providers._provider import Prompt, Provider, RunSettings, Settings
from millstream.providers._result import Collector, ObjectResult, TextResult
from millstream.streams import Stream
from millstream.tools import Agent, run_steps, tool_specs
from millstream.tools._tool import AnyTool, as_tools
from millstream.tools.stop import StopWhen

__all__ = ["BaseProvider"]

T = TypeVar("T")

RUN = RunSettings.__annotations__.keys() - Settings.__annotations__.keys()


class BaseProvider(Provider, ABC):
    """A provider of which only `open` is missing.

    Args:
        model: the provider's name of it.
        limits: the caps of decoder and objects.
        settings: defaults of all calls, see `Settings`.
    """

    name: ClassVar[str]
    protocol: str = ""
    """The wire, a name of both `decoder_names()` and `request_names()`; "" if it has none of them."""
    schemas: Schemas = "closed"
    tool_choice: bool = True
    """Whether the model can be made to call a tool."""

    def __init__(self, model: str = "", *, limits: Limits = DEFAULT_LIMITS, **settings: Unpack[Settings]) -> None:
        refuse_no_limits(limits)
        self.model = model
        self.limits = limits
        self.settings = settings
        _refuse_unknown(settings)

    @abstractmethod
    def open(self, request: Request) -> Stream[Event]:
        """Make the stream of one model call. Nothing is sent before it is entered or iterated.

        Args: request: all that is asked, the settings of provider and call included.
        Raises: Inexpressible, InvalidMessage: this wire cannot say what is asked.
        """

    # --- text ----------------------------------------------------------------------------------------------------

    def stream_text(
        self,
        prompt: Prompt,
        *,
        tools: Iterable[AnyTool] = (),
        stop_when: StopWhen | None = None,
        **settings: Unpack[RunSettings],
    ) -> Stream[Event]:
        """Stream an answer. Nothing is sent before the stream is entered or iterated.

        Args:
            prompt: a string, messages or a `Request`.
            tools: functions and `Tool`s, which are run, or `ToolSpec`s, whose calls are left to the caller.
            stop_when: when a run with tools ends, as in `max_steps(5)`; by default with the answer.
            settings: for this call, see `Settings` and `RunSettings`. A `tool_choice` that makes the model call a tool
                counts for the first step only: a model that must call tools never ends.
        Raises: InvalidMessage, Inexpressible: at the call. ConnectionFailed, StreamTimeout, ProviderError and its
            kinds: when it is opened. The same and others while it is read: see `millstream.stream`.
        """
        run: dict[str, Any] = {name: settings.pop(name) for name in RUN if name in settings}  # type: ignore[misc]
        tools = tuple(as_tools(tools).values())
        request = self.request(prompt, tools=tool_specs(tools), **cast("Settings", settings))
        given = as_tools((*(prompt.tools if isinstance(prompt, Request) else ()), *tools))
        if stop_when is None and "handoffs" not in run and all(isinstance(one, ToolSpec) for one in given.values()):
            return self.open(request)
        if "handoffs" in run:
            run["handoffs"] = {name: _agent(one, request.tools) for name, one in run["handoffs"].items()}
        return run_steps(
            self._steps(request), request.messages, given.values(), stop_when=stop_when, protocol=self.protocol, **run
        )

    def _steps(self, request: Request) -> Callable[[list[Message]], Stream[Event]]:
        """Open the steps of a run, the first as the request says."""
        choice = request.tool_choice

        def open_step(messages: list[Message]) -> Stream[Event]:
            nonlocal choice
            step = replace(request, messages=tuple(messages), tool_choice=choice)
            choice = choice if choice in (None, "auto", "none") else None
            return self.open(step)

        return open_step

    async def generate_text(
        self,
        prompt: Prompt,
        *,
        tools: Iterable[AnyTool] = (),
        stop_when: StopWhen | None = None,
        **settings: Unpack[RunSettings],
    ) -> TextResult:
        """Return the whole answer: the stream of `stream_text`, collected.

        Args: prompt, tools, stop_when, settings: as for `stream_text`.
        Returns: text, reasoning, tool calls and results, messages to go on with, usage, finish reason.
        Raises: as `stream_text`, with the `TextResult` so far in `partial`. IncompleteStream: its end never came.
        """
        stream = self.stream_text(prompt, tools=tools, stop_when=stop_when, **settings)
        collector = Collector(self.protocol, stream)
        try:
            async with stream as events:
                async for batch in events.batches():
                    for event in batch:
                        collector.add(event)
            result = collector.result()
            if result.reason is FinishReason.INCOMPLETE:
                raise IncompleteStream(f"{self.name}: the body ended before the answer did", provider=self.name)
        except StreamError as error:
            error.partial = collector.result()
            raise
        return result

    # --- objects -------------------------------------------------------------------------------------------------

    @overload
    def stream_object(
        self, prompt: Prompt, type: type[T], *, mode: ObjectMode | None = ..., lenient: bool = ...,
        repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        **settings: Unpack[Settings],
    ) -> ObjectStream[T]: ...  # fmt: skip
    @overload
    def stream_object(
        self, prompt: Prompt, type: Any, *, mode: ObjectMode | None = ..., lenient: bool = ...,
        repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        **settings: Unpack[Settings],
    ) -> ObjectStream[Any]: ...  # fmt: skip
    def stream_object(  # pyright: ignore[reportIncompatibleMethodOverride] # `Settings` might have a `mode`, it says
        self,
        prompt: Prompt,
        type: Any,
        *,
        mode: ObjectMode | None = None,
        lenient: bool = False,
        repair: Repair | None = None,
        repairs: int = 1,
        backend: BackendName | None = None,
        **settings: Unpack[Settings],
    ) -> ObjectStream[Any]:
        """Stream an object of a type, or of a JSON schema.

        Args:
            prompt: a string, messages or a `Request`.
            type: a pydantic model, msgspec Struct, dataclass, TypedDict or other annotation; or a JSON schema, a dict.
            mode: how the model is told: "schema" (its own structured output), "tool" (it must call one) or "words"
                (asked for in the prompt); by default the first of them that this provider and type allow.
            lenient: find the object in prose around it; "words" always does.
            repair, repairs, backend: as for `ObjectStream`.
            settings: for this call, see `Settings`.
        Raises: TypeError: the type cannot be read. Otherwise as `stream_text`.
        """
        request, how = ask_for_object(
            self.request(prompt, **settings),
            type,
            mode,
            schemas=self.schemas,
            tool_choice=self.tool_choice,
            backend=backend,
        )
        return ObjectStream(
            self.open(request),
            Any if isinstance(type, Mapping) else type,
            call=TOOL if how == "tool" else None,
            lenient=lenient or how == "words",
            repair=repair,
            repairs=repairs,
            backend=backend,
            limits=self.limits,
        )

    @overload
    async def generate_object(
        self, prompt: Prompt, type: type[T], *, mode: ObjectMode | None = ..., lenient: bool = ...,
        repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        **settings: Unpack[Settings],
    ) -> ObjectResult[T]: ...  # fmt: skip
    @overload
    async def generate_object(
        self, prompt: Prompt, type: Any, *, mode: ObjectMode | None = ..., lenient: bool = ...,
        repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        **settings: Unpack[Settings],
    ) -> ObjectResult[Any]: ...  # fmt: skip
    async def generate_object(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        prompt: Prompt,
        type: Any,
        *,
        mode: ObjectMode | None = None,
        lenient: bool = False,
        repair: Repair | None = None,
        repairs: int = 1,
        backend: BackendName | None = None,
        **settings: Unpack[Settings],
    ) -> ObjectResult[Any]:
        """Return the whole object: the stream of `stream_object`, collected.

        Args: prompt, type, mode, lenient, repair, repairs, backend, settings: as for `stream_object`.
        Returns: the validated object, the raw JSON, usage and finish reason.
        Raises: as `stream_object` and `ObjectStream.final`: ObjectInvalid: not what the type wants.
            IncompleteJSON: the answer ended inside the object.
        """
        objects = self.stream_object(
            prompt, type, mode=mode, lenient=lenient, repair=repair, repairs=repairs, backend=backend, **settings
        )
        async with objects:
            value = await objects.final()
            return ObjectResult(object=value, raw=objects.raw, finish=objects.finish, usage=objects.usage)

    # --- one model call ------------------------------------------------------------------------------------------

    def request(self, prompt: Prompt, *, tools: Iterable[ToolSpec] = (), **settings: Unpack[Settings]) -> Request:
        """Return what a call would ask: the settings of the call, else those of a `Request`, else the defaults.

        Args:
            prompt: a string, messages or a `Request`.
            tools: what the model may call, besides the tools of a `Request`.
            settings: for this call. `extra` of all three is merged.
        Raises: InvalidMessage: no prompt, or a field that no provider takes. TypeError: an unknown setting.
        """
        _refuse_unknown(settings)
        given: dict[str, Any] = (
            _set_fields(prompt) if isinstance(prompt, Request) else {"messages": as_messages(prompt)}
        )
        chosen: dict[str, Any] = {**self.settings, **given, **settings}
        chosen["extra"] = {**self.settings.get("extra", {}), **given.get("extra", {}), **settings.get("extra", {})}
        chosen["stop"] = chosen.get("stop") or ()
        system = chosen.pop("system", None)
        if system:
            chosen["messages"] = [Message("system", system), *chosen["messages"]]
        chosen["model"] = chosen.get("model") or self.model
        chosen["tools"] = (*chosen.get("tools", ()), *tools)
        return Request(**chosen)


def _agent(target: Any, tools: tuple[ToolSpec, ...]) -> Any:
    """Whom a run is handed over to; a provider is told of the tools of the run."""
    if not isinstance(target, Provider):
        return target
    return Agent(
        open_step=lambda messages: target.stream_text(messages, tools=tools), protocol=getattr(target, "protocol", "")
    )


def _set_fields(request: Request) -> dict[str, Any]:
    """The fields that are not left to the provider."""
    return {name: value for name, value in asdict(request).items() if value not in (None, (), {}, "")}


def _refuse_unknown(settings: Settings) -> None:
    unknown = cast("dict[str, Any]", settings).keys() - Settings.__annotations__
    if unknown:
        known = ", ".join(Settings.__annotations__)
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}; known are: {known}")
