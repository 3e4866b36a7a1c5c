"""CPU that a gateway takes for each chunk that it forwards, against LiteLLM's proxy: `python -m bench.bench_gateway`.

One provider process sends the same answers to both: STREAMS at once, each of CHUNKS text chunks, one every INTERVAL
seconds, so that each chunk is a read and a write of its own and nothing coalesces by itself. The clients check that
every answer is whole. CPU is what the kernel says of the gateway's processes, before and after. The two take turns.

LiteLLM needs an environment of its own: `python -m venv E; E/bin/pip install 'litellm[proxy]' httptools` (without
httptools its server is slower); name its command in MILLSTREAM_LITELLM. Without it only our own rows are written.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.section import Section, table

STREAMS, CHUNKS, INTERVAL, ROUNDS = 40, 100, 0.02, 3
TARGET_TIMES = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
WORDS = [f" word{i}" for i in range(CHUNKS)]
START_SECONDS = 90.0
KEY = "sk-" + secrets.token_hex(32)  # both ask for it

PROVIDER = """
import asyncio, json, sys
chunks, interval = int(sys.argv[2]), float(sys.argv[3])
def data(choices):
    value = {"id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012", "object": "chat.completion.chunk", "created": 1760000000,
             "model": "gpt-4o-mini-2024-07-18", "service_tier": "default", "system_fingerprint": "fp_560af6e559",
             "choices": choices}
    payload = b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\\n\\n"
    return b"%x\\r\\n%b\\r\\n" % (len(payload), payload)
def entry(delta, reason=None):
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"
PIECES = [data(entry({"content": f" word{i}"})) for i in range(chunks)]
LAST = data(entry({}, "stop")) + b"e\\r\\ndata: [DONE]\\n\\n\\r\\n0\\r\\n\\r\\n"
async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\\r")[0]
            await reader.readexactly(int(length))
            writer.write(HEAD + data(entry({"role": "assistant", "content": ""})))
            for piece in PIECES:
                await asyncio.sleep(interval)
                writer.write(piece)
            writer.write(LAST)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def running(*command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(below for child in children for below in tree(int(child)))]


def cpu(pid: int) -> tuple[float, float]:
    """Seconds of CPU that a process and all below it have taken: of its own, and in the kernel for it."""
    own = kernel = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        own, kernel = own + int(fields[11]), kernel + int(fields[12])
    return own / TICKS, kernel / TICKS


async def ask(port: int) -> list[str]:
    """One answer: its words, one per chunk."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Say a hundred words."}]}
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    seen = await reader.read()
    writer.close()
    words = []
    for line in seen.split(b"\n"):
        if line.startswith(b"data: {"):
            delta = [choice["delta"].get("content") for choice in json.loads(line[6:])["choices"]]
            words += [word for word in delta if word]
    return words


async def until_up(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if await ask(port) == WORDS:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing answers on port {port}")
        await asyncio.sleep(0.5)


async def measure(port: int, pid: int) -> tuple[float, float]:
    """Return microseconds of CPU per forwarded chunk: of its own, and in the kernel."""
    before = cpu(pid)
    answers = await asyncio.gather(*(ask(port) for _ in range(STREAMS)))
    after = cpu(pid)
    wrong = [words for words in answers if words != WORDS]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {STREAMS} answers are not what the provider said")
    own, kernel = ((late - early) / (STREAMS * CHUNKS) * 1e6 for early, late in zip(before, after, strict=True))
    return own, kernel


def ours(*more: str) -> Callable[[int, int, Path], list[str]]:
    def command(port: int, upstream: int, folder: Path) -> list[str]:
        spec = f"m=compatible:real,base_url=http://127.0.0.1:{upstream}/v1"
        serve = [sys.executable, "-m", "millstream.cli", "serve", "--api-key-env", "BENCH_KEY"]
        return [*serve, "--port", str(port), "--provider", spec, *more]

    return command


def litellm(executable: str) -> Callable[[int, int, Path], list[str]]:
    def command(port: int, upstream: int, folder: Path) -> list[str]:
        config = folder / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/real\n"
            f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: sk-none\n"
            "litellm_settings:\n  set_verbose: false\n"
        )
        return [executable, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]

    return command


async def main() -> Section:
    found = os.environ.get("MILLSTREAM_LITELLM") or shutil.which("litellm")
    kinds = {"millstream serve": ours(), "millstream serve, resumable": ours("--resume", "always")}
    if found:
        kinds["LiteLLM proxy"] = litellm(found)
    upstream = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(running(sys.executable, "-c", PROVIDER, str(upstream), str(CHUNKS), str(INTERVAL)))
        ports = {}
        for name, command in kinds.items():
            port = free_port()
            env = {"BENCH_KEY": KEY, "LITELLM_MASTER_KEY": KEY, "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
            ports[name] = port, stack.enter_context(running(*command(port, upstream, folder), **env)).pid
        for port, _ in ports.values():
            await until_up(port)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, (port, pid) in ports.items():
                taken[name].append(await measure(port, pid))
    middle = {name: statistics.median(map(sum, values)) for name, values in taken.items()}
    rows = []
    for name, values in taken.items():
        kernel = statistics.median(kernel for _, kernel in values)
        low, high = min(map(sum, values)), max(map(sum, values))
        rows.append([name, f"{middle[name]:.1f}", f"{kernel:.1f}", f"{low:.1f} to {high:.1f}"])
    text = [
        f"{STREAMS} streams of {CHUNKS} chunks, one each {INTERVAL * 1000:g} ms; CPU of the gateway for each.",
        "" if found else "LiteLLM is not installed; the head of bench/bench_gateway.py says how to have it here.",
        "",
        *table(["gateway", "us", "of it in the kernel", "from, to"], rows, " rrr"),
    ]
    out = Section(text)
    if found:
        times = middle["LiteLLM proxy"] / middle["millstream serve"]
        out.at_least("CPU of the gateway per chunk, LiteLLM / ours", TARGET_TIMES, times)
    return out


def section() -> Section:
    return asyncio.run(main())


if __name__ == "__main__":
    found = section()
    print(*found.text, *found.targets, sep="\n")
