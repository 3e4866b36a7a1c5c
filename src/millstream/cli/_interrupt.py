"""Ctrl-C at a moment that suits: while a chunk is awaited, never while one is being written."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

__all__ = ["CtrlC"]

T = TypeVar("T")


class CtrlC:
    """While the block runs, Ctrl-C raises KeyboardInterrupt only inside of `interruptible`. For the main thread."""

    def __init__(self) -> None:
        self._pressed = False
        self._is_waiting = False
        self._before: Any = signal.SIG_DFL

    def __enter__(self) -> CtrlC:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        if self._is_waiting:
            raise KeyboardInterrupt

    def interruptible(self, items: Iterator[T]) -> Iterator[T]:
        """Pass the items on. Raises: KeyboardInterrupt: Ctrl-C came while one was awaited, or since the last one."""
        while True:
            self._is_waiting = True
            try:
                # Asked only now: pressed between a look at it and the line above, nobody would be told.
                if self._pressed:
                    raise KeyboardInterrupt
                item = next(items)
            except StopIteration:
                return
            finally:
                self._is_waiting = False
            yield item
