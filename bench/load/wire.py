"""The bytes of an event, and how to know whose it is.

An event is EVENT_BYTES long, as OpenAI sends them, each in an HTTP chunk of its own. Its text has TEXT_BYTES: a number,
a time, or a canary: five characters that say which stream it belongs to and seven that count.
"""

from __future__ import annotations

import hashlib

__all__ = ["CHUNK_BYTES", "END", "EVENT_BYTES", "HEAD", "Canary", "canary", "event", "write_of"]

EVENT_BYTES = 164
TEXT_BYTES = 12
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_BEGIN = (
    b'data: {"id":"chatcmpl-9aX","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"delta":{"content":"'
)
_END = b'"}}]}\n\n'
_CHUNK_HEAD = b"%x\r\n" % EVENT_BYTES
_LAST = b"data: [DONE]\n\n"
CHUNK_BYTES = len(_CHUNK_HEAD) + EVENT_BYTES + 2
END = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_LAST), _LAST)


def event(text: bytes) -> bytes:
    """An event in its HTTP chunk. Args: text: TEXT_BYTES of it."""
    return _CHUNK_HEAD + _BEGIN + text + _END + b"\r\n"


_ONE = event(b"%b")


def write_of(texts: tuple[bytes, ...]) -> bytes:
    """Several events, as they are written at once."""
    return (_ONE * len(texts)) % texts


def canary(stream: int, n: int) -> str:
    """The text of event `n` of a stream."""
    return f"{stream:05x}{n:07d}"


class Canary:
    """Checks the texts of one stream, sent or received: none lost, doubled, swapped or foreign."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.n = 0
        self._hash = hashlib.sha256()

    def texts(self, n: int) -> tuple[bytes, ...]:
        """Make the next `n` texts."""
        begin = b"%05x" % self.stream
        made = tuple([b"%b%07d" % (begin, i) for i in range(self.n, self.n + n)])
        self.n += n
        self._hash.update(b"".join(made))
        return made

    def took(self, texts: list[str]) -> None:
        """Take texts that arrived. Raises AssertionError: the first or the last is not the one that is due."""
        first, self.n = self.n, self.n + len(texts)
        if texts[0] != canary(self.stream, first) or texts[-1] != canary(self.stream, self.n - 1):
            raise AssertionError(f"stream {self.stream}: event {first} to {self.n - 1} came as {texts[0]}, {texts[-1]}")
        self._hash.update("".join(texts).encode())

    def digest(self) -> str:
        """Of all texts so far."""
        return self._hash.hexdigest()
