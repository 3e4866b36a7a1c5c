"""`ObjectStream`: a typed object while it arrives, from text or from the arguments of a tool call.

One document parser follows the source (`_document.py`), one view at a time reads it (`_views.py`), the type decides who
validates (`_backend.py`). Nothing is parsed twice, unless a second view is asked for: it is told all from the start.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, overload

from msgspec import UNSET

from millstream.core import MISSING, Delta
from millstream.errors import (
    IncompleteJSON,
    InvalidJSON,
    LimitExceeded,
    ObjectInvalid,
    StreamBusy,
    StreamClosed,
)
from millstream.events import Error, Event, Finish, ObjectDelta, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from millstream.limits import DEFAULT_LIMITS, Limits
from millstream.objects._backend import BackendName, Validators, choose, named
from millstream.objects._document import Document
from millstream.objects._shape import NOTHING, Path, Step, at, is_array, members, root_model, root_starts, step
from millstream.objects._source import AnswerText, CallArguments
from millstream.objects._views import Deltas, Elements, Events, Fields, Partials, TypedPartials, View
from millstream.streams import Stream

__all__ = ["ObjectStream", "Repair"]

T = TypeVar("T")
W = TypeVar("W", bound=View[Any])

Source = AsyncIterable[Event] | AsyncIterable[str]
Repair = Callable[[str, Exception], "str | Awaitable[str | None] | None"]


class ObjectStream(Generic[T]):
    """Read one object of a type from a stream, as it grows. Used once, by one view at a time, and then by `final`.

    Use it in `async with`: leaving the block closes the source.

    Args:
        source: a `Stream` of events, or any async iterable of events or of str.
        type: what the object is: a pydantic model, msgspec.Struct, dataclass, TypedDict, `dict`, a scalar, or any
            list, dict or union of them.
        call: read the arguments of this tool call in place of the answer's text: its number, id, or the tool's name.
        choice: which of several answers.
        lenient: find the object in prose and Markdown fences, and ignore what stands around it. See `_document.py`.
        repair: called by `final` with the text and the error if the text is no JSON, not whole, or refused by the
            type; returns a corrected text, or None to give up. Sync or async. With it, bad text does not make the views
            raise: they end there, and the error is in `last_error`.
        repairs: how often `repair` is asked.
        backend: who validates; by default pydantic if the type has anything of pydantic in it, else msgspec.
        limits: `max_object_bytes` is kept.
    Raises: TypeError: the type cannot be read. MissingExtra: its back end is not installed.
    """

    @overload
    def __init__(
        self: ObjectStream[T], source: Source, type: type[T], *, call: str | int | None = ..., choice: int = ...,
        lenient: bool = ..., repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        limits: Limits = ...,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: ObjectStream[Any], source: Source, type: Any, *, call: str | int | None = ..., choice: int = ...,
        lenient: bool = ..., repair: Repair | None = ..., repairs: int = ..., backend: BackendName | None = ...,
        limits: Limits = ...,
    ) -> None: ...  # fmt: skip
    def __init__(
        self,
        source: Source,
        type: Any,
        *,
        call: str | int | None = None,
        choice: int = 0,
        lenient: bool = False,
        repair: Repair | None = None,
        repairs: int = 1,
        backend: BackendName | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        starts = root_starts(type) if lenient else ""
        if lenient and not starts:
            raise TypeError(f"lenient finds objects and arrays in prose, which {named(type)} is not")
        self.type: Any = type
        self.usage: Usage | None = None
        """The last usage that was told."""
        self.finish: Finish | None = None
        """How the source ended, once it has."""
        self.others: list[Event] = []
        """All other events but deltas: Start, citations, files, tool calls, errors. For all in order, see `events`."""
        self.last_error: Exception | None = None
        """What kept the last partial from being shown, or, with `repair`, what is wrong with the text."""
        self._validators = Validators(type, choose(type, backend))
        self._source: Stream[Any] = source if isinstance(source, Stream) else Stream(source)
        self._batches = self._source.batches()
        self._batch: list[Any] = []
        self._at = 0
        self._pick = AnswerText(choice) if call is None else CallArguments(call, choice)
        self._starts = starts
        self._limits = limits
        self._document = Document(limits, starts)
        self._repair = repair
        self._repairs = repairs
        self._text: list[str] = []  # all of it, for `repair`
        self._text_size = 0
        self._view: View[Any] | None = None
        self._fresh = True  # nothing has been taken from the source
        self._closed = False  # the text has ended
        self._ended = False  # the source has
        self._failure: Exception | None = None  # of a fatal Error event
        self._error: BaseException | None = None  # what ended it; `final` says it again
        self._result: Any = UNSET

    # --- views ---------------------------------------------------------------------------------------------------

    @overload
    def partials(self, *, typed: Literal[False] = ...) -> View[Any]: ...
    @overload
    def partials(self, *, typed: Literal[True]) -> View[T]: ...
    def partials(self, *, typed: bool = False) -> View[Any]:
        """The value so far, after each piece of text that changed it.

        Untyped, it is live: the same growing dict or list each time; `snapshot` gives a copy to keep.
        Typed, each is a new one, and shows only what its types allow: see `_partial.py`. One that cannot be made is
        left out, and the reason is in `last_error`.
        """
        view: View[Any] = TypedPartials(self) if typed else Partials(self)
        return self._show(view)

    def deltas(self) -> View[ObjectDelta]:
        """The changes of the value, as `ObjectDelta` events; replayed in order they give it."""
        return self._show(Deltas(self))

    def events(self) -> View[Event]:
        """All events of the source, unchanged; each is followed by the `ObjectDelta`s that it caused."""
        return self._show(Events(self))

    def elements(self, path: str | Path = ()) -> View[Any]:
        """The elements of an array, each as soon as it is complete.

        Each is validated once, from its own bytes, as what the type says about that place. Numbers, and strings that
        came in one piece, are validated from their JSON value.

        Args: path: keys and positions from the root, `...` for any; a str is one key; () is an array at the root.
        Raises: ValueError: the type has no array there. When iterated, also ObjectInvalid: an element is refused;
            `path` says which. Reading on with another view, or `final`, is possible.
        """
        path = (path,) if isinstance(path, str) else tuple(path)
        if not any(_is_list(member) for member in members(at(self.type, path))):
            raise ValueError(f"{named(self.type)} has no array at {_place(path)}")
        validate = self._validators.of(step(at(self.type, path), ...))
        return self._show(Elements(self, path, validate))

    def fields(self) -> View[tuple[str, Any]]:
        """The fields of the object, as (name, value), each as soon as it is complete; validated as `elements` are.

        Names are those on the wire. Validators of the whole class see the object only in `final`.
        Raises: when iterated, also ObjectInvalid.
        """
        return self._show(Fields(self))

    async def final(self) -> T:
        """Consume what is left, and return the object, validated from its own bytes; the same each time it is called.

        Raises: ObjectInvalid: the type refuses it. IncompleteJSON: the text ended early, or the tool call was not
            confirmed. InvalidJSON, LimitExceeded. Whatever the source raises. All have the value so far in `partial`.
        """
        self._view = None
        while await self._next(None) is not None:
            pass
        if self._result is UNSET:
            try:
                self._result = await self._conclude()
            except Exception as error:
                self._error = error
                raise
        result: T = self._result
        return result

    # --- state ---------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Any:
        """The live, untyped value so far; `MISSING` (false) before it begins. Readable at any time."""
        return self._document.value

    def snapshot(self) -> Any:
        """A copy of `current` that stays as it is. Cost: O(width) of each container that is open."""
        return self._document.snapshot()

    @property
    def raw(self) -> bytes:
        """The JSON text so far, without what stands around it."""
        return bytes(self._document.raw)

    @property
    def complete(self) -> bool:
        """Whether the object is whole. The source may still have other events, such as its usage."""
        return self._document.complete

    async def __aenter__(self) -> Self:
        """Open the source. Raises what keeps it from opening."""
        await self._source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the source: from any task, at any time, as often as you like."""
        await self._source.aclose()

    # --- the work ------------------------------------------------------------------------------------------------

    def _show(self, view: W) -> W:
        """Let a view take over. One that begins late is told the past first."""
        if not self._fresh:
            view._add(None, self._document.replay())
        self._view = view
        return view

    async def _next(self, view: View[Any] | None) -> tuple[Any, list[Delta]] | None:
        """The next item of the source and the deltas that it caused; None at the end."""
        if view is not self._view:
            raise StreamBusy("another view has been asked for, or final(); one view reads an object stream at a time")
        if self._error is not None:
            raise self._error
        error = self._document.error
        if error is not None and (self._repair is None or isinstance(error, LimitExceeded)):
            await self._give_up(error)
        while self._at == len(self._batch):
            if self._ended:
                return None
            self._batch, self._at = await self._pull(), 0
            if not self._batch:
                return None, await self._end()
        taken = self._take_joined() if view is None or view.joins else self._take(self._following())
        error = self._document.error
        if error is not None and self.finish is not None and self._repair is None:
            await self._give_up(error)  # before the Finish is given, which must be the last that anybody hears
        return taken

    async def _pull(self) -> list[Any]:
        self._fresh = False
        try:
            return await anext(self._batches)
        except StopAsyncIteration:
            return []
        except BaseException as error:
            if isinstance(error, Exception):
                self._error = self._with_partial(error)
            else:  # cancelled: the source is closed, which must not look like its end
                self._error = StreamClosed("a consumer of this object stream was cancelled, which has closed it")
            raise

    def _following(self) -> Any:
        item = self._batch[self._at]
        self._at += 1
        return TextDelta(item) if isinstance(item, str) else item

    def _take(self, item: Any) -> tuple[Any, list[Delta]]:
        text = self._pick.text(item)
        if text:
            return item, self._feed(text)
        self._note(item)
        return item, self._close() if isinstance(item, Finish) else []

    def _take_joined(self) -> tuple[Any, list[Delta]]:
        """Take all that has arrived, up to a `Finish`, as one piece of text: fewer, longer feeds cost less."""
        parts: list[str] = []
        while self._at < len(self._batch):
            if isinstance(self._batch[self._at], Finish):
                if parts:
                    break
                return self._take(self._following())
            item = self._following()
            text = self._pick.text(item)
            if text:
                parts.append(text)
            else:
                self._note(item)
        return None, self._feed("".join(parts)) if parts else []

    def _feed(self, text: str) -> list[Delta]:
        if self._repair is not None:
            self._text.append(text)
            self._text_size += len(text)
            if self._text_size > self._limits.max_object_bytes:
                self._document.refuse_length()
        return self._fed(self._document.feed(text))

    def _fed(self, deltas: list[Delta]) -> list[Delta]:
        error = self._document.error
        if error is not None and error is not self.last_error:
            self.last_error = error
            if not self._starts and (
                error.reason == "trailing" or (error.reason == "value" and self.current is MISSING)
            ):
                error.add_note("lenient=True reads JSON that stands in prose or in a Markdown fence")
        return deltas

    def _note(self, item: Any) -> None:
        if isinstance(item, Usage):
            self.usage = item
        elif isinstance(item, Finish):
            self.finish = item
            self.usage = item.usage or self.usage
        elif not isinstance(item, (TextDelta, ReasoningDelta, ToolCallDelta)):
            self.others.append(item)
            if isinstance(item, Error) and item.fatal:
                self._failure = item.error

    async def _end(self) -> list[Delta]:
        self._ended = True
        if self._failure is not None:  # a Stream has raised it already, other sources may not
            await self._give_up(self._failure)
        return self._close()

    def _close(self) -> list[Delta]:
        """No more text will come. After a fatal `Error` it is that error which counts, and the source may raise it."""
        if self._closed or self._failure is not None:
            return []
        self._closed = True
        reason = self.finish.reason if self.finish is not None else None
        return self._fed(self._document.close(cut=self._pick.cut(reason), void=self._pick.void))

    async def _give_up(self, error: Exception) -> None:
        """Stop the source: nothing that it may still send can help."""
        for item in self._batch[self._at :]:
            self._note(item)
        self._error = self._with_partial(error)
        await self.aclose()
        raise error

    def _with_partial(self, error: Exception) -> Exception:
        with suppress(AttributeError):  # an exception of somebody else may refuse attributes
            error.partial = self.snapshot()  # type: ignore[attr-defined]
        return error

    # --- validation ----------------------------------------------------------------------------------------------

    def _validator_at(self, path: Path) -> Callable[[bytes | bytearray], Any]:
        there = at(self.type, path)
        return self._validators.of(Any if there is NOTHING else there)

    def _validated(
        self, validate: Callable[[bytes | bytearray], Any], data: bytes | bytearray, path: tuple[str | int, ...] = ()
    ) -> Any:
        try:
            return validate(data)
        except self._validators.backend.invalid as cause:
            inner, reason = self._validators.backend.explain(cause)
            path = (*path, *inner)
            message = f"not a valid {named(self.type)}: {reason[:200]} at {_place(path)}"
            raise self._with_partial(ObjectInvalid(message, path=path, reason=reason, raw=bytes(data))) from cause

    async def _conclude(self) -> T:
        tries = self._repairs if self._repair is not None else 0
        text = "".join(self._text)
        while True:
            try:
                if self._document.error is not None:
                    raise self._with_partial(self._document.error)
                result: T = self._validated(self._validators.root, self._document.raw)
            except (InvalidJSON, IncompleteJSON, ObjectInvalid) as error:
                self.last_error = error
                if not tries or self._repair is None:
                    raise
                answer = self._repair(text, error)
                better = await answer if inspect.isawaitable(answer) else answer
                if better is None:
                    raise
            else:
                return result
            tries -= 1
            text = better
            self._document = Document(self._limits, self._starts)
            self._document.feed(text)
            self._document.close()


def _is_list(member: Any) -> bool:
    if (inner := root_model(member)) is not None:
        return any(map(_is_list, members(inner)))
    return member in (Any, object) or is_array(member)


def _place(path: tuple[Step, ...]) -> str:
    """A path as msgspec writes it; "..." is some key of a dict, which it does not tell."""
    return "$" + "".join(
        f".{key}" if isinstance(key, str) and key != "..." else f"[{'...' if key is ... else key}]" for key in path
    )
