"""What lies between the source and the views of an object stream: one item after another goes into the document.

It keeps what the source tells beside the text, joins pieces for the views that allow it, and holds the end: which of
the source, its `Finish`, the document and a cancellation has said what, and that each error closes the source, has the
value so far, and is said again. Knows no types and nothing of validation.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any

from millstream.core import MISSING, Delta
from millstream.errors import LimitExceeded, StreamBusy, StreamClosed
from millstream.events import Error, Event, EventBase, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from millstream.limits import Limits, refuse_no_limits
from millstream.objects._document import Document
from millstream.objects._source import AnswerText, CallArguments
from millstream.streams import Stream

__all__ = ["Reader", "Source"]

Source = AsyncIterable[Event] | AsyncIterable[str]


class Reader:
    """A source, and the document that its text makes. Read by one view at a time, and then to the end by `final`.

    Args:
        source: a `Stream` of events, or any async iterable of events or of str.
        pick: which events carry the text.
        starts: see `Document`.
        limits: `max_object_bytes` is kept.
        forgiving: bad text does not raise: the error is in `last_error`, and all text is kept.
    """

    def __init__(
        self, source: Source, pick: AnswerText | CallArguments, starts: str, limits: Limits, *, forgiving: bool
    ) -> None:
        refuse_no_limits(limits)
        self.usage: Usage | None = None
        """The last usage that was told."""
        self.finish: Finish | None = None
        """How the source ended, once it has."""
        self.others: list[Event] = []
        """All other events but deltas: Start, citations, files, tool calls, errors. For all in order, see `events`."""
        self.last_error: Exception | None = None
        """What kept the last partial from being shown, or, with `repair`, what is wrong with the text."""
        self._source: Stream[Any] = source if isinstance(source, Stream) else Stream(source)
        self._batches = self._source.batches()
        self._batch: list[Any] = []
        self._at = 0
        self._pick = pick
        self._starts = starts
        self._limits = limits
        self._forgiving = forgiving
        self._document = Document(limits, starts)
        self._text: list[str] = []  # all of it, if forgiving
        self._text_size = 0
        self._reading: object = None  # who may: a view, or None for `final`
        self._fresh = True  # nothing has been taken from the source
        self._closed = False  # the text has ended
        self._ended = False  # the source has
        self._failure: Exception | None = None  # of a fatal Error event
        self._misuse: TypeError | None = None  # the source gives something else than events and text
        self._error: BaseException | None = None  # what ended it; `final` says it again

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

    async def aclose(self) -> None:
        """Close the source: from any task, at any time, as often as you like."""
        await self._source.aclose()

    def _has_more(self) -> bool:
        """Whether there are items that arrived with the last one: the next needs no waiting."""
        return self._at < len(self._batch)

    async def _next(self, reader: object, *, joins: bool) -> tuple[Any, list[Delta]] | None:
        """The next item of the source and the deltas that it caused; None at the end.

        Args: joins: take all that has arrived as one piece of text. The item is then None.
        """
        if reader is not self._reading:
            raise StreamBusy("another view has been asked for, or final(); one view reads an object stream at a time")
        if self._error is not None:
            raise self._error
        error = self._document.error
        if error is not None and (not self._forgiving or isinstance(error, LimitExceeded)):
            await self._give_up(error)
        while not self._has_more():
            if self._ended:
                return None
            self._batch, self._at = await self._pull(), 0
            if not self._batch:
                return None, await self._end()
        taken = self._take_joined() if joins else self._take(self._following())
        if self._misuse is not None:
            await self._give_up(self._misuse)
        error = self._document.error
        if error is not None and self.finish is not None and not self._forgiving:
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
        while self._has_more():
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
        if self._forgiving:
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
        elif isinstance(item, (TextDelta, ReasoningDelta, ToolCallDelta)):
            pass
        elif (misuse := _misuse(item)) is not None:
            self._misuse = misuse
        else:
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


def _misuse(item: Any) -> TypeError | None:
    if isinstance(item, EventBase):
        return None
    is_bytes = isinstance(item, bytes | bytearray | memoryview)
    remedy = ": use millstream.stream(chunks, protocol), or decode" if is_bytes else ""
    return TypeError(f"an ObjectStream reads events or str, not {type(item).__name__}{remedy}")
