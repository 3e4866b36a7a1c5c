"""`Gateway`: models behind one address, as an ASGI application. Knows no provider, no framework and no server.

Not known here: how an answer is made (`_chats.py`), what bodies look like (`_chat_body.py`, `_ui_body.py`). This file
says who may ask what under which path; `_life.py` how the process begins and ends.
"""

from __future__ import annotations

import re
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from millstream.errors import StreamNotFound, UsageError
from millstream.relay import Hub, MemoryLog, Status, StreamLog
from millstream.server._asgi import Receive, Scope, Send
from millstream.server._negotiate import header
from millstream.server.gateway._chats import STREAM_ID, Asked, Chats, GatewayLimits, read_chat, read_ui
from millstream.server.gateway._figures import Figures
from millstream.server.gateway._http import Gone, Outgoing, Refused, read_body, refused, respond, respond_json
from millstream.server.gateway._life import Life
from millstream.server.gateway._metrics import MEDIA_TYPE
from millstream.server.gateway._routes import Call, Route, find
from millstream.server.gateway._ui_body import chat_stream_id
from millstream.server.gateway.keys import Keys
from millstream.server.limit import StreamLimit

__all__ = ["Gateway", "Resume"]

Resume = Literal["asked", "always", "never"]

LARGE_BYTES = 64 * 1024
ASK_HEADER = "x-millstream-resume"
WIRES = ("ui-message", "millstream.events.v1", "millstream.events.v1+ndjson")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ALLOWED_HEADERS = f"authorization, content-type, last-event-id, {ASK_HEADER}"
EXPOSED_HEADERS = f"{STREAM_ID}, x-request-id, retry-after"

_host = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)


class Gateway:
    """An OpenAI-compatible end point, and one for `useChat`, in front of any providers.

    Enter it (`async with gateway:`) before the first request, or let the server's lifespan do so.

    Args:
        models: name -> provider; clients choose by name, and of `/v1/chat` those that name none get the first.
        keys: who may ask; each key owns its streams. None: everybody, but only under a name of this machine (`hosts`),
            and no page of another site. There is no default, because a default would be a leak.
        log: where streams that can be resumed are kept; a `MemoryLog` by default. Several processes need a `RedisLog`.
        resume: "asked": for requests with the header `x-millstream-resume: 1`, an answer outlives its connection;
            "always": for all that do not send 0; "never": an answer ends with its connection.
        limits: what a request, an owner and all together may take.
        watchers: keys for `/metrics` and for the figures of `/health`; those of `keys` by default.
        origins: of pages that may ask (CORS), such as "https://app.example"; by default none.
        hosts: names of this machine that count without keys; by default those of the loopback.
        expose_errors: tell clients the words of providers' errors, instead of a sentence for their kind.
        grace: seconds that streams have to finish when the process is to stop.
        notice: seconds for which `/health` says so at least, so that a load balancer can see it.
        signals: those that begin the end, such as SIGTERM; then the server gets them.
        heartbeat, send_timeout, open_within: as for `EventStreamResponse`.
        patience: seconds for which a log that cannot be reached is tried again.
        worker: a label of all metrics, where several processes share an address.
    Raises: UsageError: no models, or an origin or a setting that will not do.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        keys: Keys | None,
        log: StreamLog | None = None,
        resume: Resume = "asked",
        limits: GatewayLimits | None = None,
        watchers: Keys | None = None,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = LOOPBACK,
        expose_errors: bool = False,
        grace: float = 10.0,
        notice: float = 0.0,
        signals: Iterable[signal.Signals] = (),
        heartbeat: float | None = 15.0,
        send_timeout: float | None = 60.0,
        open_within: float = 15.0,
        patience: float = 10.0,
        worker: str = "",
    ) -> None:
        if not models:
            raise UsageError("a gateway needs at least one model")
        if resume not in ("asked", "always", "never"):
            raise UsageError(f'resume is "asked", "always" or "never", not {resume!r}')
        self.models = dict(models)
        self._keys = keys
        self._watchers = watchers or keys
        self._resume = resume
        self._limits = limits or GatewayLimits()
        self.figures = Figures(self.models, StreamLimit(self._limits.max_streams, self._limits.max_running))
        self._origins = frozenset(map(_origin, origins))
        self._hosts = frozenset(name.lower() for name in hosts)
        self._expose = expose_errors
        self._common = {"worker": worker} if worker else {}
        self._since = int(time.time())
        self._reading = CapacityLimiter(2)  # of large bodies: one may take 25 times its size while it is read
        # Whose a stream is stands in its key, so the hub needs not ask again.
        hub = (
            None
            if resume == "never"
            else Hub(log or MemoryLog(), authorize=lambda owner, stream: True, patience=patience)
        )
        self._life = Life(hub, lambda: self.figures.running, grace=grace, notice=notice, signals=signals)
        times = {"heartbeat": heartbeat, "send_timeout": send_timeout, "open_within": open_within}
        settings = {**times, "expose_errors": expose_errors}
        self._chats = Chats(self.models, self.figures, hub, self._life.drain, self._limits, settings)
        self._routes = (
            Route("/v1/chat/completions", {"POST": self._completions}),
            Route("/v1/chat", {"POST": self._chat}),
            Route("/v1/chat/{}/stream", {"GET": self._chat_again}),
            Route("/v1/models", {"GET": self._list}),
            Route("/v1/models/{}", {"GET": self._model}, slashes=True),
            Route("/v1/streams/{}", {"GET": self._stream, "DELETE": self._cancel}),
            Route("/v1/streams/{}/cancel", {"POST": self._cancel}),
            Route("/v1/streams/{}/status", {"GET": self._status}),
            Route("/health", {"GET": self._health}),
            Route("/metrics", {"GET": self._metrics}),
        )

    async def __aenter__(self) -> Self:
        """Reach the log, and listen for the signals. Raises: LogError."""
        await self._life.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what runs, and leave the log."""
        await self._life.__aexit__(kind, error, trace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live as long as the server's lifespan. Raises: UsageError: a websocket."""
        if scope["type"] == "lifespan":
            await self._life.span(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise UsageError(f"the gateway answers HTTP requests, not {scope['type']}")

    # --- one request -----------------------------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = header(scope, b"origin")
        allowed = origin in self._origins
        headers = {"x-request-id": secrets.token_hex(8)}
        if self._origins:
            headers["vary"] = "origin"
        if allowed:
            headers |= {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED_HEADERS}
        out = Outgoing(send, headers)
        path = scope["path"].removeprefix(scope.get("root_path") or "")
        route, arg = find(self._routes, path)
        try:
            if scope["method"] == "OPTIONS" and allowed:
                await self._preflight(route, out)
                return
            self._refuse_strangers(scope, origin, allowed)
            if route is None:
                raise Refused(404, f"there is no {path[:100]!r} here", code="no_such_path")
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            handler = route.methods.get(method)
            if handler is None:
                allow = ", ".join(route.methods)
                raise Refused(405, f"{route.path} wants {allow}, not {method[:20]}", headers={"allow": allow})
            await handler(Call(scope, receive, out, arg))
        except Gone:
            pass
        except Refused as refusal:
            await respond_json(out, refusal.status, refusal.body, refusal.headers)
        except Exception:
            if not out.status:
                await respond_json(out, 500, Refused(500, "this gateway failed").body)
            raise
        finally:
            if route is not None and route.path != "/health":
                self.figures.answered(route.path, out.status)

    async def _preflight(self, route: Route | None, out: Outgoing) -> None:
        methods = ", ".join(route.methods) if route is not None else "GET"
        head = {"access-control-allow-methods": methods, "access-control-allow-headers": ALLOWED_HEADERS}
        await respond(out, 204, b"", "", {**head, "access-control-max-age": "600"})

    def _refuse_strangers(self, scope: Scope, origin: str, allowed: bool) -> None:
        """Without keys a page on another site, or on a name that was turned to this address, must not get in."""
        if self._keys is not None:
            return
        host = header(scope, b"host")
        match = _host.fullmatch(host)
        if match is None or (match[1] or match[2]).lower() not in self._hosts:
            raise Refused(403, "this gateway has no keys, so it answers under a name of this machine only")
        if origin and not allowed and origin.partition("://")[2] != host:
            raise Refused(403, "this origin may not ask here")

    def _owner(self, call: Call, keys: Keys | None) -> str:
        if keys is None:
            return ""
        owner = keys.owner(header(call.scope, b"authorization"))
        if owner is None:
            said = "no such key; send one of this gateway's in the header authorization: Bearer KEY"
            raise Refused(401, said, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
        return owner

    # --- answers ---------------------------------------------------------------------------------------------------

    async def _completions(self, call: Call) -> None:
        await self._ask(call, lambda body: read_chat(body, self.models, expose=self._expose))

    async def _chat(self, call: Call) -> None:
        named = parse_qs(call.scope.get("query_string", b"").decode("latin-1")).get("protocol", [WIRES[0]])[0]
        wire = WIRES[1] if named == "native" else named
        if wire not in WIRES:
            raise Refused(400, f"protocol is one of {', '.join(WIRES)}", param="protocol")
        await self._ask(call, lambda body: read_ui(body, self.models, wire, expose=self._expose))

    async def _ask(self, call: Call, read: Callable[[bytes], Asked]) -> None:
        live = self._chats.admit(self._owner(call, self._keys))
        try:
            asked = await self._read(call, read, partial(self._chats.hold, live))
            wish = header(call.scope, ASK_HEADER.encode()).lower()
            resumable = wish in ("1", "true") if self._resume == "asked" else wish not in ("0", "false")
            await self._chats.answer(asked, live, call.scope, call.receive, call.out, resumable=resumable)
        except BaseException:
            live.end()
            raise

    async def _read(self, call: Call, read: Callable[[bytes], Asked], hold: Callable[[int], None]) -> Asked:
        limits = self._limits
        body = await read_body(
            call.scope, call.receive, max_bytes=limits.max_body_bytes, within=limits.body_within, hold=hold
        )
        try:
            # What takes more than a moment must not hold up the others' streams.
            large = len(body) > LARGE_BYTES
            return await run_sync(read, body, limiter=self._reading) if large else read(body)
        except UsageError as error:
            raise refused(error, expose=False) from error

    async def _chat_again(self, call: Call) -> None:
        """As `useChat` with `resume` asks: the answer that is under way, from its beginning; else 204."""
        owner = self._owner(call, self._keys)
        stream_id = chat_stream_id(call.arg)
        status = Status.MISSING
        if self._resume != "never":
            status = (await self._chats.status(stream_id, owner)).status
        if status is Status.OPEN:
            await self._chats.resume(stream_id, owner, call.scope, call.receive, call.out)
        else:
            await respond(call.out, 204, b"", "", {})

    async def _stream(self, call: Call) -> None:
        await self._chats.resume(call.arg, self._owner(call, self._keys), call.scope, call.receive, call.out)

    async def _cancel(self, call: Call) -> None:
        before = await self._chats.cancel(call.arg, self._owner(call, self._keys))
        await respond_json(call.out, 200, {"id": call.arg, "was": before.value})

    async def _status(self, call: Call) -> None:
        info = await self._chats.status(call.arg, self._owner(call, self._keys))
        if info.status is Status.MISSING:
            raise refused(StreamNotFound("no such stream"), expose=False)
        shown = {"status": info.status.value, "entries": info.seq, "age": round(info.age, 3), "protocol": info.protocol}
        await respond_json(call.out, 200, {"id": call.arg, **shown})

    # --- what there is, and how it does ----------------------------------------------------------------------------

    def _card(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "millstream"}

    async def _list(self, call: Call) -> None:
        self._owner(call, self._keys)
        await respond_json(call.out, 200, {"object": "list", "data": [self._card(name) for name in self.models]})

    async def _model(self, call: Call) -> None:
        self._owner(call, self._keys)
        if call.arg not in self.models:
            raise Refused(404, f"there is no model {call.arg!r:.100} here", param="model", code="model_not_found")
        await respond_json(call.out, 200, self._card(call.arg))

    async def _health(self, call: Call) -> None:
        """Whether to send requests here; figures only for who may see them."""
        draining = self._life.drain.draining
        shown: dict[str, Any] = {"status": "draining" if draining else "ok"}
        if self._watchers is None or self._watchers.owner(header(call.scope, b"authorization")) is not None:
            shown["streams"] = self.figures.health()
        await respond_json(call.out, 503 if draining else 200, shown)

    async def _metrics(self, call: Call) -> None:
        self._owner(call, self._watchers)
        text = self.figures.metrics(self._common, draining=self._life.drain.draining)
        await respond(call.out, 200, text.encode(), MEDIA_TYPE, {})


def _origin(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.netloc or given != f"{parts.scheme}://{parts.netloc}":
        raise UsageError(f"an origin looks like https://app.example, not {given!r:.100}")
    return given
