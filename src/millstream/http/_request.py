"""An httpx2 request -> the bytes of its head, checked. Source: RFC 9110 5.5 and 5.6.2, RFC 9112 3.2."""

from __future__ import annotations

import re

import httpx2

__all__ = ["Head", "is_replayable", "write_head"]

TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
TARGET = re.compile(rb"[\x21-\x7e]+")
IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])


class Head:
    """The head of a request. Nobody sees the keys in it who prints a traceback with the variables of its frames.

    Attributes: data: the bytes. length: of the body; None: it is sent in chunks.
    """

    __slots__ = ("data", "length")

    def __init__(self, data: bytes, length: int | None) -> None:
        self.data = data
        self.length = length


def write_head(request: httpx2.Request) -> Head:
    """Return the head of a request.

    Raises: LocalProtocolError: a header or the target would change what the request means. Values are not shown.
    """
    head = _write(request)
    if isinstance(head, str):
        raise httpx2.LocalProtocolError(head)
    return head


def _write(request: httpx2.Request) -> Head | str:
    """Return the head, or what is wrong: nothing is raised here, where values are in variables."""
    method, target = request.method.encode("ascii", "replace"), request.url.raw_path
    if not TOKEN.fullmatch(method) or not TARGET.fullmatch(target):
        return "the method or the target of the request has characters that HTTP forbids"
    lines = [method + b" " + target + b" HTTP/1.1"]
    hosts = 0
    length: int | None = 0
    framings = set()
    for name, value in request.headers.raw:
        if not TOKEN.fullmatch(name):
            return "illegal header name"
        if not VALUE.fullmatch(value):
            return f"illegal value of the header {name.decode()!r}"
        line = name + b": " + value
        match name.lower():
            case b"host":
                hosts += 1
                lines.insert(1, line)
                continue
            case b"content-length":
                if not value.isdigit():
                    return "illegal content-length"
                length = int(value)
                framings.add(b"%d" % length)
            case b"transfer-encoding":
                if value.lower() != b"chunked":
                    return "only the transfer coding chunked can be sent"
                length = None
                framings.add(b"chunked")
        lines.append(line)
    if hosts != 1 or len(framings) > 1:
        return "a request has one host and one way to say how long its body is"
    lines += [b"", b""]
    return Head(b"\r\n".join(lines), length)


def is_replayable(request: httpx2.Request) -> bool:
    """Whether sending it twice does no harm: its body can be read again, and its method may be repeated."""
    again = isinstance(request.stream, httpx2.ByteStream)
    return again and (request.method in IDEMPOTENT or "idempotency-key" in request.headers)
