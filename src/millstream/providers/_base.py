"""What all providers over HTTP share: address, key, body, errors, retries; and text and objects from one model call.

A provider is one file: a subclass with `name`, `protocol`, `home`, `path` and the names of its key, and `_sign` if the
key does not travel as a bearer token. What its wire looks like stands in `protocols/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, Unpack, cast, overload
from urllib.parse import urlsplit

from msgspec.structs import asdict, replace
from orjson import dumps

from millstream.errors import AuthError, IncompleteStream, StreamError, UsageError
from millstream.events import Event, FinishReason
from millstream.limits import DEFAULT_LIMITS, Limits
from millstream.messages import Message, Request, ToolSpec, as_messages
from millstream.objects import ObjectStream
from millstream.objects._backend import BackendName
from millstream.objects._stream import Repair
from millstream.protocols import decoder
from millstream.protocols.requests import request_body
from millstream.providers._explain import Explained
from millstream.providers._http import Call
from millstream.providers._keys import KeyLike, find_key
from millstream.providers._objects import TOOL, ObjectMode, Schemas, ask_for_object
from millstream.providers._provider import Prompt, Provider, RunSettings, Settings
from millstream.providers._result import Collector, ObjectResult, TextResult
from millstream.streams import RetryPolicy, Stream, Timeouts
from millstream.streams.sources.response import ResponseSource
from millstream.streams.timeouts import DEFAULT_TIMEOUTS
from millstream.tools import Agent, run_steps, tool_specs
from millstream.tools._tool import AnyTool, as_tools
from millstream.tools.stop import StopWhen

__all__ = ["HTTPProvider"]

T = TypeVar("T")

RUN = RunSettings.__annotations__.keys() - Settings.__annotations__.keys()

DEFAULT_RETRY = RetryPolicy()


class HTTPProvider:
    """A model behind HTTP.

    Args:
        model: the provider's name of it.
        api_key: the key, or a function that gives it for each request; by default that of the environment. "" for none.
        base_url: where its API begins; by default the provider's own. A key of the environment is not sent elsewhere.
        headers: more headers of each request.
        client: an `AsyncClient` of httpx2 or httpx to use and not to close; by default one that all providers share.
        timeouts: how long one attempt may take; None: no limit but for connecting.
        retry: how often to try again before anything has arrived; None: never.
        limits: the caps of the decoder.
        settings: defaults of all calls, see `Settings`.
    Raises: AuthError: no key, where one is needed. UsageError: no model, or an address that is none.
    """

    name: ClassVar[str]
    protocol: str
    """The wire, a name of both `decoder_names()` and `request_names()`."""
    home: str = ""
    """Where the provider's own API begins, "" if there is no such place."""
    path: str = ""
    """What follows the base URL; `{model}` is replaced."""
    key_names: Sequence[str] = ()
    """Environment variables with the key."""
    url_names: Sequence[str] = ()
    """Environment variables with the base URL."""
    needs_key: bool = True
    """Whether the provider's own address answers nobody without a key."""
    needs_model: bool = True
    """Whether the server has several models."""
    schemas: Schemas = "closed"
    tool_choice: bool = True
    """Whether the model can be made to call a tool."""

    def __init__(
        self,
        model: str = "",
        *,
        api_key: KeyLike | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        timeouts: Timeouts | None = DEFAULT_TIMEOUTS,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        limits: Limits = DEFAULT_LIMITS,
        **settings: Unpack[Settings],
    ) -> None:
        if not model and self.needs_model:
            raise UsageError(f"{self.name}: name a model, as in provider('{self.name}:MODEL')")
        self.model = model
        self.base_url = self._base_url(base_url)
        self.timeouts = timeouts
        self.retry = retry
        self.limits = limits
        self.settings = settings
        _refuse_unknown(settings)
        self._client = client
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        at_home = base_url is None or not self.home or _origin(self.base_url) == _origin(self.home)
        self._key = find_key(api_key, self.key_names, sent_home=at_home)
        if self._key is None and self.needs_key and at_home and not self._has_own_auth():
            raise AuthError(self._no_key(), provider=self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model!r} at {self.base_url}>"

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
        tools = tuple(tools)
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
        """Return the whole answer: that stream, collected.

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
    def stream_object(
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
            mode: "schema", "tool" or "words"; by default the first of them that this provider and type allow.
            lenient, repair, repairs, backend: as for `ObjectStream`; "words" is always lenient.
            settings: for this call.
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
    async def generate_object(
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
        """Return the whole object: that stream, collected. Raises: as `ObjectStream.final`."""
        objects = self.stream_object(
            prompt, type, mode=mode, lenient=lenient, repair=repair, repairs=repairs, backend=backend, **settings
        )
        async with objects:
            value = await objects.final()
            return ObjectResult(object=value, raw=objects.raw, finish=objects.finish, usage=objects.usage)

    # --- one model call ------------------------------------------------------------------------------------------

    def request(self, prompt: Prompt, *, tools: Iterable[ToolSpec] = (), **settings: Unpack[Settings]) -> Request:
        """Return what a call would ask: the settings of the call, else those of a `Request`, else the defaults.

        `extra` of all of them is merged. Raises: InvalidMessage. TypeError: an unknown setting.
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

    def open(self, request: Request) -> Stream[Event]:
        """Make the stream of one model call.

        Raises: Inexpressible, InvalidMessage: this wire cannot say what is asked.
        """
        body = dumps(request_body(self.protocol, request))
        url = self._url(request)

        def attempt() -> Stream[Event]:
            wire = decoder(self.protocol, provider=self.name, limits=self.limits)
            shown = {"content-type": "application/json", "accept": ", ".join(wire.media_types), **self._shown(request)}
            call = Call(url, body, {**shown, **self._headers}, self._sign, lambda: wire.ended, self._client)
            key, model = self._key, request.model
            source = Explained(
                ResponseSource(call, wire), key=key, model=model, url=self.base_url, no_key=self._no_key()
            )
            stream = Stream(source)
            return stream.timeout(self.timeouts) if self.timeouts else stream

        first = attempt()
        return first if self.retry is None else first.retry(attempt, self.retry)

    # --- what providers override ---------------------------------------------------------------------------------

    def _url(self, request: Request) -> str:
        """Where to send it."""
        return self.base_url + self.path

    def _shown(self, request: Request) -> dict[str, str]:
        """Headers that hold no secret."""
        return {}

    async def _sign(self, request: Any) -> None:
        """Put the key into the headers of the HTTP request."""
        if self._key is not None:
            request.headers["authorization"] = f"Bearer {await self._key.reveal(self.name)}"

    def _has_own_auth(self) -> bool:
        """Whether the caller has given headers that take the place of a key."""
        return any(name in ("authorization", "api-key", "x-api-key") for name in self._headers)

    # --- the rest ------------------------------------------------------------------------------------------------

    def _base_url(self, given: str | None) -> str:
        named = next((os.environ[name] for name in self.url_names if os.environ.get(name, "").strip()), None)
        url = (given or named or self.home).strip().rstrip("/")
        if not url:
            raise UsageError(f"{self.name}: give base_url, the address where its API begins")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"{self.name}: base_url must look like https://host/path")
        if parts.username is not None:
            raise UsageError(f"{self.name}: base_url must not hold a password; give api_key or headers")
        return url

    def _no_key(self) -> str:
        names = " or ".join(self.key_names)
        said = f"{self.name}: no key: pass api_key" + (f" or set {names}" if names else "")
        return said if self.home in ("", self.base_url) else said + f" (not used for {self.base_url})"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


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
