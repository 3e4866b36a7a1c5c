"""Ports for servers in processes of their own, which cannot take a socket of ours."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]


def free_port() -> int:
    """Return one that nobody listens on, and 10,000 above it there is room for the second port of Redis' clusters.

    None of those that the system gives to clients: whoever knocks at such a port again and again until its server
    listens may be given that very port, is then connected to itself, and the server finds it taken.
    """
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        lowest = 32_768  # of all systems of today the lowest
    while True:
        port = random.SystemRandom().randrange(10_000, max(lowest - 10_000, 11_000))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
