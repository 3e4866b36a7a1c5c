"""One connection to Redis, and the worker that sends through it what many tasks order.

A round trip carries all that was ordered while the last one was under way. The connection is closed on any trouble, and
a lane that is closed from outside gives up its round trip at once. Knows no streams and imports no redis: errors are
told apart by the names of their classes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
from anyio import CapacityLimiter, Event

from millstream.errors import LogError
from millstream.relay import _scripts as lua

__all__ = ["Connection", "Lane"]

MAX_ORDERS = 256  # of one round trip
MAX_ORDER_BYTES = 1 << 20  # argument bytes after which a round trip takes no more orders

Command = tuple[Any, ...]

# Class of redis-py -> (reason, worth trying again). The first that is found among the bases counts.
REASONS = {
    "BusyLoadingError": ("loading", True),
    "AuthenticationError": ("auth", False),
    "AuthenticationWrongNumberOfArgsError": ("auth", False),
    "NoPermissionError": ("auth", False),
    "AuthorizationError": ("auth", False),
    "ReadOnlyError": ("readonly", True),
    "MasterDownError": ("readonly", True),
    "ClusterDownError": ("connection", True),
    "TryAgainError": ("connection", True),
    "OutOfMemoryError": ("memory", True),
    "TimeoutError": ("timeout", True),
    "ConnectionError": ("connection", True),
    "OSError": ("connection", True),
}


def log_error(error: Exception) -> LogError:
    """Return our exception for one of redis-py. The text names no host and no key: those stay in `__cause__`."""
    text = str(error)
    reason, retryable = next(
        (REASONS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in REASONS), ("refused", False)
    )
    if text.startswith("OOM ") or "OOM command" in text:
        reason, retryable = "memory", True
    elif text.startswith(("BUSY ", "MISCONF ")):
        reason, retryable = ("loading" if text.startswith("BUSY ") else "readonly"), True
    ours = LogError(f"Redis: {reason} ({type(error).__name__})", reason=reason, retryable=retryable)
    ours.__cause__ = error
    return ours


class Connection:
    """A blocking connection of redis-py, or a cluster client; used by one thread at a time."""

    def __init__(self, wire: Any, *, cluster: bool = False) -> None:
        self._wire = wire
        self._aborted = False
        self.is_cluster = cluster

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their answers; an answer may be an exception of the server's. Blocks.

        Raises: what redis-py raises when the connection fails; it is closed then.
        """
        answers = self._exchange(commands)
        unknown = [i for i, answer in enumerate(answers) if type(answer).__name__ == "NoScriptError"]
        if unknown:  # the server is new, or was restarted
            again = [commands[i] for i in unknown]
            done = self._exchange([*(("SCRIPT", "LOAD", script) for script in lua.SCRIPTS), *again])
            for i, answer in zip(unknown, done[len(lua.SCRIPTS) :], strict=True):
                answers[i] = answer
        return answers

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        if self.is_cluster:
            return [self._one(command) for command in commands]
        try:
            self._wire.send_packed_command(self._wire.pack_commands(commands))
            answers = [self._answer() for _ in commands]
        except BaseException:
            self._wire.disconnect()  # an answer may still be under way: nobody must get it (S5)
            raise
        # Aborted while it was connecting; or a replica now, and the name may lead to the new master.
        if self._aborted or any(type(answer).__name__ == "ReadOnlyError" for answer in answers):
            self._wire.disconnect()
        return answers

    def _answer(self) -> Any:
        try:
            return self._wire.read_response()
        except Exception as error:
            if not any(cls.__name__ == "ResponseError" for cls in type(error).__mro__):
                raise
            return error

    def _one(self, command: Command) -> Any:
        try:
            if command[0] == "EVALSHA":  # which node has the script is not known
                script = next(script for script, sha in lua.sha.items() if sha == command[1])
                command = ("EVAL", script, *command[2:])
            return self._wire.execute_command(*command)
        except Exception as error:
            if not any(cls.__name__ == "ResponseError" for cls in type(error).__mro__):
                raise
            return error

    def abort(self) -> None:
        """Close it from another thread: whoever waits for an answer gets an error at once."""
        self._aborted = True
        if not self.is_cluster:
            self._wire.disconnect()


class _Order:
    __slots__ = ("answer", "command", "done")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.done = Event()
        self.answer: Any = None


class Lane:
    """Orders of many tasks, one connection, one worker.

    Args:
        connect: makes a connection that gives up after so many seconds.
        timeout: those seconds.
    """

    def __init__(self, connect: Callable[[float], Connection], timeout: float) -> None:
        self._connection = connect(timeout)
        self._orders: deque[_Order] = deque()
        self._ordered = Event()
        self._limiter: CapacityLimiter | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def is_cluster(self) -> bool:
        """Whether it leads to a cluster."""
        return self._connection.is_cluster

    async def call(self, *command: Any) -> Any:
        """Order a command and wait for its answer. If this is cancelled, the command may be done all the same.

        Raises: LogError.
        """
        order = self._order(command)
        await order.done.wait()
        if isinstance(order.answer, LogError):
            raise order.answer
        return order.answer

    def post(self, *command: Any) -> None:
        """Order a command and do not wait for it; errors are passed over."""
        self._order(command)

    def _order(self, command: Command) -> _Order:
        order = _Order(command)
        if self._closed:
            order.answer = LogError("the log was closed", reason="connection")
            order.done.set()
        else:
            self._orders.append(order)
            self._ordered.set()
        return order

    async def work(self) -> None:
        """Carry out orders until cancelled; those that are left then fail."""
        try:
            while True:
                if not self._orders:
                    self._ordered = Event()
                    await self._ordered.wait()
                await self._carry_out(self._next_orders())
        finally:
            self.close()

    def _next_orders(self) -> list[_Order]:
        orders: list[_Order] = []
        n_bytes = 0
        while self._orders and len(orders) < MAX_ORDERS and n_bytes < MAX_ORDER_BYTES:
            order = self._orders.popleft()
            n_bytes += sum(len(arg) for arg in order.command if isinstance(arg, bytes))
            orders.append(order)
        return orders

    async def _carry_out(self, orders: list[_Order]) -> None:
        answers: list[Any] = [LogError("the log was closed", reason="connection")] * len(orders)
        try:
            answers = await self._exchange([order.command for order in orders])
        except LogError as error:
            answers = [
                LogError(error.message, reason=error.reason, retryable=error.retryable).with_traceback(None)
                for _ in orders
            ]
            for answer in answers:
                answer.__cause__ = error.__cause__
        finally:
            for order, answer in zip(orders, answers, strict=True):
                order.answer = answer
                order.done.set()

    async def exchange(self, command: Command) -> Any:
        """Carry out one command, not in turn: for a lane without a worker.

        Raises: LogError.
        """
        (answer,) = await self._exchange([command])
        if isinstance(answer, LogError):
            raise answer
        return answer

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        if self._limiter is None:
            self._limiter = CapacityLimiter(1)  # its own thread: never one of the application's forty
        try:
            answers = await anyio.to_thread.run_sync(
                self._connection.exchange, commands, abandon_on_cancel=True, limiter=self._limiter
            )
        except Exception as error:
            raise log_error(error) from error
        return [log_error(answer) if isinstance(answer, Exception) else answer for answer in answers]

    def close(self) -> None:
        """Close the connection; what is under way or ordered fails."""
        if not self._closed:
            self._closed = True
            self._connection.abort()
        while self._orders:
            order = self._orders.popleft()
            order.answer = LogError("the log was closed", reason="connection")
            order.done.set()
