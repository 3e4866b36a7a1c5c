"""What must not be written: keys that travel in headers, addresses and from environment variables."""

from __future__ import annotations

import re

import orjson

__all__ = ["Secrets"]

WORDS = re.compile(r"[\s;,=]+")

SHORTEST = 8
"""What is shorter is no secret, and looking for it would blacken ordinary words."""


class Secrets:
    """Values to be hidden, and a mask for a stream that may quote them.

    A secret is replaced by as many stars: lengths and chunks stay what they were. One that the chunks cut is found,
    because the end of what was fed is held back, as long as the longest secret. Cost: one search per chunk.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._held = bytearray()

    def add(self, value: str) -> None:
        """Hide this from now on, as it is and inside of JSON, and its words too: `Bearer KEY` is hidden as KEY."""
        words = [value, *WORDS.split(value)]
        for word in [*words, *(orjson.dumps(word).decode()[1:-1] for word in words)]:
            if len(word) >= SHORTEST:
                self._values.add(word)

    def hide(self, text: str) -> str:
        """Return the text with stars in the place of secrets."""
        for value in self._longest_first():
            text = text.replace(value, "*" * len(value))
        return text

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return what can be written."""
        self._held += data
        values = [value.encode() for value in self._longest_first()]
        if values:
            pattern = b"|".join(re.escape(value) for value in values)
            self._held[:] = re.sub(pattern, lambda found: b"*" * len(found[0]), self._held)
        longest = len(values[0]) if values else 1
        return self._release(max(0, len(self._held) - longest + 1))

    def close(self) -> bytes:
        """Return the rest."""
        return self._release(len(self._held))

    def _release(self, n: int) -> bytes:
        out = bytes(self._held[:n])
        del self._held[:n]
        return out

    def _longest_first(self) -> list[str]:
        return sorted(self._values, key=lambda value: len(value.encode()), reverse=True)
