"""The little of ASGI that our applications and responses share.

Not known here: events, streams, recordings. Source: the ASGI HTTP specification, version 2.3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio
import orjson

__all__ = ["Message", "Receive", "Scope", "Send", "respond_json", "send_body", "send_start", "while_connected"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def send_start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send the status line and the headers; names are lowered as ASGI wants them.

    Raises: UnicodeEncodeError: a header is not latin-1.
    """
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def send_body(send: Send, body: bytes, *, more: bool) -> None:
    """Send one piece of the body; `more` false ends the response."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def respond_json(send: Send, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole JSON response.

    Args:
        status: the HTTP status.
        value: what orjson can encode.
        headers: besides content type and length.
    """
    body = orjson.dumps(value)
    head = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await send_start(send, status, head)
    await send_body(send, body, more=False)


async def while_connected(receive: Receive, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`, and cancel it as soon as the client has gone.

    Listening to `receive` works with servers of every ASGI version; an upstream that is silent is left at once, not at
    the next failing `send` (STREAMS.md, S16). The request body is read and dropped.

    Args:
        receive: of the ASGI application.
        work: sends the response.
    Raises: what `work` raises, not wrapped in an ExceptionGroup.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        try:
            await work()
        except Exception as error:  # re-raised below, outside of the group that would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
