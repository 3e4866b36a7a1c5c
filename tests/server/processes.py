"""Servers in processes of their own, as users start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ports import free_port

__all__ = ["RECORDING", "process", "python", "replayed_model", "site", "until"]

ROOT = Path(__file__).parents[2]
RECORDING = "chat-text-usage"


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for what another process does, and tells nobody."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def process(*command: str, port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on that port, while the block runs."""
    environment = {**os.environ, **env, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen(command, env=environment) as server:
        try:
            until(lambda: answers(port))
            yield server
        finally:
            server.kill()


def python(module: str, *words: str, port: int, **env: str) -> Any:
    """`process` for `python -m module`, which is told the port."""
    return process(sys.executable, "-m", module, *words, "--port", str(port), port=port, **env)


@contextmanager
def replayed_model(speed: str) -> Iterator[dict[str, str]]:
    """A recorded answer as OpenAI; gives the environment that makes it the model of the examples."""
    port = free_port()
    with python("millstream.cli", "replay", "--recording", RECORDING, "--speed", speed, port=port):
        yield {"MODEL": "openai:replay", "BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "none"}


@contextmanager
def site(application: str, *, speed: str = "max", **env: str) -> Iterator[str]:
    """The example of `examples/answers`, or something around it, in front of a replayed model; gives its URL."""
    port = free_port()
    uvicorn = ("uvicorn", application, "--log-level", "critical")
    with replayed_model(speed) as model, python(*uvicorn, port=port, **env, **model):
        yield f"http://127.0.0.1:{port}/"
