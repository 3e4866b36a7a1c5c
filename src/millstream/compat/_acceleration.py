"""Replace attributes of other people's modules and objects, so that it can be undone in any order.

Two parts of a program may accelerate the same thing and not know of each other: a replacement goes when the last of
them undoes it, and never takes with it what a third one has put there since.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from threading import RLock
from types import TracebackType
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary

__all__ = ["Acceleration", "NotAccelerated", "Replacement"]


class NotAccelerated(UserWarning):
    """Nothing was changed, because the library is not as millstream knows it. The program works as before."""


class Replacement(NamedTuple):
    """`new` in the place of an attribute that `owner` itself has: a module, a class, another object. Held weakly."""

    owner: Any
    name: str
    new: Any


class _Held:
    """What an attribute was, and how many accelerations want it replaced."""

    def __init__(self, old: Any, new: Any) -> None:
        self.old = old
        self.new = new
        self.users = 0


_held: WeakKeyDictionary[Any, dict[str, _Held]] = WeakKeyDictionary()
_lock = RLock()


class Acceleration:
    """What `accelerate` returns. Keep it to `undo` it, use it as a context manager, or forget it.

    Attributes:
        active: whether it is in force. False if nothing could be accelerated (there was a `NotAccelerated` warning),
            and after `undo`.
    """

    def __init__(self, replacements: Iterable[Replacement]) -> None:
        self._replacements = list(replacements)
        self.active = bool(self._replacements)
        with _lock:
            for replacement in self._replacements:
                _replace(*replacement)

    def undo(self) -> None:
        """Put everything back, unless somebody else has accelerated it too. Calling it again does nothing."""
        with _lock:
            if self.active:
                self.active = False
                for owner, name, _ in self._replacements:
                    _put_back(owner, name)
                self._replacements.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<Acceleration {'active' if self.active else 'not active'}>"


def _replace(owner: Any, name: str, new: Any) -> None:
    attributes = _held.setdefault(owner, {})
    held = attributes.get(name)
    if held is None:
        held = attributes[name] = _Held(getattr(owner, name), new)
        setattr(owner, name, new)
    held.users += 1


def _put_back(owner: Any, name: str) -> None:
    held = _held[owner][name]
    held.users -= 1
    if held.users:
        return
    del _held[owner][name]
    if getattr(owner, name) is not held.new:
        warnings.warn(
            f"{owner!r}.{name} was replaced by somebody else after millstream; it stays as it is",
            NotAccelerated,
            stacklevel=4,
        )
    else:
        setattr(owner, name, held.old)
