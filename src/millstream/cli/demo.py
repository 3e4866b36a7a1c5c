"""`millstream demo`: three real streams over real HTTP, without a key and without a network.

One server in this process replays recordings as two providers' endpoints, and serves one of them on, decoded and
encoded again. The demo is its client. Not known here: how a stream is measured (`_progress.py`) or shown (`_view.py`).
"""

from __future__ import annotations

import math
import socket
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import uvicorn

import millstream as ms
from millstream.cli._failure import complain
from millstream.cli._progress import Progress
from millstream.cli._view import View, make_view
from millstream.server._asgi import Receive, Scope, Send
from millstream.server.replay import RECORDING_HEADER, ReplayApp
from millstream.server.responses import EventStreamResponse

if TYPE_CHECKING:
    import httpx2

__all__ = ["DemoError", "run"]

NDJSON = "millstream.events.v1+ndjson"
CHAT, MESSAGES, EVENTS = "/v1/chat/completions", "/v1/messages", "/v1/events"
REQUEST = {"model": "gemma", "stream": True, "messages": [{"role": "user", "content": "Write about a river in Japan."}]}
NOTE = "The words were written by a tiny model (Gemma 3 270M) and make little sense; bytes and timing are real."


class DemoError(Exception):
    """The demo did not come out as it should; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Act:
    """One request: what it is called, where it goes, how the answer is read, which recording is asked for."""

    title: str
    path: str
    protocol: str
    headers: dict[str, str]


def run(args: Namespace) -> int:
    """Run the demo.

    Args: args: `speed` divides the recorded delays, `math.inf` for none; `recording` names recordings to play instead
        of the default ones of their endpoints.
    Returns: the exit code: 0, 1 if something went wrong, 2 for an unknown recording.
    """
    replay = ReplayApp(speed=args.speed)
    for name in args.recording:
        if name not in replay.recordings:
            return complain("demo", f"no recording {name!r}; there are: {', '.join(replay.recordings)}", 2)
    try:
        sock = _listen()
    except OSError as error:
        return complain("demo", f"cannot open a local port: {error}", 1)
    try:
        with sock:
            anyio.run(_demo, replay, sock, _acts(replay, args.recording), make_view())
    except DemoError as error:
        return complain("demo", str(error), 1)
    return 0


def _listen() -> socket.socket:
    """Bind and listen here: requests wait in the backlog until the server accepts them, nobody has to poll."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def _acts(replay: ReplayApp, recordings: Sequence[str]) -> list[Act]:
    chosen = {replay.recordings[name].info["endpoint"]: {RECORDING_HEADER: name} for name in recordings}
    chat, messages = chosen.get(CHAT, {}), chosen.get(MESSAGES, {})
    return [
        Act("1/3 openai-chat", CHAT, "openai-chat", chat),
        Act("2/3 anthropic-messages", MESSAGES, "anthropic-messages", messages),
        Act(f"3/3 anthropic-messages, served on as {NDJSON}", EVENTS, NDJSON, messages),
    ]


async def _demo(replay: ReplayApp, sock: socket.socket, acts: list[Act], view: View) -> None:
    import httpx2

    host, port = sock.getsockname()
    # A proxy of the environment must not see what stays on this machine; no timeout, for slow motion.
    client = httpx2.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False, timeout=None)
    async with client, _serving(_Routes(replay, client), sock):
        view.line(f"Serving recordings on http://{host}:{port}. {NOTE}")
        done = [await _play(client, act, view, replay.speed) for act in acts]
    if (done[1].text, done[1].reasoning) != (done[2].text, done[2].reasoning):
        raise DemoError("act 3 did not give the same text as act 2, from which it was made")
    n_events, n_characters = sum(p.n_events for p in done), sum(p.n_characters for p in done)
    view.line(f"\n{len(done)} streams, {n_events} events, {n_characters} characters, all finished: ok")


async def _play(client: httpx2.AsyncClient, act: Act, view: View, speed: float) -> Progress:
    """Play one act. Raises: DemoError: it failed, or the end of the stream is missing."""
    progress = Progress(stall_s=1.0 if math.isinf(speed) else 1.0 / speed)
    view.begin(act.title, progress)
    try:
        request = client.stream("POST", act.path, json=REQUEST, headers=act.headers)
        async with ms.stream(request, protocol=act.protocol) as events:
            async for event in events:
                progress.add(event)
                view.event(event)
    except ms.MillstreamError as error:
        raise DemoError(f"act {act.title}: {type(error).__name__}: {error}") from error
    finally:
        view.end()
    if not progress.is_complete:
        raise DemoError(f"act {act.title}: the stream did not finish properly")
    return progress


class _Routes:
    """The recordings, and beside them `/v1/events`: `/v1/messages` read over HTTP, decoded, and served on."""

    def __init__(self, replay: ReplayApp, client: httpx2.AsyncClient) -> None:
        self._replay = replay
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) != ("POST", EVENTS):
            await self._replay(scope, receive, send)
            return
        headers = {key.decode(): value.decode() for key, value in scope["headers"] if key == RECORDING_HEADER.encode()}
        upstream = self._client.stream("POST", MESSAGES, json=REQUEST, headers=headers)
        response = EventStreamResponse(ms.stream(upstream, protocol="anthropic-messages"), protocol=NDJSON)
        await response(scope, receive, send)


class _Server(uvicorn.Server):
    """uvicorn, but Ctrl-C stays with the demo."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(app: _Routes, sock: socket.socket) -> AsyncIterator[None]:
    """Serve while the block runs. Raises: DemoError: the server stopped by itself; the block is cancelled then."""
    # With log_config=None uvicorn leaves the logging of the process alone; "critical" keeps it quiet.
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, log_level="critical", access_log=False)
    server = _Server(config)
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def serve() -> None:
            nonlocal failure
            cause: BaseException | None = None
            try:
                await server.serve(sockets=[sock])
            except (Exception, SystemExit) as error:  # uvicorn exits when it cannot start
                cause = error
            if not server.should_exit or cause is not None:
                failure = DemoError(f"the local server stopped: {cause!r}")
            tasks.cancel_scope.cancel()

        tasks.start_soon(serve)
        try:
            yield
        except Exception as error:  # re-raised below, outside of the group that would wrap it
            failure = error
        server.should_exit = True
    if failure is not None:
        raise failure
