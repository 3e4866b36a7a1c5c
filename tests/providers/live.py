"""Real servers on loopback ports, in threads of their own: asyncio, trio and the SDKs' blocking clients all reach them.

`serving(app)` runs uvicorn; `Front` stands before a `ReplayApp`, notes what was asked and refuses a wrong key.
`Scripted` is a bare socket: it answers with the bytes that a test gives, counts them, and sees when the client leaves.
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from millstream.server.replay import Recording, ReplayApp

KEY = "sk-a-key-that-nobody-may-see"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application while the block runs; gives its URL."""
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            yield "http://{}:{}".format(*sock.getsockname())
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Asked:
    """One request that arrived."""

    path: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Front:
    """Before a `ReplayApp`.

    Attributes:
        allow: whether a request may pass, else it gets 401.
        asked: all requests.
    """

    app: Any
    allow: Callable[[Asked], bool] = lambda asked: True
    asked: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        raw = scope["raw_path"].decode()
        asked = Asked(scope["path"], raw, scope["query_string"].decode(), headers, body)
        self.asked.append(asked)
        if self.allow(asked):
            whole = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Any:
                return whole.pop() if whole else await receive()

            await self.app(scope, again, send)
        else:
            answer = orjson.dumps({"error": {"message": "no such key", "type": "authentication_error"}})
            start = {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
            await send(start)
            await send({"type": "http.response.body", "body": answer})


def replay(endpoint: str, body: bytes, content_type: str = "text/event-stream", cut: int = 333) -> ReplayApp:
    """The replay server with one recording at one path, in pieces of `cut` bytes."""
    info = {"file": "it.sse", "endpoint": endpoint, "content_type": content_type}
    chunks = tuple((0.0, body[at : at + cut]) for at in range(0, len(body), cut))
    return ReplayApp({"it": Recording("it", info, 0.0, chunks)}, speed=math.inf)


def capture(shared: Path, file: str) -> tuple[bytes, Mapping[str, Any]]:
    """A capture of the corpus and its truth."""
    path = shared / "corpus" / file
    return path.read_bytes(), orjson.loads(path.with_name(path.name + ".truth.json").read_bytes())


# --- a bare socket ---------------------------------------------------------------------------------------------------


def head(
    status: str = "200 OK", content_type: str = "text/event-stream", more: str = "", length: int | None = None
) -> bytes:
    """The head of an HTTP response; without `length` the body is chunked."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{framing}\r\n{more}\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(status: str, body: bytes, content_type: str = "application/json", more: str = "") -> bytes:
    return head(status, content_type, more, len(body)) + body


class Scripted:
    """Answers the n-th request with `answers[n]`, the last one again and again.

    An answer is bytes, or a function that gets the `Connection`. Attributes: asked: requests as (head, body);
    connections: all that were opened; reached: an answer has said that it is where the test wants it.
    """

    def __init__(self, *answers: bytes | Callable[[Connection], None]) -> None:
        self.reached = threading.Event()
        self.answers = answers
        self.asked: list[tuple[str, bytes]] = []
        self.connections: list[Connection] = []

    def __enter__(self) -> Scripted:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://{}:{}".format(*self._socket.getsockname())
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self.connections:
            connection.hang_up()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = Connection(self._socket.accept()[0], self.reached)
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=[connection])
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError, ValueError):  # the client, or the test, has closed it
            while (request := connection.read_request()) is not None:
                self.asked.append(request)
                answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
                if isinstance(answer, bytes):
                    connection.send(answer)
                else:
                    answer(connection)
        connection.left.set()
        connection.hang_up()


class Connection:
    """One connection to `Scripted`. Attributes: sent: bytes so far. left: set when it has ended."""

    def __init__(self, sock: socket.socket, reached: threading.Event) -> None:
        self.reached = reached
        self._sock = sock
        self._file = sock.makefile("rb")
        self.sent = 0
        self.left = threading.Event()

    def read_request(self) -> tuple[str, bytes] | None:
        lines = list(iter(self._file.readline, b"\r\n")) if self._file.peek(1) else []
        if not lines:
            return None
        text = b"".join(lines).decode()
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        return text, self._file.read(length)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)
        self.sent += len(data)

    def send_until_left(self, piece: bytes, seconds: float = 0.01) -> None:
        """Send a piece again and again, until the client goes."""
        self._sock.settimeout(seconds)
        while True:
            self.send(piece)
            self.reached.set()
            with suppress(TimeoutError):
                if not self._sock.recv(1):
                    return

    def hold(self) -> None:
        """Send nothing more, until the client goes."""
        self.reached.set()
        self._sock.recv(1)

    def hang_up(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._file.close()
            self._sock.close()
