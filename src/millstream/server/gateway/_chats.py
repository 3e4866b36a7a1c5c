"""From a request for an answer to the answer: streamed, streamed through the relay, or whole.

Theory: an answer that only its client reads belongs to the connection: when the client leaves, the upstream is closed.
One that can be resumed belongs to the relay: the hub produces it, the connection reads it as any later one could, and
only a cancellation stops it. Either way the upstream is asked before status 200 goes out, so its refusal is a status.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import anyio

from millstream.errors import InvalidMessage, LimitExceeded, StreamError, StreamNotFound, TooManyStreams, UsageError
from millstream.messages import Request
from millstream.protocols import Encoder, encoder
from millstream.protocols.encoders.openai_chat import OpenAIChatEncoder
from millstream.protocols.encoders.ui_message import UIMessageEncoder
from millstream.relay import Hub, Status, StreamInfo, Subscription, new_stream_id
from millstream.server._asgi import Receive, Scope, while_connected
from millstream.server.drain import Drain
from millstream.server.gateway._chat_body import ChatBody, read_messages
from millstream.server.gateway._completion import Completion
from millstream.server.gateway._figures import Figures, Live, Watched
from millstream.server.gateway._http import Outgoing, Refused, refused, respond_json
from millstream.server.gateway._settings import parsed, request_of, typed
from millstream.server.gateway._ui_body import UIBody, chat_stream_id, read_ui_messages
from millstream.server.responses import EventStreamResponse
from millstream.streams import Stream

__all__ = ["STREAM_ID", "Asked", "Chats", "GatewayLimits", "read_chat", "read_ui"]

STREAM_ID = "x-millstream-stream-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """What one request, one owner, and all of them in this process may take. Several processes share no counts.

    Attributes:
        max_body_bytes: of a request. Images travel in it as base64.
        body_within: seconds in which it must have come.
        max_answer_bytes: of an answer that is not streamed, until it is whole; each of its pieces counts 64 more.
        max_streams: requests of one owner that are read or answered at once.
        max_running: those of all owners.
        max_held_bytes: bodies and whole answers of all of them together.
    Raises: UsageError: one of them is not positive.
    """

    max_body_bytes: int = 16 << 20
    body_within: float = 30.0
    max_answer_bytes: int = 32 << 20
    max_streams: int = 64
    max_running: int = 10_000
    max_held_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise UsageError("all limits of a gateway must be positive")


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a request asks for.

    Attributes:
        model: the gateway's name of it.
        request: for the provider.
        wire: of the answer.
        streamed: as it comes, or whole.
        stream_id: under which it can be resumed.
    """

    model: str
    request: Request
    wire: Encoder
    stream_id: str
    streamed: bool = True


def read_chat(body: bytes, models: dict[str, Any], *, expose: bool) -> Asked:
    """Read the body of `POST /v1/chat/completions`. Raises: InvalidMessage. Refused: 404, no such model."""
    given, rest = typed(parsed(body), ChatBody)
    if not given.model:
        raise InvalidMessage("model is missing", field="model")
    model, protocol = _model(given.model, models)
    request = request_of(given, read_messages(given.messages), rest, protocol)
    streamed = bool(given.stream)
    if given.stream_options is not None and not streamed:
        raise InvalidMessage("stream_options is for streams only", field="stream_options")
    stream_id = new_stream_id()
    wire = OpenAIChatEncoder(
        include_usage=not streamed or bool(given.stream_options and given.stream_options.include_usage),
        created=int(time.time()),
        model=model,
        id=f"chatcmpl-{stream_id}",
        expose_errors=expose,
    )
    return Asked(model=model, request=request, wire=wire, streamed=streamed, stream_id=stream_id)


def read_ui(body: bytes, models: dict[str, Any], protocol: str, *, expose: bool) -> Asked:
    """Read the body of `POST /v1/chat`. Args: protocol: of the answer. Raises: as `read_chat`."""
    given, rest = typed(parsed(body), UIBody)
    model, spoken = _model(given.model or next(iter(models)), models)
    request = request_of(given, read_ui_messages(given.messages, given.system), rest, spoken)
    wire = encoder(protocol, expose_errors=expose)
    if isinstance(wire, UIMessageEncoder) and given.messages[-1].role != "assistant":
        # A page that comes back must be able to tell this message from its others.
        wire = UIMessageEncoder(message_id=f"msg-{secrets.token_urlsafe(12)}", expose_errors=expose)
    stream_id = chat_stream_id(given.id) if given.id else new_stream_id()
    return Asked(model=model, request=request, wire=wire, stream_id=stream_id)


def _model(name: str, models: dict[str, Any]) -> tuple[str, str]:
    found = models.get(name)
    if found is None:
        raise Refused(404, f"there is no model {name!r:.100} here", param="model", code="model_not_found")
    return name, getattr(found, "protocol", "")


def _full() -> Refused:
    return Refused(503, "this gateway is full", code="overloaded", headers={"retry-after": "1"})


class Chats:
    """Answers.

    Args: hub: None where nothing can be resumed. settings: of each `EventStreamResponse`.
    """

    def __init__(
        self,
        models: dict[str, Any],
        figures: Figures,
        hub: Hub | None,
        drain: Drain,
        limits: GatewayLimits,
        settings: dict[str, Any],
    ) -> None:
        self._models = models
        self._figures = figures
        self._hub = hub
        self._drain = drain
        self._limits = limits
        self._settings = settings

    async def answer(
        self, asked: Asked, live: Live, scope: Scope, receive: Receive, out: Outgoing, *, resumable: bool
    ) -> None:
        """Answer what was admitted as `live`. Raises: Refused: nothing has been sent."""
        self._refuse_late()
        live.begin(asked.model)
        try:
            try:
                stream = self._models[asked.model].stream_text(asked.request)
            except (StreamError, UsageError) as error:
                raise refused(error, expose=self._settings["expose_errors"]) from error
            watched = stream._then(lambda source: Watched(source, live, self._figures))
            if not asked.streamed:
                await self._whole(asked, watched, live, receive, out)
            elif resumable and self._hub is not None:
                await self._relayed(self._hub, asked, watched, live, scope, receive, out)
                return  # it runs on without this request
            else:
                live.opened = lambda error: self._opened(error, out)
                await self._respond(asked.wire, watched, {})(scope, receive, out)
        except BaseException:
            live.end()
            raise
        live.end()

    def admit(self, owner: str) -> Live:
        """Let a request in, before its body is read; call `end` of what is returned. Raises: Refused."""
        self._refuse_late()
        try:
            return self._figures.admit(owner)
        except TooManyStreams as error:
            if error.of_all:
                raise _full() from None
            said = f"{error.limit} streams of this key are running already"
            raise Refused(429, said, code="too_many_streams", headers={"retry-after": "1"}) from None

    def hold(self, live: Live, n_bytes: int) -> None:
        """Let this request keep so many bytes more. Raises: Refused: all together would keep too many."""
        if self._figures.held_bytes + n_bytes > self._limits.max_held_bytes:
            raise _full()
        live.hold(n_bytes)

    def _refuse_late(self) -> None:
        if self._drain.draining:
            headers = {"retry-after": "1", "connection": "close"}
            raise Refused(503, "this gateway is shutting down; ask again", code="draining", headers=headers)

    def _respond(self, wire: Encoder | str, source: Any, headers: dict[str, str]) -> EventStreamResponse:
        return EventStreamResponse(source, protocol=wire, headers=headers, drain=self._drain, **self._settings)

    def _opened(self, error: Exception | None, out: Outgoing) -> None:
        """Turn what kept the upstream from opening into a refusal, while there is no status yet."""
        if isinstance(error, StreamError) and not out.status:
            raise refused(error, expose=self._settings["expose_errors"]) from error

    async def _whole(self, asked: Asked, stream: Stream[Any], live: Live, receive: Receive, out: Outgoing) -> None:
        assert isinstance(asked.wire, OpenAIChatEncoder)  # noqa: S101  (the only wire that has a whole form)
        completion = Completion(asked.wire)

        async def work() -> None:
            try:
                async with stream:
                    async for batch in stream.batches():
                        n_bytes = sum(map(completion.add, batch))
                        if completion.n_bytes > self._limits.max_answer_bytes:
                            raise self._too_much(asked.model)
                        self.hold(live, n_bytes)
                result = completion.result()
            except StreamError as error:
                raise refused(error, expose=self._settings["expose_errors"]) from error
            await respond_json(out, 200, result)

        await while_connected(receive, work)

    def _too_much(self, model: str) -> Refused:
        most = self._limits.max_answer_bytes
        limit = LimitExceeded(f"an answer of {model!r} is larger than {most}", option="max_answer_bytes", limit=most)
        self._figures.failed(model, limit)
        said = f"the whole answer is larger than {most} bytes; ask for it as a stream"
        return Refused(502, said, code="answer_too_large")

    # --- through the relay -----------------------------------------------------------------------------------------

    async def _relayed(
        self,
        hub: Hub,
        asked: Asked,
        stream: Stream[Any],
        live: Live,
        scope: Scope,
        receive: Receive,
        out: Outgoing,
    ) -> None:
        owner = live.owner
        upstream = anyio.Event()
        failure: list[Exception] = []

        def opened(error: Exception | None) -> None:
            failure.extend([error] if error is not None else [])
            upstream.set()

        live.opened = opened

        async def subscribed(last_event_id: str | None) -> Subscription:
            with anyio.move_on_after(self._settings["open_within"]):
                await upstream.wait()
            if failure:
                await run.wait()
                await hub.delete(asked.stream_id, owner=owner, scope=owner)
                self._opened(failure[0], out)
            return hub.subscribe(asked.stream_id, owner=owner, scope=owner)

        try:
            run = await hub.publish(
                asked.stream_id, lambda: stream, on_exists="replace", protocol=asked.wire, owner=owner
            )
        except StreamError as error:
            raise refused(error, expose=False) from error
        await self._respond(asked.wire.name, subscribed, {STREAM_ID: asked.stream_id})(scope, receive, out)

    async def status(self, stream_id: str, owner: str) -> StreamInfo:
        """Return what is known of a stream. Raises: Refused."""
        hub = self._kept()
        try:
            return await hub.status(stream_id, owner=owner, scope=owner)
        except StreamError as error:
            raise refused(error, expose=False) from error

    async def cancel(self, stream_id: str, owner: str) -> Status:
        """Stop a stream, wherever it is produced, and return the status before. Raises: Refused."""
        hub = self._kept()
        try:
            return await hub.cancel(stream_id, owner=owner, scope=owner)
        except StreamError as error:
            raise refused(error, expose=False) from error

    async def resume(self, stream_id: str, owner: str, scope: Scope, receive: Receive, out: Outgoing) -> None:
        """Serve a stream of the relay from after `Last-Event-ID`, or from its beginning."""
        hub, info = self._kept(), await self.status(stream_id, owner)
        if info.status is Status.MISSING:  # or another's: the two take the same steps and look the same
            raise refused(StreamNotFound("no such stream"), expose=False)

        def subscribed(last_event_id: str | None) -> Subscription:
            return hub.subscribe(stream_id, after=last_event_id, owner=owner, scope=owner)

        await self._respond(info.protocol, subscribed, {STREAM_ID: stream_id})(scope, receive, out)

    def _kept(self) -> Hub:
        """Return the hub. Raises: Refused: there is none."""
        if self._hub is None:
            raise Refused(404, "this gateway keeps no streams")
        return self._hub
