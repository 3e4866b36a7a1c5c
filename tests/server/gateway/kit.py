"""A provider that says what it is told to, gateways in front of it, here and in other processes, and their clients."""

import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.to_thread
import httpx2
import orjson

import millstream as ms
from cli.commands import environment, started
from millstream.server.gateway import Gateway, Keys
from millstream.streams import RetryPolicy
from server.serving import serving

ALICE, BOB = "alice-key-0123456789", "bob-key-0123456789abc"
UPSTREAM_KEY = "sk-of-the-gateway-itself"
QUESTION = [{"role": "user", "content": "Hi"}]


def chunk(delta=None, reason=None, choice=0, **more):
    """One message of an OpenAI stream."""
    entry = {"index": choice, "delta": delta or {}, "finish_reason": reason}
    value = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "real", "choices": [entry], **more}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def said(*words, reason="stop"):
    """The pieces of an answer, one per word, with its usage at the end."""
    usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
    head = chunk({"role": "assistant", "content": ""})
    tail = chunk(reason=reason) + chunk(usage=usage).replace(b'[{"index":0,"delta":{},"finish_reason":null}]', b"[]")
    return [head, *(chunk({"content": word}) for word in words), tail + b"data: [DONE]\n\n"]


CALL = [
    chunk({"role": "assistant", "content": None}),
    chunk({"tool_calls": [{"index": 0, "id": "call_7", "type": "function", "function": {"name": "add"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1,'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ' "b": 2}'}}]}),
    chunk(reason="tool_calls") + b"data: [DONE]\n\n",
]


class Model:
    """An ASGI application. Pieces are bytes to send, or events to wait for.

    Attributes: bodies, keys: of the requests. gone: how many clients left before the end.
    """

    def __init__(self, *pieces, status=200, headers=None, body=None):
        self.pieces = pieces
        self.status = status
        self.headers = {"content-type": "text/event-stream", **(headers or {})}
        self.body = body
        self.bodies = []
        self.keys = []
        self.gone = 0
        self.left = anyio.Event()

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(orjson.loads(body))
        self.keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self.body is not None:
            await send({"type": "http.response.body", "body": orjson.dumps(self.body)})
            return
        async with anyio.create_task_group() as tasks:

            async def watch():
                await receive()
                self.gone += 1
                self.left.set()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            for piece in self.pieces:
                if isinstance(piece, anyio.Event):
                    await piece.wait()
                else:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def gateway(*models, names=("m",), keys=None, server=serving, provider="compatible", **options):
    """A gateway in this process in front of these models; gives (url, gateway)."""
    async with anyio.create_task_group() as tasks:
        found = {}
        stops = []
        for name, model in zip(names, models, strict=False):
            ready, stop = anyio.Event(), anyio.Event()
            urls = []

            async def up(model=model, ready=ready, stop=stop, urls=urls):
                async with serving(model) as url:
                    urls.append(url)
                    ready.set()
                    await stop.wait()

            tasks.start_soon(up)
            await ready.wait()
            stops.append(stop)
            retry = RetryPolicy(max_attempts=1)
            found[name] = ms.provider(f"{provider}:real", base_url=urls[0] + "/v1", api_key=UPSTREAM_KEY, retry=retry)
        app = Gateway(found, keys=Keys(keys) if keys else None, **options)
        try:
            async with server(app, lifespan="on") as url:
                yield url, app
        finally:
            for stop in stops:
                stop.set()


def client(url, key=None, **headers):
    """An HTTP client of the gateway."""
    head = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=url, headers={**head, **headers}, timeout=20)


def body(**more):
    return {"model": "m", "messages": QUESTION, **more}


def ui_body(text="Hi", **more):
    return {"messages": [{"id": "u", "role": "user", "parts": [{"type": "text", "text": text}]}], **more}


def messages_of(data):
    """The SSE messages of a body: (id, decoded data or None for [DONE])."""
    found = ms.SSEParser().feed(data)
    return [(one.id, None if one.data == "[DONE]" else orjson.loads(one.data)) for one in found]


def text_of(data):
    """The text of a stream in OpenAI's wire."""
    deltas = [choice["delta"] for _, value in messages_of(data) if value for choice in value.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


@contextmanager
def process(upstream, *args, key=ALICE, **extra):
    """`millstream serve` in front of a model at this address; gives (url, process)."""
    keys = ("--api-key-env", "GATEWAY_KEYS") if key else ("--no-auth",)
    spec = f"m=compatible:real,base_url={upstream}/v1,key_env=UP_KEY"
    env = environment(GATEWAY_KEYS=f"{key} {BOB}", UP_KEY=UPSTREAM_KEY, PYTHONUNBUFFERED="1", **extra)
    with started("serve", "--port", "0", "--provider", spec, *keys, *args, env=env) as child:
        line = child.stdout.readline().decode()
        assert " on http" in line, line + child.stderr.read().decode()
        url = line.rpartition(" on ")[2].partition("/v1;")[0]
        yield url, child
        if child.poll() is None:
            child.kill()


QUICK = """
import socket, sys, uvicorn, millstream as ms
from millstream.server.gateway import Gateway, Keys
upstream, redis, key = sys.argv[1:]
models = {"m": ms.provider("compatible:real", base_url=upstream + "/v1")}
app = Gateway(models, keys=Keys([key]), log=ms.relay.RedisLog(redis, lease=1.0))
sock = socket.create_server(("127.0.0.1", 0))
print("http://%s:%s" % sock.getsockname(), flush=True)
uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None, log_level="critical")).run([sock])
"""


@contextmanager
def quick_process(upstream, redis):
    """A gateway in another process whose producers count as dead after a second; gives (url, process)."""
    command = [sys.executable, "-c", QUICK, upstream, redis, ALICE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as child:
        try:
            yield child.stdout.readline().strip(), child
        finally:
            child.kill()


async def settled(app, model=None):
    """Wait until nothing runs here any more, and the model has seen its client leave."""
    with anyio.fail_after(20):
        if model is not None:
            await model.left.wait()
        while app.figures.running:  # noqa: ASYNC110 - there is no event for tests
            await anyio.sleep(0.01)


async def ended(child, within):
    """Wait until a process has ended."""
    with anyio.fail_after(within):
        await anyio.to_thread.run_sync(child.wait, abandon_on_cancel=True)


async def up(url, key=ALICE):
    """Wait until a gateway in another process answers."""
    async with client(url, key) as http:
        for _ in range(400):
            try:
                if (await http.get("/health")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await anyio.sleep(0.05)
    raise AssertionError(os.getpid())
