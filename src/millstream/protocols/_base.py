"""What all decoders share: the life of a decoder, over any framing. Synchronous, no I/O, no clock.

A decoder is a total function from bytes to events: whatever the bytes, it gives

    Start  (anything else)*  [Error]  [Usage]  Finish

with exactly one `Start` and one `Finish`, and raises only on misuse. What goes wrong becomes a fatal `Error` event,
after everything that had arrived before it. How the bytes were cut never changes the events.

A protocol is one file: a subclass of `SSEDecoder` or `NDJSONDecoder` with `name`, `gives` and `_object`, which
gets each message as a dict and calls the methods of "what protocols call" below. It may read the dict without care:
what it raises on a shape that it did not expect becomes a `ProtocolError` with the offset of the message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from orjson import JSONDecodeError, loads

from millstream.core import NDJSONParser, SSEMessage, SSEParser
from millstream.errors import ConcurrentUseError, LimitExceeded, ParseError, ParserClosed, ProtocolError, StreamError
from millstream.events import (
    Error,
    Event,
    Finish,
    FinishReason,
    Raw,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from millstream.limits import DEFAULT_LIMITS, Limits, refuse_no_limits
from millstream.protocols._errors import provider_error
from millstream.protocols._tools import ToolCalls

__all__ = ["ANSWER", "Bytes", "Decoder", "NDJSONDecoder", "SSEDecoder"]

Bytes = bytes | bytearray | memoryview

# What nearly every model wire can give, for `Decoder.gives`.
ANSWER = (TextDelta, ReasoningDelta, ToolCallDelta, ToolCall, Usage, Raw)

# What reading a dict of an unexpected shape raises.
SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class Decoder(ABC):
    """Bytes of one response -> typed events.

    Args:
        limits: the caps to keep, see `Limits`.
        provider: the name to put into errors; by default that of the protocol.
    """

    name: ClassVar[str]
    media_types: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[type[Event], ...]]
    """The kinds of event that it can give besides `Start`, `Error` and `Finish`."""
    reasons: ClassVar[dict[str, FinishReason]] = {}
    """The wire's finish reasons in the common vocabulary; what is missing here becomes "other"."""

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, provider: str | None = None) -> None:
        refuse_no_limits(limits)
        self.limits = limits
        self.provider = provider or self.name
        self._parser = self._make_parser()
        self._busy = False
        self._restart()

    def _restart(self) -> None:
        self._out: list[Event] = []
        self._begun = False
        self._closed = False
        self.ended = False
        """The wire's own end was seen, or a fatal error: whatever else the body holds is ignored."""
        self._model = ""
        self._id = ""
        self._usage: Usage | None = None
        self._reasons: dict[int, str] = {}
        self._tools = ToolCalls()

    @abstractmethod
    def _make_parser(self) -> Any: ...

    @abstractmethod
    def _message(self, message: Any) -> None: ...

    def feed(self, data: Bytes) -> list[Event]:
        """Feed a chunk of the body and return the events it completed.

        Args: data: bytes-like, of any length; not kept after the return.
        Returns: list of events in stream order; empty means that more input is needed, or that `ended` is true.
        Raises: ParserClosed: used after `close`. ConcurrentUseError: entered twice. TypeError: it is not bytes-like.
        Cost: framing, one orjson.loads per message, one event per delta.
        """
        if self._closed:
            raise ParserClosed("this decoder has ended; call reset() to start a new stream")
        return self._run(data)

    def close(self) -> list[Event]:
        """Say that the body has ended, and return the last events, `Finish` at the latest here.

        A body that ended before the wire's own end gives Finish(reason="incomplete"). Calling it again gives [].
        """
        if self._closed:
            return []
        out = self._run(None)
        self._closed = True
        return out

    def fail(self, error: StreamError) -> list[Event]:
        """Say that the body broke off with `error`, and return the last events: `Error`, `Finish(reason="error")`."""
        self._refuse_reentry()
        self._out = []
        if not self.ended:
            self._fail(error)
        self._closed = True
        return self._out

    def reset(self) -> None:
        """Forget everything and be ready for a new response."""
        self._refuse_reentry()
        self._parser.reset()
        self._restart()

    def _refuse_reentry(self) -> None:
        if self._busy:
            raise ConcurrentUseError("one decoder was used from two places at once; give each stream its own")

    def _run(self, data: Bytes | None) -> list[Event]:
        self._refuse_reentry()
        out = self._out = list[Event]()
        if self.ended:
            return out
        self._busy = True
        try:
            self._messages(self._parser.close() if data is None else self._parser.feed(data))
            if self._parser.error is not None and not self.ended:
                self._fail(self._parser.error)
        except ParseError as error:
            # At the end of the body a last message that cannot be read was cut off: a truncation, not an error.
            if data is not None or isinstance(error, LimitExceeded):
                self._fail(error)
        except TypeError as error:
            if data is None or isinstance(data, Bytes):
                raise
            raise TypeError(_no_bytes(data)) from error
        finally:
            self._busy = False
        if data is None and not self.ended:
            self._end()
        return out

    def _messages(self, messages: Iterable[Any]) -> None:
        for message in messages:
            try:
                self._message(message)
            except SHAPE_ERRORS as error:
                offset = getattr(message, "offset", None)
                where = "" if offset is None else f" at byte {offset}"
                raise ProtocolError(
                    f"the message{where} does not fit {self.name}: {type(error).__name__}",
                    offset=offset,
                    reason="shape",
                    provider=self.provider,
                ) from error
            if self.ended:
                return

    # --- what protocols call -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Emit `Start` if it is not out yet. `_model` and `_id` should be known by now."""
        if not self._begun:
            self._begun = True
            self._out.append(Start(self._model, self._id))

    def _emit(self, event: Event) -> None:
        """Emit any event but Start, Usage and Finish."""
        if not self._begun:
            self._begin()
        self._out.append(event)

    def _finish(self, raw_reason: str, choice: int = 0) -> None:
        """Remember why an answer ended and give its tool calls. `Finish` itself comes with the wire's own end."""
        self._reasons[choice] = raw_reason
        for call in self._tools.finish(choice, cut=self._normal(raw_reason) is FinishReason.LENGTH):
            self._emit(call)

    def _end(self, *, terminated: bool = False) -> None:
        """End the stream: `Usage` and `Finish`. `terminated`: the wire's own terminator was seen."""
        if self.ended:
            return
        # A finish reason gave the calls before it; it says nothing of one that was begun after it.
        calls = self._tools.finish(None, cut=False, confirmed=terminated)
        for call in calls:
            self._emit(call)
        if calls and not terminated:
            reason = FinishReason.INCOMPLETE
        elif self._reasons:
            reason = self._normal(self._reasons.get(0, next(iter(self._reasons.values()))))
        else:
            reason = FinishReason.STOP if terminated else FinishReason.INCOMPLETE
        if reason is FinishReason.STOP and self._tools.any_given:
            reason = FinishReason.TOOL_CALLS  # some wires have no word for it, some servers do not use it
        self._last(reason)

    def _fail(self, error: StreamError) -> None:
        """End the stream with an error; tool calls that were under way come first, marked incomplete."""
        if error.provider is None:
            error.provider = self.provider
        for call in self._tools.finish(None, cut=True, confirmed=False):
            self._emit(call)
        self._emit(Error(error))
        self._last(FinishReason.ERROR)

    def _last(self, reason: FinishReason) -> None:
        self._begin()
        if self._usage is not None:
            self._out.append(self._usage)
        choices = dict(self._reasons) if len(self._reasons) > 1 else None
        self._out.append(Finish(reason, self._reasons.get(0, ""), self._usage, 1, choices))
        self.ended = True

    def _normal(self, raw_reason: str) -> FinishReason:
        return self.reasons.get(raw_reason, FinishReason.OTHER)


def _no_bytes(data: Any) -> str:
    if isinstance(data, str):
        return "decoders read bytes, not text: pass response.iter_bytes(), not iter_text or iter_lines"
    if isinstance(data, int):
        return "decoders read pieces of bytes, not single ones: for a whole body pass [data]"
    return f"decoders read bytes, not {type(data).__name__}: pass the body as it came, before anything has parsed it"


class SSEDecoder(Decoder):
    """A protocol over server-sent events whose data is JSON."""

    media_types: ClassVar[tuple[str, ...]] = ("text/event-stream",)

    def _make_parser(self) -> SSEParser:
        # AI servers leave out the last blank line, and report errors in lines that are no SSE fields.
        return SSEParser(max_event_bytes=self.limits.max_event_bytes, at_eof="deliver", keep_unknown=True)

    def _message(self, message: SSEMessage) -> None:
        if message.unknown:
            self._unframed(message)
        if self.ended or not message.data:
            return
        if message.data.strip() == "[DONE]":
            self._end(terminated=True)
            return
        obj = message.json()
        if message.event == "error" and isinstance(obj, dict) and obj.get("type") != "error":
            self._fail(provider_error(obj, provider=self.provider))  # of a proxy: the wire's own errors say their type
        elif isinstance(obj, dict):
            self._object(obj, message)
        else:
            self._emit(Raw(message.data, message.event if message.named else ""))

    @abstractmethod
    def _object(self, obj: dict[str, Any], message: SSEMessage) -> None:
        """Map one decoded message: call the methods of `Decoder`."""

    def _unframed(self, message: SSEMessage) -> None:
        """Read lines that are not SSE: `error: {...}` (llama.cpp) or a bare JSON object (Gemini, proxies)."""
        try:
            obj = loads(message.unknown.removeprefix("error:"))
        except JSONDecodeError:
            return
        if isinstance(obj, dict) and (message.unknown.startswith("error:") or obj.get("error")):
            self._fail(provider_error(obj, provider=self.provider))


class NDJSONDecoder(Decoder):
    """A protocol of one JSON object per line."""

    media_types: ClassVar[tuple[str, ...]] = (
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/json-lines",
    )

    def _make_parser(self) -> NDJSONParser:
        return NDJSONParser(max_line_bytes=self.limits.max_line_bytes)

    def _message(self, message: Any) -> None:
        self._object(message)

    @abstractmethod
    def _object(self, obj: dict[str, Any]) -> None:
        """Map one decoded line: call the methods of `Decoder`."""
