"""`ObjectStream`: a typed object while it arrives, from text or from the arguments of a tool call.

One document parser follows the source (`_document.py`), one view at a time reads it (`_views.py`), the type decides who
validates (`_backend.py`). Nothing is parsed twice, unless a second view is asked for: it is told all from the start.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, overload

from msgspec import UNSET

from millstream.errors import (
    IncompleteJSON,
    InvalidJSON,
    ObjectInvalid,
)
from millstream.events import Event, ObjectDelta
from millstream.limits import DEFAULT_LIMITS, Limits
from millstream.objects._backend import BackendName, Validators, choose, named
from millstream.objects._document import Document
from millstream.objects._reader import Reader, Source
from millstream.objects._shape import NOTHING, Path, Step, at, is_array, members, root_model, root_starts, step
from millstream.objects._source import AnswerText, CallArguments
from millstream.objects._views import Deltas, Elements, Events, Fields, Partials, TypedPartials, View

__all__ = ["ObjectStream", "Repair"]

T = TypeVar("T")
W = TypeVar("W", bound=View[Any])

Repair = Callable[[str, Exception], "str | Awaitable[str | None] | None"]


class ObjectStream(Reader, Generic[T]):
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
        self, source: Source, type: type[T], *, call: str | int | None = ..., choice: int = ...,
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
        validators = Validators(type, choose(type, backend))
        starts = root_starts(type) if lenient else ""
        if lenient and not starts:
            raise TypeError(f"lenient finds objects and arrays in prose, which {named(type)} is not")
        pick = AnswerText(choice) if call is None else CallArguments(call, choice)
        super().__init__(source, pick, starts, limits, forgiving=repair is not None)
        self.type: Any = type
        self._validators = validators
        self._repair = repair
        self._repairs = repairs
        self._result: Any = UNSET

    # --- views ---------------------------------------------------------------------------------------------------

    @overload
    def partials(self, *, typed: Literal[False] = ...) -> View[Any]: ...
    @overload
    def partials(self, *, typed: Literal[True]) -> View[T]: ...
    def partials(self, *, typed: bool = False) -> View[Any]:
        """The value so far, after each piece of text that changed it.

        Args:
            typed: if false, the value is live: the same growing dict or list each time; `snapshot` gives a copy to
                keep. If true, each is a new object, and shows only what its types allow: see `_partial.py`. One that
                cannot be made is left out, and the reason is in `last_error`.
        Raises: when iterated: what the source raises, and ParseError for text that is malformed, not only unfinished.
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

    def _show(self, view: W) -> W:
        """Let a view take over. One that begins late is told the past first."""
        if not self._fresh:
            view._add(None, self._document.replay())
        self._reading = view
        return view

    async def final(self) -> T:
        """Consume what is left, and return the object, validated from its own bytes; the same each time it is called.

        Raises: ObjectInvalid: the type refuses it. IncompleteJSON: the text ended early, or the tool call was not
            confirmed. InvalidJSON, LimitExceeded. Whatever the source raises. All have the value so far in `partial`.
        """
        self._reading = None
        while await self._next(None, joins=True) is not None:
            pass
        if self._result is UNSET:
            try:
                self._result = await self._conclude()
            except Exception as error:
                self._error = error
                raise
        result: T = self._result
        return result

    async def __aenter__(self) -> Self:
        """Open the source. Raises what keeps it from opening."""
        await self._source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

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
