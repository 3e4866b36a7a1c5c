"""A server that is a socket and nothing else: what a test calls `play` does is done to the connection, byte by byte.

`GET /echo/TOKEN` answers with the token, on the same connection if the client keeps it: so a test sees whether an
answer reaches the wrong request.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Bare", "Peer", "answer", "chunked"]

Play = Callable[["Peer"], None]


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A response whose length is said."""
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*pieces: bytes, headers: str = "", end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n".encode() + body + end


class Peer:
    """One connection, seen from the server.

    Attributes: head: of the last request; n_requests: so far. gone: set when the client has closed, or this side has.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.gone = threading.Event()
        self.head = b""
        self.n_requests = 0
        self.ended = False
        self._seen = b""

    def read(self, n: int = 65536) -> bytes:
        data, self._seen = self._seen, b""
        return data or self.sock.recv(n)

    def read_head(self) -> bool:
        """Read up to the end of the next head. False: the client has closed."""
        while b"\r\n\r\n" not in self._seen:
            data = self.sock.recv(65536)
            if not data:
                return False
            self._seen += data
        self.head, _, self._seen = self._seen.partition(b"\r\n\r\n")
        self.n_requests += 1
        return True

    def read_body(self) -> bytes:
        """Read the body as it is on the wire: by its length, or up to the last chunk."""
        found = b""
        head = self.head.lower()
        if b"content-length: " in head:
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(found) < length:
                found += self.read()
        elif b"transfer-encoding: chunked" in head:
            while not found.endswith(b"0\r\n\r\n"):
                found += self.read()
        return found

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_in_pieces(self, data: bytes, size: int = 1) -> None:
        for at in range(0, len(data), size):
            self.send(data[at : at + size])

    def hold(self) -> None:
        """Wait until the client goes."""
        with suppress(OSError):
            while self.sock.recv(65536):
                pass
        self.ended = True
        self.gone.set()

    def close(self) -> None:
        self.ended = True

    def reset(self) -> None:
        """Close so that the other side gets an error instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.ended = True


class Bare:
    """Attributes: url, port; peers: connections so far; play: what is done with a request that is no echo."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.peers: list[Peer] = []
        self.play: Play = Peer.hold
        self._context = context
        self._greeting: list[socket.socket] = []

    def __enter__(self) -> Bare:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in [*self._greeting, *(peer.sock for peer in self.peers)]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)

    def plays(self, data: bytes, then: Play | None = None) -> None:
        """Answer with these bytes, and then do this, or go on."""

        def play(peer: Peer) -> None:
            peer.read_body()
            peer.send(data)
            if then is not None:
                then(peer)

        self.play = play

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock: Any = self._listener.accept()[0]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._serve, args=[sock])
                thread.start()
                self._threads.append(thread)

    def _serve(self, sock: Any) -> None:
        with suppress(OSError, ValueError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._greeting.append(sock)
                try:
                    sock.do_handshake()
                except (OSError, ssl.SSLError):
                    sock.close()
                    return
            peer = Peer(sock)
            self.peers.append(peer)
            try:
                while not peer.ended and peer.read_head():
                    path = peer.head.split(b" ")[1]
                    if path.startswith(b"/echo/"):
                        peer.read_body()
                        peer.send(answer(path.removeprefix(b"/echo/")))
                    else:
                        self.play(peer)
            finally:
                sock.close()
                peer.gone.set()  # not before: who waits for it may rely on the end, or the reset, having been sent
