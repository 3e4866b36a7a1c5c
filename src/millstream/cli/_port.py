"""A port to listen on."""

from __future__ import annotations

import socket

from millstream.cli._failure import CommandError

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises: CommandError: the port will not do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes any free one"
        ) from None
