"""Events to the bytes of server-sent events, against sse-starlette's encoder. Run it: `python -m bench.bench_server`.
With `--streams N`: N responses open at once on one uvicorn, each with 5 events a second; memory and CPU of the server.

The same text deltas on both sides, one answer of EVENTS; both outputs are parsed again and must give the same texts.
sse-starlette encodes a `JSONServerSentEvent` per event from a dict that is there already; with "from events" the dict
is made of our event first, as an application that has typed events would. The two take turns; CPU time, best of ROUNDS.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import anyio
import msgspec
from sse_starlette import JSONServerSentEvent

import millstream as ms
from millstream.server._body import Body

EVENTS, ROUNDS, BATCH = 2_000, 15, 20
TEXTS = [f" token {i}" for i in range(EVENTS)]
TARGET_TIMES = 10.0


def ours(name: str, batch: int = BATCH) -> Callable[[list[ms.Event]], bytes]:
    def run(events: list[ms.Event]) -> bytes:
        body, out = Body(ms.encoder(name)), []
        for at in range(0, len(events), batch):
            parts: list[bytes] = []
            body.encode(events[at : at + batch], parts)
            out.append(b"".join(parts))
        return b"".join(out)

    return run


def theirs(events: list[ms.Event]) -> bytes:
    return b"".join([JSONServerSentEvent(msgspec.to_builtins(event)).encode() for event in events])


def theirs_ready(dicts: list[dict[str, object]]) -> bytes:
    return b"".join([JSONServerSentEvent(value).encode() for value in dicts])


def texts(data: bytes) -> list[str]:
    found = [json.loads(message.data) for message in ms.SSEParser().feed(data)]
    return [value["text"] for value in found if value.get("type") == "text_delta"]


SERVER = """
import sys, time, anyio, uvicorn, millstream as ms
from sse_starlette import EventSourceResponse, JSONServerSentEvent
from starlette.responses import StreamingResponse
from millstream.server import EventStreamResponse
kind, fd = sys.argv[1], int(sys.argv[2])
EVENT = ms.TextDelta(" a token")
async def events(make):
    while True:
        yield make()
        await anyio.sleep(0.2)
async def app(scope, receive, send):
    if scope["path"] == "/stats":
        lines = open("/proc/self/status").read().splitlines()
        rss = next(line for line in lines if line.startswith("VmRSS")).split()[1]
        response = StreamingResponse(iter([f"{rss} {time.process_time()}"]))
    elif kind == "millstream":
        response = EventStreamResponse(ms.Stream(events(lambda: EVENT)))
    elif kind == "sse-starlette":
        response = EventSourceResponse(events(lambda: JSONServerSentEvent({"type": "text_delta", "text": " a token"})))
    else:
        response = StreamingResponse(events(lambda: b'data: {"type":"text_delta","text":" a token"}\\n\\n'))
    await response(scope, receive, send)
options = {"loop": "uvloop", "http": "httptools", "lifespan": "off", "access_log": False, "log_level": "critical"}
uvicorn.run(app, fd=fd, backlog=8192, **options)
"""


async def load(kind: str, n: int, seconds: float = 8.0) -> None:
    """Open n responses, read them, and ask the server what it took."""
    with socket.create_server(("127.0.0.1", 0), backlog=8192) as sock:
        sock.set_inheritable(True)
        port = sock.getsockname()[1]
        fd = sock.fileno()
        command = [sys.executable, "-c", SERVER, kind, str(fd)]
        process = subprocess.Popen(command, pass_fds=[fd])  # noqa: ASYNC220  # nothing runs yet that it could block

    async def stats() -> tuple[int, float]:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            data = b""
            async for piece in stream:
                data += piece
        kib, cpu = data.split(b"\r\n\r\n")[1].split(b"\r\n")[1].split()
        return int(kib), float(cpu)

    counted = 0
    begun = 0

    async def read() -> None:
        nonlocal counted, begun
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await stream.receive()
            begun += 1
            async for piece in stream:
                counted += piece.count(b'"text_delta"')

    try:
        before = await stats()
        async with anyio.create_task_group() as tasks:
            for i in range(n):
                tasks.start_soon(read)
                if i % 50 == 0:
                    await anyio.sleep(0.02)
            while begun < n:  # noqa: ASYNC110  # an Event would cost the client of the benchmark
                await anyio.sleep(0.1)
            counted, middle = 0, await stats()
            await anyio.sleep(seconds)
            after, events = await stats(), counted
            tasks.cancel_scope.cancel()
        kib, cpu = (after[0] - before[0]) / n, after[1] - middle[1]
        print(f"{kind:16} {n} streams {kib:7.1f} KiB/stream {events / cpu:10,.0f} events/s per CPU second", flush=True)
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=0)
    n = parser.parse_args().streams
    if n:
        for kind in ("bare", "millstream", "sse-starlette"):
            anyio.run(load, kind, n, backend_options={"use_uvloop": True})
        return
    encoding()


def encoding() -> None:
    events: list[ms.Event] = [ms.TextDelta(text) for text in TEXTS]
    dicts = [msgspec.to_builtins(event) for event in events]
    rows: dict[str, Callable[[], bytes]] = {
        "millstream, batches of 20": lambda: ours("millstream.events.v1")(events),
        "millstream, one at a time": lambda: ours("millstream.events.v1", 1)(events),
        "sse-starlette, from events": lambda: theirs(events),
        "sse-starlette, from dicts": lambda: theirs_ready(dicts),
    }
    for name, run in rows.items():
        if texts(run()) != TEXTS:
            raise SystemExit(f"{name}: wrong answer")
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, run in rows.items():
            begin = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - begin)
    base = best["millstream, batches of 20"]
    print(f"sse-starlette {version('sse-starlette')}; target {TARGET_TIMES:g} x")
    for name, seconds in best.items():
        print(f"{name:30} {seconds / EVENTS * 1e9:8.0f} ns/event  {seconds / base:6.2f} x  correct")


if __name__ == "__main__":
    main()
