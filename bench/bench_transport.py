"""What an event costs on the whole way from a loopback socket to `async for`, with each HTTP client, in one run.

`python -m bench.bench_transport` prints the table, a section of bench/RESULTS.md. A server in another process
holds STREAMS responses open and writes once to each; when the client has had everything of that round, it asks for the
next one over a socket of its own. So each write is one read, however fast the client is, and nobody waits for a clock.
Events are 327 bytes, as those of OpenAI, with texts that differ. Shapes: one event per read; ten, each an HTTP chunk of
its own, as a provider sends them; ten in one HTTP chunk. Times are CPU times of the client's process, user and system,
per event; the rounds of all clients are interleaved, the median is shown and the spread between the quartiles. Each row
counts its bytes or events and ends the run if one is missing. The request and the round's own message are in all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import uvloop

import millstream as ms
from bench.section import Section

STREAMS = 20
HELD = 2_000
EVENT_BYTES = 327
TEXT_BYTES = 12
WORDS = b"the of and to in is you that it he was for on are as with his they at be this have from or one had by"

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Shape:
    """How many events come with a read, and in how many HTTP chunks."""

    name: str
    events: int
    chunks: int


SHAPES = [Shape("1", 1, 1), Shape("10", 10, 10), Shape("10 in a chunk", 10, 1)]


def event(number: int) -> bytes:
    """An event of EVENT_BYTES, whose text differs from that of its neighbours."""
    text = b"%b %d" % (random.Random(number).choice(WORDS.split()), number)
    begin = (
        b'data: {"id":"chatcmpl-9aXdUQ0mBYgZ2VqQ3nYyHc5Q0aB1c","object":"chat.completion.chunk","created":1760000000,'
        b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_560af6e559","choices":['
        b'{"index":0,"delta":{"content":"'
    )
    end = b'"},"logprobs":null,"finish_reason":null}]}\n\n'
    padding = EVENT_BYTES - len(begin) - len(end) - TEXT_BYTES
    if padding < 0:
        raise ValueError(f"an event has {EVENT_BYTES - padding} bytes")
    return begin + text[:TEXT_BYTES].ljust(TEXT_BYTES) + b" " * padding + end


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def reads(shape: Shape) -> list[bytes]:
    """What is written at a time, in turns."""
    found = []
    for turn in range(16):
        events = [event(turn * shape.events + i) for i in range(shape.events)]
        found.append(b"".join(map(chunk, events)) if shape.chunks > 1 else chunk(b"".join(events)))
    return found


# --- the server, a process of its own ---------------------------------------------------------------------------------


class Served(asyncio.Protocol):
    """One connection: a stream, or the one that asks for rounds (`n`: the next; `e`: the end)."""

    streams: dict[Served, list[bytes]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = b""
        self.turn = 0

    def data_received(self, data: bytes) -> None:
        if data == b"n":
            for stream, pieces in Served.streams.items():
                stream.transport.write(pieces[stream.turn % len(pieces)])
                stream.turn += 1
        elif data == b"e":
            for stream in Served.streams:
                stream.transport.write(chunk(LAST) + b"0\r\n\r\n")
            Served.streams = {}
        else:
            self.seen += data
            if b"\r\n\r\n" in self.seen and (self.seen.startswith(b"GET") or self.seen.endswith(b"}")):
                shape = SHAPES[int(self.seen.split(b"/")[1].split()[0])]
                self.seen, self.turn = b"", 0
                self.transport.write(HEAD)
                Served.streams[self] = self.reads(shape)

    cache: dict[Shape, list[bytes]] = {}

    def reads(self, shape: Shape) -> list[bytes]:
        if shape not in self.cache:
            self.cache[shape] = reads(shape)
        return self.cache[shape]

    def connection_lost(self, error: Exception | None) -> None:
        Served.streams.pop(self, None)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, backlog=HELD)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


# --- the clients ------------------------------------------------------------------------------------------------------


@dataclass
class Rounds:
    """Asks for the next round when the last one was consumed entirely."""

    control: socket.socket
    rounds: int
    due: int
    """Bytes or events of one round, of all streams together."""
    began: float = 0.0
    _left: int = 0
    _done: int = 0
    spent: float = 0.0
    ended: Callable[[], None] | None = None
    """What to do instead of ending the streams."""

    def start(self) -> None:
        self._left = self.due
        self.began = time.process_time()
        self.control.send(b"n")

    def got(self, n: int) -> None:
        """Note `n` bytes or events."""
        self._left -= n
        if self._left <= 0:
            self._done += 1
            if self._left < 0:
                raise AssertionError("more came than was sent")
            if self._done < self.rounds:
                self._left = self.due
                self.control.send(b"n")
            else:
                self.spent = time.process_time() - self.began
                self._left = sys.maxsize
                if self.ended is not None:
                    self.ended()
                else:
                    self.control.send(b"e")


Consume = Callable[[Any, Rounds], Awaitable[None]]


@dataclass(frozen=True)
class Client:
    """One row. `session`: gives what opens a response, `open(url)`; `consume`: reads it."""

    name: str
    session: Callable[[str], Any]
    consume: Consume
    unit: str = "events"
    loop: str = "asyncio"
    rounds: int = 150


async def count_bytes(chunks: AsyncIterator[bytes], rounds: Rounds) -> None:
    async for data in chunks:
        rounds.got(len(data) - (len(LAST) if data.endswith(LAST) else 0))


async def count_texts(source: Any, rounds: Rounds) -> None:
    async with ms.stream(source, "openai-chat") as events:
        async for one in events:
            if isinstance(one, ms.TextDelta):
                rounds.got(1)


class Wire(asyncio.Protocol):
    """The least that can be done with a socket: count what arrives."""

    def __init__(self) -> None:
        self.rounds: Rounds
        self.answered, self.over = (asyncio.get_running_loop().create_future() for _ in range(2))

    def data_received(self, data: bytes) -> None:
        if data == HEAD:
            self.answered.set_result(None)
        elif data.endswith(b"0\r\n\r\n"):
            self.over.set_result(None)
        else:
            self.rounds.got(len(data))


@asynccontextmanager
async def raw_session(base: str) -> AsyncIterator[Any]:
    opened = []

    async def get(path: str) -> Wire:
        loop = asyncio.get_running_loop()
        port = int(base.rpartition(":")[2])
        transport, wire = await loop.create_connection(Wire, "127.0.0.1", port)
        transport.write(f"GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        opened.append(transport)
        await wire.answered
        return wire

    yield get
    for transport in opened:
        transport.close()


async def raw_consume(wire: Wire, rounds: Rounds) -> None:
    wire.rounds = rounds
    await wire.over


@asynccontextmanager
async def httpx2_session(base: str, transport: Any = None) -> AsyncIterator[Any]:
    async with httpx2.AsyncClient(transport=transport, limits=httpx2.Limits(), timeout=60) as client:

        async def get(path: str) -> Any:
            return await client.send(client.build_request("GET", f"{base}/{path}"), stream=True)

        yield get


def millstream_session(base: str) -> Any:
    return httpx2_session(base, ms.http.Transport(limits=httpx2.Limits()))


@asynccontextmanager
async def aiohttp_session(base: str) -> AsyncIterator[Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def get(path: str) -> Any:
            return await session.get(f"{base}/{path}")

        yield get


@asynccontextmanager
async def openai_session(base: str, transport: Any = None) -> AsyncIterator[Any]:
    import openai  # here: callgrind would take minutes to import it for the others

    async with httpx2.AsyncClient(transport=transport, limits=httpx2.Limits(), timeout=60) as http:

        async def create(path: str) -> Any:
            client = openai.AsyncOpenAI(base_url=f"{base}/{path}", api_key="none", http_client=http)
            return await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )

        yield create


def openai_over_millstream(base: str) -> Any:
    return openai_session(base, ms.http.Transport(limits=httpx2.Limits()))


async def openai_consume(stream: Any, rounds: Rounds) -> None:
    async for one in stream:
        if one.choices[0].delta.content:
            rounds.got(1)


def httpx2_bytes(response: Any, rounds: Rounds) -> Awaitable[None]:
    return count_bytes(response.aiter_bytes(), rounds)


def aiohttp_bytes(response: Any, rounds: Rounds) -> Awaitable[None]:
    return count_bytes(response.content.iter_any(), rounds)


REFERENCE = "OpenAI SDK"
AIOHTTP = "aiohttp, raw bytes"
HTTPX2 = "httpx2, raw bytes"
RAW = "Transport, raw bytes"
OURS = "Transport, ms.stream"
CLIENTS = [
    Client("protocol, raw bytes", raw_session, raw_consume, "wire", rounds=400),
    Client("protocol, raw bytes, uvloop", raw_session, raw_consume, "wire", "uvloop", rounds=400),
    Client(AIOHTTP, aiohttp_session, aiohttp_bytes, "bytes", rounds=300),
    Client("aiohttp, ms.stream", aiohttp_session, count_texts, rounds=300),
    Client(HTTPX2, httpx2_session, httpx2_bytes, "bytes"),
    Client("httpx2, ms.stream", httpx2_session, count_texts),
    Client(REFERENCE, openai_session, openai_consume, rounds=40),
    Client(RAW, millstream_session, httpx2_bytes, "bytes", rounds=300),
    Client(OURS, millstream_session, count_texts, rounds=300),
    Client("Transport, OpenAI SDK", openai_over_millstream, openai_consume, rounds=40),
    Client(AIOHTTP + ", uvloop", aiohttp_session, aiohttp_bytes, "bytes", "uvloop", rounds=300),
    Client("httpx2, ms.stream, uvloop", httpx2_session, count_texts, "events", "uvloop"),
    Client(OURS + ", uvloop", millstream_session, count_texts, "events", "uvloop", rounds=300),
]


async def run(client: Client, shape: Shape, base: str, n: int) -> float:
    """Return CPU seconds per event."""
    of_unit = {"events": shape.events, "bytes": shape.events * EVENT_BYTES, "wire": len(reads(shape)[0])}[client.unit]
    with socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))) as control:
        control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rounds = Rounds(control, n, STREAMS * of_unit)
        async with client.session(base) as open_:
            path = str(SHAPES.index(shape))
            responses = await asyncio.gather(*[open_(path) for _ in range(STREAMS)])
            consumers = [asyncio.create_task(client.consume(one, rounds)) for one in responses]
            await asyncio.sleep(0)
            rounds.start()
            await asyncio.gather(*consumers)
    if not rounds.spent:
        raise AssertionError(f"{client.name}: something was lost")
    return rounds.spent / (n * STREAMS * shape.events)


def once(client: Client, shape: Shape, base: str, n: int) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if client.loop == "uvloop" else None) as runner:
        return runner.run(run(client, shape, base, n))


class Server:
    """The server's process."""

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "bench.bench_transport", "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


Times = dict[tuple[str, str], list[float]]


def measure(clients: list[Client], shapes: list[Shape], repeats: int) -> Times:
    times: Times = {}
    with Server() as base:
        for repeat in range(repeats + 1):  # the first one warms up
            for shape in shapes:
                for client in clients:
                    spent = once(client, shape, base, 5 if repeat == 0 else client.rounds)
                    if repeat:
                        times.setdefault((client.name, shape.name), []).append(spent)
            print(f"round {repeat} of {repeats}", file=sys.stderr, flush=True)
    return times


Row = list[str]


def markdown(head: Row, rows: list[Row]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def table(times: Times) -> list[str]:
    shapes = [shape.name for shape in SHAPES if any(name == shape.name for _, name in times)]
    rows = []
    for client in dict.fromkeys(name for name, _ in times):
        cells = [client]
        for shape in shapes:
            found = sorted(times[client, shape])
            median = statistics.median(found)
            low, high = found[len(found) // 4], found[-1 - len(found) // 4]
            cells.append(f"{median * 1e6:.2f} ({low * 1e6:.2f}-{high * 1e6:.2f})")
            cells.append(f"{ratio(times, shape, client, REFERENCE):.1f}" if (REFERENCE, shape) in times else "")
        rows.append(cells)
    columns = [text for name in shapes for text in (f"{name} per read, us (quartiles)", f"{REFERENCE} / this")]
    return markdown(["client", *columns], rows)


def ratio(times: Times, shape: str, one: str, other: str) -> float:
    """How much more CPU `other` takes than `one`: the median of the ratios within each round."""
    pairs = zip(times[one, shape], times[other, shape], strict=True)
    return statistics.median(b / a for a, b in pairs)


def judge(out: Section, times: Times, memory: dict[str, float]) -> None:
    ten = SHAPES[1].name
    out.at_least("ten events per read, OpenAI SDK / ours", 30, ratio(times, ten, OURS, REFERENCE), aim=60)
    out.at_most("ten events per read, ours / aiohttp raw", 1.2, ratio(times, ten, AIOHTTP, OURS), aim=1.0)
    for shape in SHAPES[:2]:
        name = f"raw bytes, {shape.name} per read, httpx2 / Transport"
        out.at_least(name, 3, ratio(times, shape.name, RAW, HTTPX2))
    above = (memory[OURS] - memory[RAW]) / 1024
    out.at_most("memory per open stream above Transport", 8, above, unit=" KiB", aim=4)


# --- memory and instructions: a process for each client ---------------------------------------------------------------


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def hold(client: Client, base: str, n: int) -> float:
    """Return bytes per open stream that has delivered some events and waits for more."""
    control, per_stream = socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))), 0.0
    with control:
        control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for streams in (50, n):  # the first ones pay for what all share
            reached, rounds = asyncio.Event(), Rounds(control, 3, 0)
            rounds.due = streams * {"events": 1, "bytes": EVENT_BYTES, "wire": len(reads(SHAPES[0])[0])}[client.unit]
            rounds.ended = reached.set
            async with client.session(base) as open_:
                before = resident()
                responses = [await open_("0") for _ in range(streams)]
                consumers = [asyncio.create_task(client.consume(one, rounds)) for one in responses]
                await asyncio.sleep(0)
                rounds.start()
                await reached.wait()
                per_stream = (resident() - before) / streams
                control.send(b"e")
                await asyncio.gather(*consumers)
    return per_stream


def alone(*arguments: object, under: tuple[str, ...] = ()) -> str:
    command = [*under, sys.executable, "-m", "bench.bench_transport", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure_memory(n: int) -> dict[str, float]:
    """Bytes per open stream, by client, each in a process of its own. In httpx2's pool so many take minutes to open."""
    with Server() as base:
        return {
            client.name: float(alone("--hold", n, base, client.name))
            for client in CLIENTS
            if client.loop == "asyncio"
            and client.session not in (httpx2_session, openai_session, openai_over_millstream)
        }


def measure_instructions() -> dict[tuple[str, str], float]:
    """Instructions in user space per event, by (client, shape), under callgrind."""
    found = {}
    with Server() as base, tempfile.TemporaryDirectory() as folder:
        for client in [one for one in CLIENTS if one.name in (AIOHTTP, HTTPX2, RAW, OURS)]:
            for shape in SHAPES[:2]:
                totals = []
                for n in (10, 30):
                    out = Path(folder, "out")
                    under = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q")
                    alone("--one", n, base, client.name, shape.name, under=under)
                    line = next(line for line in out.read_text().splitlines() if line.startswith("summary:"))
                    totals.append(int(line.split()[1]))
                found[client.name, shape.name] = (totals[1] - totals[0]) / (20 * STREAMS * shape.events)
            print(f"instructions: {client.name}", file=sys.stderr, flush=True)
    return found


def section(rounds: int = 5) -> Section:
    """Without instructions: `--instructions` counts them, in some minutes."""
    times, memory = measure(CLIENTS, SHAPES, rounds), measure_memory(HELD)
    versions = ", ".join(f"{name} {version(name)}" for name in ("httpx2", "aiohttp", "openai", "httptools", "uvloop"))
    text = [
        f"Clients: {versions}. Microseconds of CPU per event, user and system, and how many times that the OpenAI SDK",
        "takes; the rounds of all clients are interleaved.",
        "",
        *table(times),
        f"\nMemory in KiB per open stream, with {HELD} of them:\n",
        *markdown(["client", "KiB"], [[name, f"{found / 1024:.1f}"] for name, found in memory.items()]),
    ]
    medians = {f"{name}; {shape}": statistics.median(found) * 1e6 for (name, shape), found in times.items()}
    out = Section(text, data={"times": medians, "memory": memory})
    judge(out, times, memory)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="clients whose name contains this; several with ;")
    parser.add_argument("--shape", default="", help="this shape only")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--instructions", action="store_true", help="count them too, under callgrind: some minutes")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    for internal, n in (("--hold", 3), ("--one", 4)):
        parser.add_argument(internal, nargs=n, help=argparse.SUPPRESS)
    options = parser.parse_args()
    by_name = {client.name: client for client in CLIENTS}
    if options.serve:
        asyncio.run(serve())
    elif options.hold:
        n, base, name = options.hold
        print(asyncio.run(hold(by_name[name], base, int(n))))
    elif options.one:
        n, base, name, shape = options.one
        once(by_name[name], next(one for one in SHAPES if one.name == shape), base, int(n))
    else:
        clients = [client for client in CLIENTS if any(part in client.name for part in options.only.split(";"))]
        times = measure(clients, [shape for shape in SHAPES if options.shape in ("", shape.name)], options.rounds)
        print("\n".join(table(times)))
        if options.instructions:
            counted = measure_instructions()
            rows = [
                [name, *(f"{counted[name, shape.name]:,.0f}" for shape in SHAPES[:2])]
                for name in dict.fromkeys(name for name, _ in counted)
            ]
            print(*markdown(["instructions", *(f"{shape.name} per read" for shape in SHAPES[:2])], rows), sep="\n")


if __name__ == "__main__":
    main()
