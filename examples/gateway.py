"""A gateway: one key for several models, and answers that survive a broken connection."""

import os
import socket

import anyio
import httpx2
import uvicorn

import millstream as ms
from millstream.server.gateway import Gateway, Keys

KEY = os.environ.get("GATEWAY_KEY") or "a-key-of-at-least-16-characters"


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    gateway = Gateway({"fast": model, "careful": model}, keys=Keys([KEY]))
    server = uvicorn.Server(uvicorn.Config(gateway, lifespan="on", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = "http://{}:{}".format(*sock.getsockname())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [sock])
            try:
                await ask(url)
            finally:
                server.should_exit = True


async def ask(url: str) -> None:
    """As any client of OpenAI would; by hand, to show what goes over the wire."""
    body = {"model": "fast", "stream": True, "messages": [{"role": "user", "content": "What is a river?"}]}
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as http:
        names = [one["id"] for one in (await http.get("/v1/models")).json()["data"]]
        print("models:", ", ".join(names))
        keep = {"x-millstream-resume": "1"}  # the answer shall outlive this connection
        parser, seen = ms.SSEParser(), []
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=keep) as answer:
            stream = "/v1/streams/" + answer.headers["x-millstream-stream-id"]
            async for data in answer.aiter_bytes():
                seen += parser.feed(data)
                if len(seen) >= 5:
                    break  # the connection is cut
        seen = seen[:5]
        rest = await http.get(stream, headers={"last-event-id": seen[-1].id})
        decoder = ms.decoder("openai-chat")
        text = [e.text for e in decoder.feed(b"".join(map(framed, seen)) + rest.content) if isinstance(e, ms.TextDelta)]
        print("the whole answer, in two parts:", "".join(text))


def framed(message: ms.SSEMessage) -> bytes:
    return f"data: {message.data}\n\n".encode()


anyio.run(main)
