"""A blocking connection of redis-py, or a cluster client, and what its errors mean to us. Imports no redis: errors are
told apart by the names of their classes and by the server's words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from millstream.errors import LogError
from millstream.relay import _scripts as lua

__all__ = ["Command", "Connection", "Unsendable", "log_error"]

Command = tuple[Any, ...]

LOADS: list[Command] = [("SCRIPT", "LOAD", script) for script in lua.SCRIPTS]

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
    "ClusterError": ("connection", True),  # too many redirections
    "RedisClusterException": ("connection", True),  # no node answers, or nobody has the slot yet
    "TRYAGAIN": ("connection", True),
    "TryAgainError": ("connection", True),
    "TimeoutError": ("timeout", True),
    "ConnectionError": ("connection", True),
    "OSError": ("connection", True),
}


class Unsendable(Exception):
    """A command has an argument that Redis cannot be sent, its `__cause__` says which; nothing was sent."""


def log_error(error: Exception) -> LogError:
    """Return our exception for one of redis-py. The text names no host and no key: those stay in `__cause__`."""
    if isinstance(error, Unsendable) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = str(error)  # of an error inside a script, older servers put the word in the middle: "... -OOM command"
    names = [text.partition(" ")[0], *re.findall(r"-([A-Z]+)\b", text), *(cls.__name__ for cls in type(error).__mro__)]
    reason, retryable = next((REASONS[name] for name in names if name in REASONS), ("refused", False))
    if "unauthenticated" in text:  # what Redis says of a command with many arguments
        reason, retryable = REASONS["NOAUTH"]
    ours = LogError(f"Redis: {reason} ({type(error).__name__})", reason=reason, retryable=retryable)
    ours.__cause__ = error
    return ours


class Connection:
    """Used by one thread at a time, or by the event loop."""

    def __init__(self, wire: Any, *, cluster: bool = False) -> None:
        self._wire = wire
        self._aborted = False
        self.is_cluster = cluster

    @property
    def is_plain(self) -> bool:
        """Whether its socket can be read and written as it is."""
        return not self.is_cluster and not any("SSL" in cls.__name__ for cls in type(self._wire).__mro__)

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their answers; an answer may be an exception of the server's. Blocks.

        Raises: what redis-py raises when the connection fails; it is closed then. Unsendable.
        """
        answers = self._exchange(commands)
        again = to_repeat(commands, answers)
        if again:
            repeated(answers, self._exchange(again))
        return answers

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        if self.is_cluster:
            return [self._one(command) for command in commands]
        data = [self.packed(commands)]
        try:
            self.connect()
            self._wire.send_packed_command(data)
            answers = [self._answer() for _ in commands]
        except BaseException:
            self._wire.disconnect()  # an answer may still be under way: nobody must get it (S5)
            raise
        if is_of_a_replica(answers):
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
        if self._aborted:  # a cluster client that was closed would connect again
            raise ConnectionError("closed")
        try:
            if command[0] == "EVALSHA":  # which node has the script is not known
                script = next(script for script, sha in lua.sha.items() if sha == command[1])
                command = ("EVAL", script, *command[2:])
            return self._wire.execute_command(*command)
        except Exception as error:
            # Arguments that cannot be sent are the fault of the command too, and not of the others.
            if not any(cls.__name__ in ("ResponseError", "DataError", "UnicodeError") for cls in type(error).__mro__):
                raise
            return error

    def abort(self) -> None:
        """Close it for good, from any thread: whoever waits for an answer gets an error at once."""
        self._aborted = True
        self.disconnect()

    # --- for the event loop --------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect if it is not. Blocks. Raises: what redis-py raises; ConnectionError: it was aborted meanwhile."""
        try:
            self._wire.connect()
            if self._aborted:  # while it was connecting, when there was nothing to close yet
                raise ConnectionError("closed")
        except BaseException:
            self._wire.disconnect()  # in this thread: the event loop may have no time for it any more
            raise

    def disconnect(self) -> None:
        """Close it for now."""
        if not self.is_cluster:
            self._wire.disconnect()

    @property
    def socket(self) -> Any:
        """Of a plain connection that is connected."""
        return self._wire._sock

    def packed(self, commands: Sequence[Command]) -> bytes:
        """Return commands as they are sent. Raises: Unsendable."""
        try:
            return b"".join(self._wire.pack_commands(commands))
        except Exception as error:
            raise Unsendable from error


def to_repeat(commands: Sequence[Command], answers: Sequence[Any]) -> list[Command]:
    """Return what to send if the server is new, or was restarted, and does not know our scripts; else []."""
    unknown = [commands[i] for i, answer in enumerate(answers) if _says(answer, "NOSCRIPT", "NoScriptError")]
    return [*LOADS, *unknown] if unknown else []


def repeated(answers: list[Any], answers_again: Sequence[Any]) -> None:
    """Put the answers to `to_repeat` where they belong."""
    later = iter(answers_again[len(LOADS) :])
    for i, answer in enumerate(answers):
        if _says(answer, "NOSCRIPT", "NoScriptError"):
            answers[i] = next(later)


def is_of_a_replica(answers: Sequence[Any]) -> bool:
    """Whether the server was made a replica, so that the name may lead to the new master."""
    return any(_says(answer, "READONLY", "ReadOnlyError") for answer in answers)


def _says(answer: Any, word: str, name: str) -> bool:
    # redis-py makes a class of the word and takes it out of the text.
    return isinstance(answer, Exception) and (type(answer).__name__ == name or str(answer).startswith(word))
