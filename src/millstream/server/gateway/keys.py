"""Who may use the gateway: bearer keys, of which only SHA-256 hashes are kept.

The hash of a key is its owner's name too, so streams belong to a key wherever they are produced. A key is random text,
not a password: a fast hash is enough for what cannot be guessed, which is why short ones are refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from millstream.errors import UsageError

__all__ = ["MIN_KEY_CHARS", "Keys"]

MIN_KEY_CHARS = 16
OWNER_DIGITS = 32

_hash = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


class Keys:
    """A set of keys.

    Args: keys: each is a key of at least 16 characters, or "sha256:" and the hexadecimal hash of one.
    Raises: UsageError: none at all, or one that is too short. The message does not show it.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = sorted({_hashed(key.strip(), at) for at, key in enumerate(keys, 1)})
        if not self._hashes:
            raise UsageError("there is no key: give at least one")

    def __repr__(self) -> str:
        return f"<Keys: {len(self._hashes)}>"

    def owner(self, authorization: str) -> str | None:
        """Return whose request this is, None if it is nobody's.

        Args: authorization: the header.
        Cost: one hash, and a comparison with every key whether or not one matched.
        """
        scheme, _, given = authorization.partition(" ")
        digest = sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for known in self._hashes:
            if hmac.compare_digest(known, digest):
                found = known
        if found is None or scheme.lower() != "bearer":
            return None
        return found.hex()[:OWNER_DIGITS]


def _hashed(key: str, at: int) -> bytes:
    match = _hash.fullmatch(key)
    if match is not None:
        return bytes.fromhex(match[1])
    if len(key) < MIN_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"key {at} will not do: at least {MIN_KEY_CHARS} visible ASCII characters, or sha256:HASH")
    return sha256(key.encode()).digest()
