"""`millstream demo`: five acts over real HTTP, without a key and without a network.

One server in this process answers with recordings as two providers would, and serves one stream on. Each act is a small
user's program in a file of its own. Not known here: how a stream is measured (`_progress.py`) or drawn (`_view.py`).
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable
from socket import socket

import anyio

from millstream.cli._failure import CommandError
from millstream.cli._view import View, make_view
from millstream.cli.demo import health, objects, served, text, tools
from millstream.cli.demo._script import make_replay
from millstream.cli.demo._server import Routes, listen, serving
from millstream.cli.demo._stage import Stage
from millstream.server.replay import ReplayApp

__all__ = ["run"]

ACTS: tuple[Callable[[Stage], Awaitable[None]], ...] = (text.play, objects.play, tools.play, health.play, served.play)

NOTE = "They were recorded from a tiny model (Gemma 3 270M): words, bytes and timing are its own."


def run(args: Namespace) -> int:
    """Run the demo.

    Args: args: `speed` divides the delays, `math.inf` for none; `recording` names recordings to play instead of the
        text of their provider.
    Returns: 0. Raises: CommandError: something went wrong, or there is no such recording.
    """
    replay = make_replay(args.speed, args.recording)
    with listen() as sock:
        return anyio.run(_demo, replay, sock, make_view())


async def _demo(replay: ReplayApp, sock: socket, view: View) -> int:
    import httpx2

    host, port = sock.getsockname()
    url = f"http://{host}:{port}"
    # A proxy of the environment must not see what stays on this machine.
    async with httpx2.AsyncClient(trust_env=False) as client:
        stage = Stage(url, client, view, replay.speed, len(ACTS))
        async with serving(Routes(replay, stage), sock):
            view.line(f"Serving recordings on {url}. {NOTE}")
            for play in ACTS:
                await play(stage)
    played = stage.played
    if (played[-1].text, played[-1].reasoning) != (played[-2].text, played[-2].reasoning):
        raise CommandError(f"act {len(ACTS)} did not give the same text as the one before, from the same recording")
    n_events, n_characters = sum(p.n_events for p in played), sum(p.n_characters for p in played)
    view.line(f"\n{len(played)} acts, {n_events} events, {n_characters} characters, all finished: ok")
    return 0
