"""One connection to Redis, and the worker that sends through it what many tasks order.

A round trip carries all that was ordered while the last one was under way. The connection is closed on any trouble, and
a lane that is closed from outside gives up its round trip at once. Knows no streams and imports no redis: errors are
told apart by the names of their classes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
from anyio import CapacityLimiter, Event

from millstream.errors import LogError
from millstream.relay import _scripts as lua

__all__ = ["Connection", "Lane", "log_error"]

MAX_ORDERS = 256  # of one round trip
MAX_ORDER_BYTES = 1 << 20  # argument bytes after which a round trip takes no more orders

Command = tuple[Any, ...]

CLOSED = LogError("the log was closed", reason="connection")

# What the server says first, or the class that redis-py makes of it -> (reason, worth trying again).
REASONS = {
    "NOAUTH": ("auth", False),
    "WRONGPASS": ("auth", False),
    "NOPERM": ("auth", False),
    "AuthenticationError": ("auth", False),
    "AuthorizationError": ("auth", False),
    "AuthenticationWrongNumberOfArgsError": ("auth", False),
    "NoPermissionError": ("auth", False),
    "OOM": ("memory", True),
    "OutOfMemoryError": ("memory", True),
    "LOADING": ("loading", True),
    "BUSY": ("loading", True),
    "BusyLoadingError": ("loading", True),
    "READONLY": ("readonly", True),
    "MISCONF": ("readonly", True),  # it cannot save, and takes no writes until it can
    "ReadOnlyError": ("readonly", True),
    "MASTERDOWN": ("readonly", True),
    "MasterDownError": ("readonly", True),
    "CLUSTERDOWN": ("connection", True),
    "ClusterDownError": ("connection", True),
    "TRYAGAIN": ("connection", True),
    "TryAgainError": ("connection", True),
    "TimeoutError": ("timeout", True),
    "ConnectionError": ("connection", True),
    "OSError": ("connection", True),
}


def log_error(error: Exception) -> LogError:
    """Return our exception for one of redis-py. The text names no host and no key: those stay in `__cause__`."""
    text = str(error)  # of an error inside a script, older servers put the word in the middle: "... -OOM command"
    names = [text.partition(" ")[0], *re.findall(r"-([A-Z]+)\b", text), *(cls.__name__ for cls in type(error).__mro__)]
    reason, retryable = next((REASONS[name] for name in names if name in REASONS), ("refused", False))
    if "unauthenticated" in text:  # what Redis says of a command with many arguments
        reason, retryable = REASONS["NOAUTH"]
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
            self._wire.connect()  # if it is not
            if self._aborted:  # while it was connecting, when there was nothing to close yet
                raise ConnectionError("closed")
            self._wire.send_packed_command(self._wire.pack_commands(commands))
            answers = [self._answer() for _ in commands]
        except BaseException:
            self._wire.disconnect()  # an answer may still be under way: nobody must get it (S5)
            raise
        # A replica now, and the name may lead to the new master.
        if any(type(answer).__name__ == "ReadOnlyError" for answer in answers):
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
    """Commands that leave together, and their answers; LogError in place of an answer that is an error."""

    __slots__ = ("answers", "commands", "done")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.done = Event()
        self.answers: Sequence[Any] = ()

    def fail(self, error: LogError) -> None:
        again = LogError(error.message, reason=error.reason, retryable=error.retryable)
        again.__cause__ = error.__cause__
        self.answers = [again]
        self.done.set()


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
        order = self._order(commands)
        await order.done.wait()
        for answer in order.answers:
            if isinstance(answer, LogError):
                raise answer
        return order.answers

    def post(self, *command: Any) -> None:
        """Order a command and do not wait for it; errors are passed over."""
        self._order([command])

    def _order(self, commands: Sequence[Command]) -> _Order:
        order = _Order(commands)
        if self._closed:
            order.fail(CLOSED)
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
            n_bytes += sum(len(arg) for command in order.commands for arg in command if isinstance(arg, bytes))
            orders.append(order)
        return orders

    async def _carry_out(self, orders: list[_Order]) -> None:
        failure = CLOSED
        try:
            answers = await self._exchange([command for order in orders for command in order.commands])
            for order in orders:
                n = len(order.commands)
                order.answers, answers = answers[:n], answers[n:]
                order.done.set()
        except LogError as error:
            failure = error
        finally:
            for order in orders:
                if not order.done.is_set():
                    order.fail(failure)

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
            self._orders.popleft().fail(CLOSED)
