"""A loopback TCP proxy that hurts what flows to the client: cut, reset, stall, drip, half-close, corrupt at byte n.

It works in threads with blocking sockets, so it is the same for asyncio, trio and Redis's blocking clients, and does
not share the event loop that it disturbs. Bytes are counted on the wire: 0 is the first byte of the HTTP head.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

__all__ = ["PASS", "Connection", "Hurt", "Proxy"]

Kind = Literal["pass", "cut", "reset", "stall", "drip", "half_close", "corrupt", "split"]


@dataclass(frozen=True)
class Hurt:
    """What happens once `at` bytes have gone to the client.

    cut: both sides are closed. reset: the client gets RST. stall: nothing more comes, the connection stays.
    drip: the rest comes byte by byte, with `pause` seconds between two. half_close: FIN to the client, which may still
    send. corrupt: the byte at `at` is inverted. split: a pause of `pause` seconds, so that two reads are needed.
    """

    kind: Kind = "pass"
    at: int = 0
    pause: float = 0.0


PASS = Hurt()


class Connection:
    """One connection through the proxy. Attributes: n_bytes: given to the client. left: set when the client is gone."""

    def __init__(self, client: socket.socket, server: socket.socket, hurt: Hurt) -> None:
        self.client, self.server, self.hurt = client, server, hurt
        self.n_bytes = 0
        self.left = threading.Event()
        self.reached = threading.Event()
        """The place where it hurts was reached."""
        self._over = threading.Event()
        self._resetting = False
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.threads = [threading.Thread(target=self._up), threading.Thread(target=self._down)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def _up(self) -> None:
        with suppress(OSError):
            while data := self.client.recv(65536):
                self.server.sendall(data)
        self.left.set()
        if not self._resetting:
            self.close()

    def _down(self) -> None:
        with suppress(OSError):
            while data := self.server.recv(65536):
                if self.hurt.kind == "pass" or self.n_bytes + len(data) < self.hurt.at:
                    self._send(data)
                elif not self._hurt(data):
                    return
        self.close()

    def _send(self, data: bytes) -> None:
        self.client.sendall(data)
        self.n_bytes += len(data)

    def _hurt(self, data: bytes) -> bool:
        """Do it, and return whether bytes go on flowing."""
        keep = max(0, self.hurt.at - self.n_bytes)
        if not self.reached.is_set():
            self._send(data[:keep])
            data = data[keep:]
            self.reached.set()
        match self.hurt.kind:
            case "cut":
                self.close()
            case "reset":
                self._resetting = (
                    True  # a close would wait for the other thread's `recv`, a full shutdown would send FIN
                )
                with suppress(OSError):
                    self.client.shutdown(socket.SHUT_RD)
                self.threads[0].join()
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.client.close()
                self.close()
            case "stall":
                self._over.wait()
            case "half_close":
                self.client.shutdown(socket.SHUT_WR)
                self._over.wait()
            case "drip":
                for i in range(len(data)):
                    if self.hurt.pause and self._over.wait(self.hurt.pause):
                        return False
                    self._send(data[i : i + 1])
                return True
            case "split" | "corrupt":
                if self.hurt.kind == "corrupt" and data:
                    data = bytes([data[0] ^ 0xFF]) + data[1:]
                self._over.wait(self.hurt.pause)
                self._send(data)
                self.hurt = PASS
                return True
            case other:
                raise AssertionError(other)
        return False

    def close(self) -> None:
        """End it: FIN to both sides. Idempotent."""
        self._over.set()
        for sock in (self.client, self.server):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                sock.close()


class Proxy:
    """Stands before `port`. The n-th connection is hurt as `hurts[n]` says, later ones as the last.

    Attributes: hurts: may be changed at any time. connections: all so far. port, url: where it listens.
    """

    def __init__(self, port: int, *hurts: Hurt) -> None:
        self.upstream = port
        self.hurts = hurts or (PASS,)
        self.connections: list[Connection] = []

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self.connections:
            connection.close()
            for thread in connection.threads:
                thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                hurt = self.hurts[min(len(self.connections), len(self.hurts) - 1)]
                try:
                    server = socket.create_connection(("127.0.0.1", self.upstream), 5)
                    server.settimeout(None)
                except OSError:  # nothing is there: the client sees what it would see without us, but later
                    client.close()
                    continue
                self.connections.append(Connection(client, server, hurt))
                self.connections[-1].start()

    def hurt(self, *hurts: Hurt) -> None:
        """From now on, count connections anew: the next one gets the first of these."""
        self.hurts = (*[PASS] * len(self.connections), *hurts)
