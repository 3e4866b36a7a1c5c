"""`pipe`: transform items, and decide what becomes of those that cannot be.

`on_error="raise"` (the default) ends the stream with the exception, as `map` does; "skip" goes on without the item,
with a debug log; "emit" puts an `Error` event (not fatal) in its place, which holds a `ProcessingError` from the
exception. Errors of the source always end the stream. Order is kept, one item out for each in, nothing is buffered
beyond the batch that the source gave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal

from millstream.errors import ProcessingError
from millstream.events import Error
from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, chain_of, isawaitable

__all__ = ["OnError", "Pipe"]

OnError = Literal["raise", "skip", "emit"]

log = logging.getLogger("millstream")


class Pipe(Apply[Any]):
    """Apply functions, sync or async, one after another to each item.

    Raises: ValueError: no function, or `on_error` unknown.
    """

    def __init__(self, source: Puller[Any], *functions: Callable[[Any], Any], on_error: OnError = "raise") -> None:
        super().__init__(source)
        if not functions:
            raise ValueError("pipe needs at least one function")
        if on_error not in ("raise", "skip", "emit"):
            raise ValueError(f'on_error must be "raise", "skip" or "emit", got {on_error!r}')
        self._fn = chain_of(functions)
        self._on_error = on_error

    def _work(self, items: Iterator[Any], out: list[Any]) -> None:
        for item in items:
            try:
                result = self._fn(item)
            except Exception as error:
                self._failed(item, error, out)
                continue
            if isawaitable(result):
                self._waiting = item, result
                return
            out.append(result)

    def _settle(self, item: Any, result: Any, out: list[Any]) -> None:
        out.append(result)

    def _failed(self, item: Any, error: Exception, out: list[Any]) -> None:
        if self._on_error == "raise":
            raise error
        if self._on_error == "skip":
            log.debug("pipe skipped a %s: %r", type(item).__name__, error)
            return
        failure = ProcessingError(f"an item could not be transformed: {type(error).__name__}")
        failure.__cause__ = error
        out.append(Error(failure, fatal=False))
