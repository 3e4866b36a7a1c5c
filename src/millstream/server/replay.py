"""Recorded provider streams, served as a real endpoint: for the demo, for tests, for work without a key.

A bare ASGI application. Bytes, chunks and pace are those of the recording; each chunk is one ASGI message. Not known
here: what the bytes mean. Cost: all recordings are read once, at the start.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import orjson

from millstream.errors import UsageError
from millstream.server._asgi import Receive, Scope, Send, respond_json, send_body, send_start, while_connected

__all__ = ["RECORDING_HEADER", "Recording", "ReplayApp", "load_recordings"]

RECORDING_HEADER = "x-millstream-recording"

PACKAGED = Path(__file__).parent.parent / "_recordings"

PREFERRED = ("demo-chat", "demo-messages")
"""What an endpoint serves if nothing is asked for; elsewhere the first recording of the index."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded response.

    Attributes:
        name: file name without `.sse`.
        info: its entry in `INDEX.json`.
        headers_at: seconds after the request when the response began.
        chunks: (seconds after the request, bytes), in order.
    """

    name: str
    info: dict[str, Any]
    headers_at: float
    chunks: tuple[tuple[float, bytes], ...]


def load_recordings(folder: str | Path | None = None) -> dict[str, Recording]:
    """Read a folder of recordings.

    Args: folder: holds INDEX.json and the files that it names; the recordings in the package by default.
    Returns: recordings by name, in the order of the index. One without timing is a single chunk.
    Raises: OSError: a file is missing. UsageError: the timing does not add up to the body.
    """
    folder = PACKAGED if folder is None else Path(folder)
    found = {}
    for info in orjson.loads((folder / "INDEX.json").read_bytes()):
        name = info["file"].removesuffix(".sse")
        body = (folder / info["file"]).read_bytes()
        timing: dict[str, Any] = {"headers_at": 0.0, "chunks": [[0.0, len(body)]]}
        if info.get("timing"):
            timing = orjson.loads((folder / info["timing"]).read_bytes())
        chunks, offset = [], 0
        for at, size in timing["chunks"]:
            chunks.append((at, body[offset : offset + size]))
            offset += size
        if offset != len(body):
            raise UsageError(f"the timing of recording {name!r} describes {offset} bytes, its body has {len(body)}")
        found[name] = Recording(name, info, timing["headers_at"], tuple(chunks))
    return found


class ReplayApp:
    """The ASGI application.

    `POST` (or the index's `method`) to an endpoint of the index (`/v1/chat/completions`, `/v1/messages`) plays a
    recording of that endpoint: the one named by the header `x-millstream-recording`, else the next one of `turns`, else
    a default one. `GET /recordings` lists them all. The request is read first, whatever it says, and times count from
    its end.

    Args:
        recordings: a folder, or recordings by name; those of the package by default.
        speed: divides all delays; `math.inf` sends without waiting, in the same chunks.
        turns: names of recordings. Those of one endpoint answer its requests one after the other, as the steps of a run
            need it, and after the last one begin again.
    Raises: UsageError: `speed` is not above 0, or there is no recording of a name in `turns`. As `load_recordings`.
    """

    def __init__(
        self,
        recordings: str | Path | dict[str, Recording] | None = None,
        *,
        speed: float = 1.0,
        turns: Sequence[str] = (),
    ) -> None:
        if not speed > 0:
            raise UsageError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self.recordings = recordings if isinstance(recordings, dict) else load_recordings(recordings)
        self._turns: dict[str, list[Recording]] = {}  # by endpoint
        self._n_answers: Counter[str] = Counter()
        for name in turns:
            if name not in self.recordings:
                raise UsageError(f"no recording {name!r}; there are: {', '.join(self.recordings)}")
            self._turns.setdefault(self.recordings[name].info["endpoint"], []).append(self.recordings[name])
        for name in sorted(self.recordings, key=lambda name: name not in PREFERRED):
            self._turns.setdefault(self.recordings[name].info["endpoint"], [self.recordings[name]])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises: UsageError: not an HTTP request (lifespan, websocket); ASGI servers expect that.
        """
        if scope["type"] != "http":
            raise UsageError(f"ReplayApp serves HTTP only, not {scope['type']}")
        if not await _read_request(receive):
            return
        begun = anyio.current_time()
        path, method = scope["path"], scope["method"]
        methods = {endpoint: turns[0].info.get("method", "POST") for endpoint, turns in self._turns.items()}
        known = {"/recordings": "GET", **methods}
        if path not in known:
            await _refuse(send, 404, f"no such path: {path}; there are: {', '.join(known)}")
        elif method != known[path]:
            await _refuse(send, 405, f"{path} wants {known[path]}, not {method}", {"allow": known[path]})
        elif path == "/recordings":
            await respond_json(send, 200, [{"name": name, **item.info} for name, item in self.recordings.items()])
        else:
            await self._answer(scope, receive, send, begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, begun: float) -> None:
        path = scope["path"]
        wanted = dict(scope["headers"]).get(RECORDING_HEADER.encode(), b"").decode("latin-1")
        recording = self.recordings.get(wanted) if wanted else self._next(path)
        if recording is None or recording.info["endpoint"] != path:
            names = [name for name, item in self.recordings.items() if item.info["endpoint"] == path]
            await _refuse(send, 404, f"no recording {wanted!r} for {path}; there are: {', '.join(names)}")
        else:
            await while_connected(receive, lambda: self._play(recording, send, begun))

    def _next(self, path: str) -> Recording:
        turns = self._turns[path]
        self._n_answers[path] += 1
        return turns[(self._n_answers[path] - 1) % len(turns)]

    async def _play(self, recording: Recording, send: Send, begun: float) -> None:
        # Deadlines count from the request, so that late wake-ups do not add up.
        await self._until(begun, recording.headers_at)
        headers = {"content-type": recording.info["content_type"], "cache-control": "no-store"}
        await send_start(send, recording.info.get("http_status", 200), headers)
        for at, data in recording.chunks:
            await self._until(begun, at)
            await send_body(send, data, more=True)
        await send_body(send, b"", more=False)

    async def _until(self, begun: float, at: float) -> None:
        if math.isinf(self.speed):
            # No wait, but a checkpoint: `send` may never yield, and a gone client must be noticed.
            await anyio.lowlevel.checkpoint()
        else:
            await anyio.sleep_until(begun + at / self.speed)


async def _read_request(receive: Receive) -> bool:
    """Read the request to its end, as a provider does; False: the client left before that."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return False
        if not message.get("more_body", False):
            return True


async def _refuse(send: Send, status: int, message: str, headers: dict[str, str] | None = None) -> None:
    await respond_json(send, status, {"error": {"type": "invalid_request_error", "message": message}}, headers)
