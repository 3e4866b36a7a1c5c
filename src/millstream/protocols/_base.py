"""What all decoders share: the life of a decoder, over any framing. Synchronous, no I/O, no clock.

A decoder is a total function from bytes to events: whatever the bytes, it gives

    Start  (anything else)*  [Error]  [Usage]  Finish

with exactly one `Start` and one `Finish`, and raises only on misuse. What goes wrong becomes a fatal `Error` event,
after everything that had arrived before it. How the bytes were cut never changes the events.

A protocol is one file: a subclass of `SSEDecoder` or `NDJSONDecoder` with `name`, `gives` and `_object`, which
gets each message as a dict and calls the methods of "what protocols call" below. It may read the dict without care:
what it raises on a shape that it did not expect becomes a `ProtocolError` with the offset of the message.

Most messages of a stream repeat an earlier one but for the text. A protocol that declares `shapes` has those read
without JSON and without its own code (core/_frames.pyx): what it made of the earlier message is made again, with the
new text. That is the same as `_object` would do, if `_object` keeps the contract:

- C1, parametric. In a message with a text at a `payload` path it does not look at what is at `ignored` and `seldom`
  paths, and hands the text on as it is: it may ask only whether the text is empty.
- C2, pure. If such a message gives exactly one event and does not call `_change`, reading it once more changes nothing,
  apart from what C4 says and from the one list that gets each text (`_sink`).
- C3, change. Whatever else a message changes of what later texts depend on (a tool's id, a block's kind), it says so:
  it gives an event of another kind or more than one, or calls `_change`. `_begin`, `_finish` and `_fail` call it.
- C4, latest. What messages only overwrite (`usage`) is set by `_latest`, and by it alone.

tests/protocols/test_shapes_contract.py holds every protocol to each of them.

What matches no shape is mostly simple all the same. A protocol that declares `rules` has such messages read by them
(core/_rules.pyx), without a dict and without `_object`, which goes on saying what all messages mean. A rule says the
same of one kind of them, declares whatever else `_object` would look at in one of that kind, and leaves the message to
`_object` if anything is there. While earlier messages make a difference that no rule knows of, `_usual` is False.
tests/protocols/test_rules.py holds them to that.

A subclass that overrides a method declares `shapes` and `rules` anew, or has none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from orjson import JSONDecodeError, loads

from millstream.core import NDJSONParser, Shapes, SSEMessage, SSEParser
from millstream.core._fed import Fed
from millstream.core._layout import layouts_of
from millstream.core._reader import FrameReader
from millstream.core._rules import Rules
from millstream.errors import ConcurrentUseError, LimitExceeded, ParseError, ParserClosed, ProtocolError, StreamError
from millstream.events import (
    Error,
    Event,
    Finish,
    FinishReason,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from millstream.limits import DEFAULT_LIMITS, Limits, refuse_no_limits
from millstream.protocols._errors import provider_error
from millstream.protocols._tools import ToolCalls

__all__ = ["ANSWER", "Bytes", "Decoder", "DecoderStats", "Fresh", "NDJSONDecoder", "SSEDecoder"]

T = TypeVar("T")

Bytes = bytes | bytearray | memoryview

# What nearly every model wire can give, for `Decoder.gives`.
ANSWER = (TextDelta, ReasoningDelta, ToolCallDelta, ToolCall, Usage, Raw)

# What reading a dict of an unexpected shape raises.
SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)

# The events that carry a text, and the field where; of a `Raw`, which is made of a whole message, that is all of it.
LAYOUTS = layouts_of(
    {TextDelta: "text", ReasoningDelta: "text", ToolCallDelta: "arguments", Safety: "note", Raw: "data"}, whole=Raw
)


class DecoderStats(NamedTuple):
    """How the messages of a response were read, so far.

    Attributes:
        hits: by a shape, without JSON.
        misses: in full.
        compiles: shapes that were made.
    """

    hits: int = 0
    misses: int = 0
    compiles: int = 0


class Fresh(Generic[T]):
    """A container of a decoder's state that is made when it is needed: most answers need few of them."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, decoder: Any, owner: type) -> T:
        made = self._make()
        setattr(decoder, self._name, made)
        return made


class Decoder(Fed, ABC):
    """Bytes of one response -> typed events.

    Args:
        limits: the caps to keep, see `Limits`.
        provider: the name to put into errors; by default that of the protocol.
        shapes: read messages that repeat each other without their JSON.
        rules: read simple messages without the protocol's own code. The events are the same without both; off is for
            who looks for an error in this library.
    """

    name: ClassVar[str]
    media_types: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[type[Event], ...]]
    """The kinds of event that it can give besides `Start`, `Error` and `Finish`."""
    reasons: ClassVar[dict[str, FinishReason]] = {}
    """The wire's finish reasons in the common vocabulary; what is missing here becomes "other"."""
    shapes: ClassVar[Shapes | None] = None
    """Where messages hold their text, and what is not looked at in such messages: the contract is above."""
    rules: ClassVar[Rules | None] = None
    """What its usual messages mean, which then are read without `_object`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if any(isinstance(member, FunctionType) for member in vars(cls).values()):
            # What was declared for other methods need not hold for these.
            cls.shapes = vars(cls).get("shapes")
            cls.rules = vars(cls).get("rules")

    def __init__(
        self, *, limits: Limits = DEFAULT_LIMITS, provider: str | None = None, shapes: bool = True, rules: bool = True
    ) -> None:
        refuse_no_limits(limits)
        self.limits = limits
        self.provider = provider or self.name
        self._parser = self._make_parser()
        self._reader = self._make_reader(self.shapes if shapes else None, self.rules if rules else None)
        self._busy = False
        self._restart()

    def _restart(self) -> None:
        super()._restart()
        self._tools = ToolCalls()

    @property
    def stats(self) -> DecoderStats:
        """How the messages of this response were read; zeros where frames are not read at all (event streams)."""
        reader = self._reader
        return DecoderStats(reader.hits, reader.misses, reader.compiles) if reader is not None else DecoderStats()

    if TYPE_CHECKING:

        def feed(self, data: Bytes) -> list[Event]: ...

    @abstractmethod
    def _make_parser(self) -> Any: ...

    def _make_reader(self, shapes: Shapes | None, rules: Rules | None) -> FrameReader | None:
        return None

    @abstractmethod
    def _message(self, message: Any) -> None: ...

    def close(self) -> list[Event]:
        """Say that the body has ended, and return the last events, `Finish` at the latest here.

        A body that ended before the wire's own end gives Finish(reason="incomplete"). Calling it again gives [].
        """
        if self._closed:
            return []
        out = self._run(None, [])
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
        if self._reader is not None:
            self._reader.reset()
        else:
            self._parser.reset()
        for name in [name for name in vars(self) if hasattr(type(self), name)]:
            delattr(self, name)
        self._restart()

    def _refuse_reentry(self) -> None:
        if self._busy:
            raise ConcurrentUseError("one decoder was used from two places at once; give each stream its own")

    def _run(self, data: Bytes | None, out: list[Event]) -> list[Event]:
        """Read a chunk, or (None) the end of the body: what it gives is added to `out`, and returned."""
        self._refuse_reentry()
        self._out = out
        if self.ended:
            return out
        self._busy = True
        reader = self._reader
        try:
            if reader is None:
                self._read(data)
            elif data is None:
                reader.close(self, out)
            else:
                reader.feed(self, data, out)
            if self._parser.error is not None and not self.ended:
                self._fail(self._parser.error)
        except ParseError as error:
            # At the end of the body a last message that cannot be read was cut off: a truncation, not an error.
            if data is not None or isinstance(error, LimitExceeded):
                self._fail(error)
        except SHAPE_ERRORS as error:
            if reader is not None and reader.reading:
                if data is not None:
                    self._fail(self._misfit(reader.message, error))
            elif data is None or isinstance(data, Bytes) or not isinstance(error, TypeError):
                raise
            else:
                raise TypeError(_no_bytes(data)) from error
        finally:
            self._busy = False
        if data is None and not self.ended:
            self._end()
        return out

    def _read(self, data: Bytes | None) -> None:
        """Read with a parser that is Python. A reader refuses by itself what follows an interruption."""
        if self._interrupted:
            raise ParserClosed("this decoder was interrupted by an exception; call reset() to start a new stream")
        self._interrupted = True
        try:
            self._messages(self._parser.close() if data is None else self._parser.feed(data))
        except (*SHAPE_ERRORS, BufferError, ParseError):
            self._interrupted = False
            raise
        self._interrupted = False

    def _messages(self, messages: Iterable[Any]) -> None:
        for message in messages:
            try:
                self._message(message)
            except SHAPE_ERRORS as error:
                raise self._misfit(message, error) from error
            if self.ended:
                return

    def _misfit(self, message: Any, error: Exception) -> ProtocolError:
        offset = getattr(message, "offset", None)
        where = "" if offset is None else f" at byte {offset}"
        misfit = ProtocolError(
            f"the message{where} does not fit {self.name}: {type(error).__name__}",
            offset=offset,
            reason="shape",
            provider=self.provider,
        )
        misfit.__cause__ = error
        return misfit

    # --- what protocols call -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Emit `Start` if it is not out yet. `_model` and `_id` should be known by now."""
        if not self._begun:
            self._begun = self._moved = True
            self._out.append(Start(self._model, self._id))

    def _emit(self, event: Event) -> None:
        """Emit any event but Start, Usage and Finish."""
        if not self._begun:
            self._begin()
        self._out.append(event)

    def _change(self) -> None:
        """Say that this message changes what later texts become (C3)."""
        self._moved = True

    def _latest(self, obj: dict[str, Any]) -> None:
        """Set what each message overwrites, and nothing else (C4).

        Called by `_object`, and again with the last message that was read by a shape and has such values, unless a
        later one has set `_usage` since. `_usage` may be the wire's own object: `_total` then reads it at the end.
        """

    def _total(self, raw: dict[str, Any]) -> Usage:
        """Normalise the wire's usage. A wire that repeats it in every message has it normalised once."""
        raise NotImplementedError

    def _sink(self, event: Event) -> list[str] | bool | None:
        """The list that gets the text of each event like this one, if any does; False if it began something.

        Of a `Raw`, the list that the message's text went to, if `_object` has put it into `_grown`.
        """
        if type(event) is not ToolCallDelta:
            return self._grown
        return False if self._tools.growing is None else self._tools.growing

    def _finish(self, raw_reason: str, choice: int = 0) -> None:
        """Remember why an answer ended and give its tool calls. `Finish` itself comes with the wire's own end."""
        self._change()
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
            reason = self._normal(self._reasons[0 if 0 in self._reasons else next(iter(self._reasons))])
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
        if self._reader is not None:
            self._reader.settle(self)
        if self._usage is not None:
            if type(self._usage) is dict:
                self._usage = self._total(self._usage)
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

    def _make_reader(self, shapes: Shapes | None, rules: Rules | None) -> FrameReader:
        direct = type(self)._message is SSEDecoder._message
        return FrameReader(self._parser, self.limits.max_event_bytes, shapes, rules, LAYOUTS, direct)

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

    def _make_reader(self, shapes: Shapes | None, rules: Rules | None) -> FrameReader:
        direct = type(self)._message is NDJSONDecoder._message
        return FrameReader(self._parser, self.limits.max_line_bytes, shapes, rules, LAYOUTS, direct)

    def _message(self, message: Any) -> None:
        self._object(message)

    @abstractmethod
    def _object(self, obj: dict[str, Any]) -> None:
        """Map one decoded line: call the methods of `Decoder`."""
