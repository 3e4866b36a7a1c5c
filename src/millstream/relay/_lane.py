"""One connection to Redis, and what sends through it what many tasks order: the event loop itself, or a thread.

A round trip carries all that was ordered while the last one was under way. The connection is closed on any trouble, and
a lane that is closed gives up its round trip at once. Knows no streams. The event loop does it on asyncio, over a
socket without TLS (`_direct.py`); elsewhere a thread, at 50 to 80 us of CPU to wake it and to be woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import getpid
from queue import SimpleQueue
from threading import Thread
from typing import Any

from anyio import Event

from millstream.errors import LogError
from millstream.relay._connection import Command, Connection, Unsendable, log_error
from millstream.relay._direct import Direct, is_possible
from millstream.streams._handoff import Signal
from millstream.streams._interrupt import soon_from_threads, task_finder

__all__ = ["Lane"]

MAX_ORDERS = 256  # of one round trip
MAX_ORDER_BYTES = 1 << 20  # argument bytes after which a round trip takes no more orders

CLOSED = LogError("the log was closed", reason="connection")
FORKED = LogError("this log belongs to the process that this one was forked from: open one here", reason="connection")


class _Order:
    """Commands that leave together, and their answers; LogError in place of an answer that is an error."""

    __slots__ = ("answers", "commands", "done")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.done = Signal()
        self.answers: Sequence[Any] | None = None

    async def wait(self) -> Sequence[Any]:
        while self.answers is None:
            await self.done.wait()
        return self.answers

    def answer(self, answers: Sequence[Any]) -> None:
        self.answers = answers
        self.done.set()

    def fail(self, error: LogError) -> None:
        again = LogError(error.message, reason=error.reason, retryable=error.retryable)
        again.__cause__ = error.__cause__
        self.answer([again])

    def n_bytes(self) -> int:
        return sum(len(arg) for command in self.commands for arg in command if isinstance(arg, bytes))


class Lane:
    """Orders of many tasks, one connection. Belongs to one event loop.

    Args:
        connect: makes a connection that gives up after so many seconds.
        timeout: those seconds.
    """

    def __init__(self, connect: Callable[[float], Connection], timeout: float) -> None:
        self._connection = connect(timeout)
        self._timeout = timeout
        self._open: dict[_Order, None] = {}  # not answered yet
        self._carrier: _InLoop | _InThread | None = None
        self._process = 0
        self._closed = False

    @property
    def is_cluster(self) -> bool:
        """Whether it leads to a cluster."""
        return self._connection.is_cluster

    async def call(self, *command: Any) -> Any:
        """Order a command and wait for its answer. If this is cancelled, the command may be done all the same.

        Raises: LogError.
        """
        return (await self.transact(command))[-1]

    async def transact(self, *commands: Command) -> Sequence[Any]:
        """Order commands with nothing between them, MULTI and EXEC included if they are to be atomic.

        Raises: LogError: the first one among the answers.
        """
        answers = await self._order(commands).wait()
        for answer in answers:
            if isinstance(answer, LogError):
                raise answer
        return answers

    def post(self, *command: Any) -> None:
        """Order a command and do not wait for it; errors are passed over."""
        self._order([command])

    def _order(self, commands: Sequence[Command]) -> _Order:
        order = _Order(commands)
        if self._closed:
            order.fail(CLOSED)
            return order
        if self._carrier is None:
            in_loop = self._connection.is_plain and task_finder() is not None and is_possible()
            self._carrier = (_InLoop if in_loop else _InThread)(self._connection, self._timeout, self._answered)
            self._process = getpid()
        elif getpid() != self._process:  # which still has the connection; threads do not come along
            order.fail(FORKED)
            return order
        self._open[order] = None
        self._carrier.put(order)
        return order

    def _answered(self, orders: list[_Order], answers: list[Any] | Exception) -> None:
        failure = None
        if isinstance(answers, Exception):
            failure, answers = log_error(answers), []
        for order in orders:
            if order not in self._open:  # the lane was closed meanwhile
                continue
            del self._open[order]
            if failure is not None:
                order.fail(failure)
            else:
                n = len(order.commands)
                order.answer([log_error(one) if isinstance(one, Exception) else one for one in answers[:n]])
                del answers[:n]

    def close(self) -> None:
        """Close the connection; what is under way or ordered fails."""
        if not self._closed:
            self._closed = True
            if self._carrier is not None:
                self._carrier.close()
            self._connection.abort()
        orders, self._open = self._open, {}
        for order in orders:
            order.fail(CLOSED)

    async def ended(self) -> None:
        """Wait until nothing of a lane that was closed is under way any more."""
        if isinstance(self._carrier, _InThread):
            await self._carrier.ended()


Answered = Callable[[list[_Order], "list[Any] | Exception"], None]


class _InLoop:
    """Carries orders out from the event loop."""

    def __init__(self, connection: Connection, timeout: float, answered: Answered) -> None:
        self._direct = Direct(connection, timeout, self._done)
        self._answered = answered
        self._waiting: deque[_Order] = deque()
        self._batch: list[_Order] = []
        self._is_busy = False
        self._n_alone = 0  # how many of those that wait leave one by one, as one of them cannot be sent

    def put(self, order: _Order) -> None:
        self._waiting.append(order)
        if not self._is_busy:
            self._is_busy = True
            self._direct.soon(self._next)  # with what other tasks order in the same turn of the event loop

    def _next(self) -> None:
        if not self._waiting:  # closed meanwhile
            return
        n_bytes = 0
        n_orders = 1 if self._n_alone else MAX_ORDERS
        self._n_alone = max(0, self._n_alone - 1)
        while self._waiting and len(self._batch) < n_orders and n_bytes < MAX_ORDER_BYTES:
            self._batch.append(self._waiting.popleft())
            n_bytes += self._batch[-1].n_bytes() if self._waiting else 0
        self._direct.exchange([command for order in self._batch for command in order.commands])

    def _done(self, answers: list[Any] | Exception) -> None:
        batch, self._batch = self._batch, []
        try:
            if isinstance(answers, Unsendable) and len(batch) > 1:
                self._waiting.extendleft(reversed(batch))
                self._n_alone = len(batch)
            else:
                self._answered(batch, answers)
        except BaseException:  # a KeyboardInterrupt: those that were not told yet still wait, and so do the next ones
            self._answered(batch, ConnectionError("interrupted"))
            raise
        finally:
            self._is_busy = bool(self._waiting)
            if self._is_busy:
                self._direct.soon(self._next)

    def close(self) -> None:
        self._waiting.clear()
        self._direct.close()


class _InThread:
    """Carries orders out in a thread, which is a daemon: it may be connecting to a host that does not answer."""

    def __init__(self, connection: Connection, timeout: float, answered: Answered) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._over = Event()
        args = self._orders, connection, soon_from_threads(), answered, self._over.set
        Thread(target=_work, args=args, name="millstream.relay.redis", daemon=True).start()

    def put(self, order: _Order) -> None:
        self._orders.put(order)

    def close(self) -> None:
        self._orders.put(None)

    async def ended(self) -> None:
        await self._over.wait()


def _work(
    orders: SimpleQueue[_Order | None],
    connection: Connection,
    soon: Callable[..., object],
    answered: Answered,
    over: Callable[[], None],
) -> None:
    """What the thread does, until None is ordered."""
    with suppress(RuntimeError):  # the event loop has ended without a word
        while batch := _batch(orders):
            answers = _answers(connection, batch)
            if isinstance(answers, Unsendable) and len(batch) > 1:  # who else is in it need not know
                for order in batch:
                    soon(answered, [order], _answers(connection, [order]))
            else:
                soon(answered, batch, answers)
        soon(over)


def _answers(connection: Connection, batch: list[_Order]) -> list[Any] | Exception:
    try:
        return connection.exchange([command for order in batch for command in order.commands])
    except Exception as error:
        return error


def _batch(orders: SimpleQueue[_Order | None]) -> list[_Order]:
    """Return what is ordered, as soon as there is anything; [] at the end."""
    order = orders.get()
    batch: list[_Order] = []
    n_bytes = 0
    while order is not None:
        batch.append(order)
        if orders.empty() or len(batch) == MAX_ORDERS:
            return batch
        n_bytes += order.n_bytes()
        if n_bytes >= MAX_ORDER_BYTES:
            return batch
        order = orders.get()
    if batch:
        orders.put(None)  # for the next time
    return batch
