"""API keys: where they come from, and that nobody sees them.

A key is held by `Key`, whose repr shows nothing of it, and is read only where a request is signed. One that was found
in the environment is sent to its provider's own address only: who names another address names its key too.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import TypeAlias

from millstream.errors import AuthError, ProviderError, UnexpectedContentType

__all__ = ["Key", "KeyLike", "find_key"]

KeyLike: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key, or a function (sync or async) that gives the one to use now: called for each request."""

SHORTEST = 8
"""What is shorter is no secret, and looking for it would blacken ordinary words."""


class Key:
    """A secret.

    Args: source: the key, or what gives it. origin: where it comes from, for messages: never the key itself.
    """

    __slots__ = ("_last", "_source", "origin")

    def __init__(self, source: KeyLike, origin: str) -> None:
        self._source = source
        self._last = ""
        self.origin = origin

    def __repr__(self) -> str:
        return f"<key from {self.origin}>"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled: give the provider its key where it runs")

    async def reveal(self, provider: str) -> str:
        """Return the key, to be put into a header at once.

        Raises: AuthError: it is empty, or no header can carry it. Whatever the function raises.
        """
        self._last = (await self._ask()).strip()
        if not (self._last.isascii() and self._last.isprintable() and self._last):
            what = "has characters that no header can carry" if self._last else "is empty"
            raise AuthError(f"{provider}: the key from {self.origin} {what}", provider=provider)
        return self._last

    async def _ask(self) -> str:
        """In a frame of its own: what a traceback shows of the others holds no key."""
        if isinstance(self._source, str):
            return self._source
        found = self._source()
        return await found if isawaitable(found) else found

    def hide(self, text: str) -> str:
        """Return the text without the key: some servers quote it when they refuse it."""
        return text.replace(self._last, "[key]") if len(self._last) >= SHORTEST else text

    def hide_in(self, error: ProviderError | UnexpectedContentType) -> None:
        """Take the key out of what a provider, or whoever answers in its place, said."""
        if isinstance(error, ProviderError):
            error.code, error.request_id = self.hide(error.code), self.hide(error.request_id)
        if len(self._last) >= SHORTEST:
            error.body = error.body.replace(self._last.encode(), b"[key]")


def find_key(given: KeyLike | None, names: Sequence[str], *, sent_home: bool) -> Key | None:
    """Return the key to use, None if there is none.

    Args:
        given: the argument; "" says that there shall be none.
        names: of environment variables, the first that is set counts.
        sent_home: whether requests go to the provider's own address.
    """
    if given is not None:
        return Key(given, "the argument api_key") if given else None
    if sent_home:
        for name in names:
            if os.environ.get(name, "").strip():
                return Key(os.environ[name], f"the environment variable {name}")
    return None
