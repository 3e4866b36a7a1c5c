"""Where `tail` and `record` read from: an HTTP response, a file, standard input. Synchronous: Ctrl-C is felt at once.

Not known here: what the bytes mean. Redirects are not followed: the headers may hold a key.
"""

from __future__ import annotations

import os
import string
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

import orjson

from millstream.cli._failure import CommandError
from millstream.cli._secrets import Secrets
from millstream.errors import ConnectionFailed, StreamError, StreamTimeout
from millstream.limits import DEFAULT_LIMITS
from millstream.protocols import Decoder, provider_error

if TYPE_CHECKING:
    import httpx2

__all__ = ["Source", "open_source"]

CONNECT_SECONDS = 10.0
CHUNK_BYTES = 65536
FOLLOW_SECONDS = 0.1  # between two looks at the end of a file
WANTED = "text/event-stream, application/x-ndjson, application/json;q=0.9, */*;q=0.1"
NDJSON_TYPES = ("ndjson", "jsonl", "json-lines", "json-seq", "application/json")
SECRET_HEADERS = ("auth", "key", "token", "secret", "cookie", "password")
NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".json")


@dataclass(slots=True)
class Source:
    """An open stream of bytes.

    Attributes:
        name: for messages: an address without what may be secret in it, a path, or "standard input".
        path: of the address, "" for a file.
        status, content_type: of the response; 200 and "" for a file.
        request: what was posted, decoded if it is JSON, else None.
        method: of the request.
        chunks: the bytes as they come. Raises StreamError, with a remedy, if the connection fails.
    """

    name: str
    chunks: Iterator[bytes]
    path: str = ""
    status: int = 200
    content_type: str = ""
    request: Any = None
    method: str = "POST"

    def framing(self) -> str:
        """Say whether it is "sse" or "ndjson": by content type, by the file's name, or else by its first character."""
        essence = self.content_type.partition(";")[0].strip().lower()
        if essence == "text/event-stream" or self.name.endswith(".sse"):
            return "sse"
        if essence.endswith(NDJSON_TYPES) or self.name.endswith(NDJSON_SUFFIXES):
            return "ndjson"
        head = b""
        for chunk in self.chunks:
            head += chunk
            if seen := head.removeprefix(b"\xef\xbb\xbf").lstrip():
                self.chunks = chain([head], self.chunks)
                return "ndjson" if seen[0] in b"{[" else "sse"
        self.chunks = iter([head])
        return "sse"


@contextmanager
def open_source(args: Namespace, secrets: Secrets, decoder: Decoder | None = None) -> Iterator[Source]:
    """Open `args.source` and close it with the block.

    Args:
        args: with what `_add_request` adds.
        secrets: learns what the request holds.
        decoder: who will read it; a response that is not of its kind is refused.
    Raises: CommandError: no such file, wrong use. StreamError: no answer, or one that is no stream; without secrets.
    """
    name = args.source
    if name.startswith(("http://", "https://")):
        with _respond(args, secrets, decoder) as source:
            yield source
        return
    if args.data is not None or args.header or args.method or args.idle_timeout:
        raise CommandError(f"{name!r} is no address: --data, --header, --method and --idle-timeout are for those", 2)
    if name == "-":
        yield Source("standard input", _read(sys.stdin.fileno(), follow=False))
        return
    try:
        file = open(name, "rb", buffering=0)  # noqa: SIM115  (closed below: opening alone may fail so)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise CommandError(f"cannot read {name!r}: {said}; give {_KINDS}", 2) from None
    with file:
        yield Source(name, _read(file.fileno(), follow=getattr(args, "follow", False)))


_KINDS = "an address that begins with http:// or https://, a file, or -"


def _read(fd: int, *, follow: bool) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(fd, CHUNK_BYTES)
        except OSError as error:
            raise CommandError(f"cannot read: {error.strerror}") from None
        if data:
            yield data
        elif follow:
            time.sleep(FOLLOW_SECONDS)
        else:
            return


@contextmanager
def _respond(args: Namespace, secrets: Secrets, decoder: Decoder | None) -> Iterator[Source]:
    import httpx2

    from millstream.streams.sources._coding import measured, refuse_unreadable

    body = _body(args.data)
    url = urlsplit(args.source)
    for secret in (url.password or "", *(pair.partition("=")[2] for pair in url.query.split("&"))):
        secrets.add(secret)
        secrets.add(unquote_plus(secret))
    host = url.netloc.rpartition("@")[2]
    name = f"{url.scheme}://{host}{url.path}"
    headers = {"accept": WANTED, "accept-encoding": "identity", **_headers(args.header, secrets)}
    if body is not None:
        headers.setdefault("content-type", "application/json")
    method = (args.method or ("GET" if body is None else "POST")).upper()
    timeout = httpx2.Timeout(args.idle_timeout, connect=CONNECT_SECONDS)
    try:
        with (
            httpx2.Client(timeout=timeout) as client,
            client.stream(method, args.source, headers=headers, content=body) as response,
        ):
            _check(response, host, decoder)
            refuse_unreadable(response, decoder.provider if decoder else host)
            request = None
            with suppress(orjson.JSONDecodeError):
                request = orjson.loads(body or b"null")
            content_type = response.headers.get("content-type", "")
            chunks = measured(response, _chunks(response, name, args.idle_timeout), DEFAULT_LIMITS)
            yield Source(name, chunks, url.path or "/", response.status_code, content_type, request, method)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _explain(error, name, args.idle_timeout) from None
    except StreamError as error:  # some servers quote the key that they refuse
        error.args = (secrets.hide(error.message), *error.args[1:])
        raise


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    try:
        return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read --data {data}: {error.strerror}", 2) from None


def _headers(given: list[str], secrets: Secrets) -> dict[str, str]:
    found = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise CommandError("--header wants 'NAME: VALUE', with a colon", 2)
        try:
            value = string.Template(value.strip()).substitute(os.environ)
        except KeyError as error:
            raise CommandError(f"the environment variable {error.args[0]} of --header {name} is not set", 2) from None
        except ValueError:
            raise CommandError(f"--header {name}: write $NAME for an environment variable, $$ for a $", 2) from None
        if not (value.isascii() and value.isprintable()):
            raise CommandError(f"--header {name} has characters that no header can carry", 2)
        name = name.strip().lower()
        found[name] = value
        if "$" in header or any(word in name for word in SECRET_HEADERS):
            secrets.add(value)
    return found


def _check(response: httpx2.Response, host: str, decoder: Decoder | None) -> None:
    """Raises: StreamError: it failed, or is not what the decoder reads."""
    from millstream.streams.sources.response import accepts, refusal

    if response.is_redirect:
        raise CommandError(f"{host} answers {response.status_code}: give the address that it redirects to")
    if response.is_success and (decoder is None or accepts(response, decoder)):
        return
    head = bytearray()
    with suppress(Exception):  # whatever goes wrong here: the status says more
        for chunk in response.iter_bytes():
            head += chunk
            if len(head) >= DEFAULT_LIMITS.max_error_body_bytes:
                break
    if decoder is not None:
        raise refusal(response, decoder, bytes(head))
    payload = None
    with suppress(orjson.JSONDecodeError):
        payload = orjson.loads(head)
    raise provider_error(payload, provider=host, status=response.status_code, body=bytes(head))


def _chunks(response: httpx2.Response, name: str, idle_timeout: float | None) -> Iterator[bytes]:
    import httpx2

    try:
        yield from response.iter_bytes()
    except httpx2.HTTPError as error:
        raise _explain(error, name, idle_timeout) from None


def _explain(error: Exception, name: str, idle_timeout: float | None) -> StreamError | CommandError:
    """The client's own text is not told: it may quote the address, with what is secret in it."""
    import httpx2

    said = type(error).__name__
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return CommandError(f"{name}: this cannot be sent ({said}): look at the address and the headers", 2)
    if isinstance(error, httpx2.ReadTimeout):
        return StreamTimeout(f"{name}: nothing came for {idle_timeout:g} s (--idle-timeout)")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return ConnectionFailed(f"{name}: no connection ({said}): is the address right, and is the server running?")
    return ConnectionFailed(f"{name}: the connection broke off ({said}) before the end")
