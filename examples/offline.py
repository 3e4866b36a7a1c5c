"""Run an example without a key and without a network: `python examples/offline.py basic_text.py`.

Plays recorded answers on a loopback port, as OpenAI would send them, and points the example at it. Where nobody has
recorded what an example shows (tools at the same time, a workflow, a poem, failures), the answer is written here.
Needs `pip install 'millstream[cli]'`.
"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import uvicorn

import millstream as ms
from millstream.server.replay import RECORDING_HEADER, Recording, ReplayApp, load_recordings

HERE = Path(__file__).resolve().parent
CHAT = "/v1/chat/completions"


def written(name: str, *events: ms.Event) -> Recording:
    wire = ms.encoder("openai-chat")
    chunks = [*map(wire.encode, [ms.Start("written"), *events]), wire.close()]
    info = {"endpoint": CHAT, "content_type": "text/event-stream"}
    return Recording(name, info, 0.0, tuple((i / 10, chunk) for i, chunk in enumerate(chunks)))


def asks(name: str, **calls: str) -> Recording:
    """The model asks for tools, by name with their arguments."""
    events = [ms.ToolCall(f"call-{i}", tool, calls[tool].encode(), index=i) for i, tool in enumerate(calls)]
    return written(name, *events, ms.Finish(ms.FinishReason.TOOL_CALLS))


def says(name: str, text: str) -> Recording:
    return written(name, ms.TextDelta(text), ms.Finish(ms.FinishReason.STOP))


OVERLOADED = ms.Error(ms.Overloaded("the model is overloaded, try again"))
WRITTEN = [
    asks(
        "three-tools",
        get_weather='{"city": "NYC"}',
        query_growth='{"table": "users"}',
        analyze_trend='{"values": [1, 4, 9]}',
    ),
    says("done", "It is sunny in NYC, and users keep growing."),
    asks("search", web_search='{"query": "AI market trends"}'),
    asks("analyze", analyze_data='{"numbers": [184.0, 244.0, 312.0]}'),
    asks("report", write_report='{"title": "AI market", "summary": "Growing by 30 % a year"}'),
    asks("email", send_email='{"to": "team@example.com", "subject": "AI market"}'),
    says("poem", "Roses are red,\n\nviolets are blue.\n"),
    written("overloaded", OVERLOADED),
    written("broken", ms.TextDelta("Cloud computing is "), OVERLOADED),
]

ANSWERS = {
    "basic_text.py": ["demo-chat"],
    "collect.py": ["chat-text-usage"],
    "error_recovery.py": ["overloaded", "broken", "chat-text"],
    "event_processing.py": ["chat-tool-call", "chat-text-usage"],
    "filters.py": ["chat-text-usage"],
    "incremental_fields.py": ["demo-object"],
    "interactive_chat.py": ["demo-chat"],
    "live_tools.py": ["three-tools", "done"],
    "multi_step_workflow.py": ["search", "analyze", "report", "email"],
    "pipe.py": ["poem"],
    "progress.py": ["chat-text-usage"],
    "structured_object.py": ["demo-object"],
}
"""What an example is answered, request by request. All others: "chat-text"."""


class Offline:
    """An ASGI application that plays recordings in this order, the last one again and again; keeps what it was sent."""

    def __init__(self, answers: Sequence[str], *, speed: float = 2.0) -> None:
        recordings = load_recordings() | load_recordings(HERE.parent / "tests" / "recordings")
        self.replay = ReplayApp(recordings | {one.name: one for one in WRITTEN}, speed=speed)
        self.answers = list(answers)
        self.requests: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()

        async def heard() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body", False):
                self.requests.append(bytes(body))
            return message

        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = [*scope["headers"], (RECORDING_HEADER.encode(), answer.encode())]
        await self.replay({**scope, "headers": headers}, heard, send)


async def main(example: str) -> int:
    app = Offline(ANSWERS.get(example, ["chat-text"]))
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none", access_log=False))
    env = {**os.environ, "MODEL": "openai:replay", "BASE_URL": f"http://127.0.0.1:{sock.getsockname()[1]}/v1"}
    command = [sys.executable, str(HERE / example)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [sock])
        done = await anyio.run_process(command, env=env, stdin=sys.stdin, stdout=None, stderr=None, check=False)
        server.should_exit = True
    return done.returncode


if __name__ == "__main__":
    example = Path(sys.argv[1]).with_suffix(".py").name if len(sys.argv) == 2 else ""
    sys.exit(anyio.run(main, example) if (HERE / example).is_file() else __doc__)
