"""What the official clients of OpenAI and Anthropic have in common: both are made by one generator, from one template.

Known here: `BaseClient._make_sse_decoder()`, asked by `Stream` for what turns a body into events. Not known: what the
events mean. The hook is private, so nothing is taken on trust: it is tried out before anything is replaced.
Source: openai 3.52.0, anthropic 2.11.0, `_base_client.py` and `_streaming.py`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any

from millstream.compat._acceleration import Acceleration, NotAccelerated, Replacement
from millstream.compat._decoding import loads, make_parser
from millstream.core import SSEMessage
from millstream.errors import MissingExtra

__all__ = ["accelerate_client", "accelerate_process"]

HOOK = "_make_sse_decoder"
SAMPLE = [b"event: a\nid: 1\nretry: 5\ndata: {}\n\n", b'data: {"x":\r\ndata: 1}\r\n\r\nevent: ping\n\n']

# What the SDK itself may raise while it is tried out, if it is not what we know.
UNKNOWN = (AttributeError, LookupError, TypeError, ValueError, ImportError)


def accelerate_client(sdk: str, client: Any) -> Acceleration:
    """Let one client use our decoder, and the clients made from it by `with_options` and `copy`.

    Args: sdk: name of the package. client: a client of it, synchronous or not.
    Raises: TypeError: not a client of this SDK. MissingExtra: the SDK is not installed.
    """
    package = _load(sdk)
    base = package("_base_client").BaseClient
    if not isinstance(client, base):
        raise TypeError(f"accelerate() takes a client of {sdk}, not {type(client).__name__}")
    kind: Any = type(client)
    if HOOK in vars(kind) and hasattr(kind, "_millstream"):
        kind = kind.__base__  # accelerated before: once more, for whoever undoes first
    if getattr(kind, HOOK, None) is not getattr(base, HOOK, None):
        return _leave(sdk, f"{kind.__name__} reads its streams in a way of its own")
    if problem := _problem(sdk):
        return _leave(sdk, problem)
    return Acceleration([Replacement(client, "__class__", _accelerated(kind, sdk))])


def accelerate_process(sdk: str, also: Callable[[], Iterable[Replacement]]) -> Acceleration:
    """Let all clients of this process use our decoder, those that exist and those to come.

    Args: sdk: name of the package. also: what else to replace.
    Raises: MissingExtra: the SDK is not installed.
    """
    base = _load(sdk)("_base_client").BaseClient
    if problem := _problem(sdk):
        return _leave(sdk, problem)
    return Acceleration([Replacement(base, HOOK, _hook(sdk)), *also()])


def _load(sdk: str) -> Callable[[str], Any]:
    try:
        import_module(sdk)
    except ImportError as error:
        raise MissingExtra(f"there is nothing to accelerate: pip install {sdk}") from error
    return lambda module: import_module(f"{sdk}.{module}")


def _leave(sdk: str, problem: str) -> Acceleration:
    version = getattr(import_module(sdk), "__version__", "of unknown version")
    warnings.warn(f"{sdk} {version} is not accelerated: {problem}", NotAccelerated, stacklevel=4)
    return Acceleration([])


def _problem(sdk: str) -> str | None:
    """Say what is not as we know it, or None."""
    try:
        streaming = import_module(f"{sdk}._streaming")
        client = import_module(f"{sdk}._base_client").BaseClient
        for stream in (streaming.Stream, streaming.AsyncStream):
            if HOOK not in stream.__init__.__code__.co_names:
                return f"{stream.__name__} does not ask for a decoder in the known way"
        hook = vars(client)[HOOK]
        if not (getattr(hook, "_millstream", False) or _own(hook, client.__module__)):
            return f"{HOOK} was replaced by somebody else"
        for cls, names in (
            (streaming.SSEDecoder, ("decode", "iter_bytes", "aiter_bytes")),
            (streaming.ServerSentEvent, ("__init__", "json")),
        ):
            for name in names:
                if not _own(vars(cls)[name], streaming.__name__):
                    return f"{cls.__name__}.{name} was replaced by somebody else"
        if not getattr(hook, "_millstream", False) and type(hook(None)) is not streaming.SSEDecoder:
            return f"{HOOK} gives something else"
        seen, ours = ([*map(_fields, cls().iter_bytes(iter(SAMPLE)))] for cls in (streaming.SSEDecoder, _decoder(sdk)))
        if not inspect.isasyncgenfunction(streaming.SSEDecoder.aiter_bytes) or seen != ours:
            return "its decoder gives something else"
    except UNKNOWN as error:
        return f"its streaming was changed ({type(error).__name__}: {error})"
    return None


def _own(function: Any, module: str) -> bool:
    return isinstance(function, FunctionType) and function.__module__ == module


def _fields(event: Any) -> tuple[Any, ...]:
    return (event.event, event.data, event.id, event.retry, event.json() if event.data else None)


@cache
def _decoder(sdk: str) -> type[Any]:
    """Make the decoder and the event: the SDK's own classes, with the costly methods replaced."""
    streaming = import_module(f"{sdk}._streaming")

    class ServerSentEvent(streaming.ServerSentEvent):  # type: ignore[misc, name-defined]
        def json(self) -> Any:
            return loads(self._data)

    # Our events are told from the SDK's by nothing but their speed.
    ServerSentEvent.__qualname__ = "ServerSentEvent"
    ServerSentEvent.__module__ = streaming.__name__

    def event(m: SSEMessage) -> ServerSentEvent:
        return ServerSentEvent(event=m.event if m.named else None, data=m.data, id=m.id or None, retry=m.retry)

    class SSEDecoder(streaming.SSEDecoder):  # type: ignore[misc, name-defined]
        # A block that has neither data nor a name (`retry: 3000`, `id: 1`) is no event: the SDKs would decode its empty
        # data as JSON. One with a name only is: their tests ask for it.
        def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[ServerSentEvent]:
            feed = make_parser().feed
            for chunk in iterator:
                for message in feed(chunk):
                    if message.data or message.named:
                        yield event(message)

        async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
            feed = make_parser().feed
            async for chunk in iterator:
                for message in feed(chunk):
                    if message.data or message.named:
                        yield event(message)

    return SSEDecoder


@cache
def _hook(sdk: str) -> Callable[[Any], Any]:
    decoder = _decoder(sdk)

    def _make_sse_decoder(self: Any) -> Any:
        return decoder()

    _make_sse_decoder._millstream = True  # type: ignore[attr-defined]
    return _make_sse_decoder


@cache
def _accelerated(kind: Any, sdk: str) -> Any:
    """Make a class of clients that differs in its decoder only. A client's copies are of its class."""
    body = {HOOK: _hook(sdk), "_millstream": True, "__module__": kind.__module__, "__doc__": kind.__doc__}
    accelerated = type(kind.__name__, (kind,), body)
    accelerated.__qualname__ = kind.__qualname__
    return accelerated
