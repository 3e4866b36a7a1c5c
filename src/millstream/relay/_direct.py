"""Exchanges with Redis from the event loop itself: no thread is woken, which costs more than all the rest.

For asyncio, over a socket of redis-py that has no TLS; everything else takes the thread of `_lane.py`. redis-py
connects (in a thread, as that blocks), authenticates, asks Sentinel, and packs; here the bytes are sent as the socket
allows, and hiredis takes the answers apart. One exchange at a time; on any trouble the connection is closed, so that
nobody reads another's answer (S5). Cost: 10 us of CPU for an exchange besides the system calls, and one timer for all.
"""

from __future__ import annotations

import sys
from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from threading import Thread
from typing import Any

from millstream.relay._connection import Command, Connection, Unsendable, is_of_a_replica, repeated, to_repeat

__all__ = ["Direct", "is_possible"]

CHUNK = 64 * 1024


def is_possible() -> bool:
    """Whether there is what it needs."""
    return sys.platform != "win32" and find_spec("hiredis") is not None


def reader() -> Any:
    import hiredis

    return hiredis.Reader(protocolError=ConnectionError)


class Direct:
    """Carries out one exchange after the other. Belongs to one event loop.

    Args:
        connection: used by nobody else.
        timeout: seconds for the answers.
        answered: gets the answers of each exchange, some of which may be errors, or what went wrong.
    Attributes: soon: has a function called in the next turn of the event loop.
    """

    def __init__(
        self, connection: Connection, timeout: float, answered: Callable[[list[Any] | Exception], None]
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._answered = answered
        self._loop = get_running_loop()
        self.soon: Callable[[Callable[[], None]], object] = self._loop.call_soon
        self._sock: Any = None
        self._replies: Any = None
        self._commands: Sequence[Command] = ()
        self._answers: list[Any] = []
        self._before: list[Any] | None = None  # the answers of an exchange of which a part is repeated
        self._missing = 0  # answers
        self._rest = b""  # not sent yet
        self._deadline = 0.0
        self._timer: TimerHandle | None = None
        self._closed = False

    def exchange(self, commands: Sequence[Command]) -> None:
        """Send commands. Not to be called again before they are answered."""
        self._commands = commands
        if self._sock is None:
            Thread(target=self._connect, name="millstream.relay.connect", daemon=True).start()
        else:
            self._send(commands)

    def _connect(self) -> None:
        failure: Exception | None = None
        try:
            self._connection.connect()
        except Exception as error:
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._connected, failure)
        except RuntimeError:  # the event loop has ended without a word
            self._connection.abort()

    def _connected(self, failure: Exception | None) -> None:
        if self._closed:
            self._connection.abort()
        elif failure is not None:
            self._fail(failure)
        else:
            self._sock = self._connection.socket
            self._sock.setblocking(False)
            self._replies = reader()
            self._loop.add_reader(self._sock, self._readable)
            self._send(self._commands)

    def _send(self, commands: Sequence[Command]) -> None:
        try:
            self._rest = self._connection.packed(commands)
        except Unsendable as error:
            self._answered(error)
            return
        self._missing = len(commands)
        self._deadline = self._loop.time() + self._timeout
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._ring)
        self._write()
        if self._rest and self._sock is not None:
            self._loop.add_writer(self._sock, self._writable)

    def _write(self) -> None:
        try:
            self._rest = self._rest[self._sock.send(self._rest) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(error)

    def _writable(self) -> None:
        self._write()
        if not self._rest and self._sock is not None:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
            if not data:
                raise ConnectionError("the server has closed the connection")
            self._replies.feed(data)
            while (answer := self._replies.gets()) is not False:
                self._answers.append(answer)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if len(self._answers) > self._missing:
            self._fail(ConnectionError("the server has said something that nobody asked for"))
        elif len(self._answers) == self._missing and not self._rest:
            self._complete()

    def _complete(self) -> None:
        answers, self._answers, self._missing = self._answers, [], 0
        if self._before is not None:
            repeated(self._before, answers)
            answers, self._before = self._before, None
        else:
            again = to_repeat(self._commands, answers)
            if again:
                self._before = answers
                self._send(again)
                return
        if is_of_a_replica(answers):
            self._disconnect()
        self._answered(answers)

    def _ring(self) -> None:
        self._timer = None
        if self._missing and self._loop.time() >= self._deadline:
            self._fail(TimeoutError("Redis has not answered in time"))
        elif self._missing:
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def _fail(self, error: Exception) -> None:
        waited = self._missing > 0 or self._sock is None
        self._disconnect()
        if waited:  # else it was at rest: it is connected again when it is needed
            self._answered(error)

    def _disconnect(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        self._answers, self._before, self._missing, self._rest = [], None, 0, b""
        self._connection.disconnect()

    def close(self) -> None:
        """Give up what is under way, without a word, and disconnect."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._disconnect()
