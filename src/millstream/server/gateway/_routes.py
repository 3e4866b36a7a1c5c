"""Paths and what they mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from millstream.server._asgi import Receive, Scope
from millstream.server.gateway._http import Outgoing

__all__ = ["Call", "Route", "find"]


class Call(NamedTuple):
    """One request on its way. `arg` is what stands in the path."""

    scope: Scope
    receive: Receive
    out: Outgoing
    arg: str


class Route(NamedTuple):
    """What a path means. `{}` in it is one argument; `slashes`: which may hold some, as names of models do."""

    path: str
    methods: Mapping[str, Callable[[Call], Awaitable[None]]]
    slashes: bool = False


def find(routes: Iterable[Route], path: str) -> tuple[Route | None, str]:
    """Return the first route of a path, with its argument. Args: path: percent-decoded, as ASGI has it."""
    for route in routes:
        before, hole, after = route.path.partition("{}")
        if not hole:
            if path == before:
                return route, ""
        elif path.startswith(before) and path.endswith(after):
            arg = path[len(before) : len(path) - len(after)]
            if arg and (route.slashes or "/" not in arg):
                return route, arg
    return None, ""
