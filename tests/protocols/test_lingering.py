"""A server that has said everything and does not hang up: real HTTP, with a body that never ends."""

from __future__ import annotations

import anyio
import httpx2
import pytest

import millstream as ms
from protocols.captures import APIS, body_of, events_of

pytestmark = [
    pytest.mark.anyio,
    # httpx2 leaves its inner generators over a body to the garbage collector; trio warns of that.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx.*garbage collected:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore.*garbage collected:ResourceWarning"),
]

# Or by `[DONE]`, where it comes.
ENDED_BY_THE_BODY = {"gemini", "llamacpp-native", "mcp-sse"}


def ended_by_themselves() -> dict[str, str]:
    """Of each wire one capture whose last message says that it is the last."""
    found: dict[str, str] = {}
    for file, api in APIS.items():
        if api not in found and len(body_of(file)) < 60_000 and events_of(file)[-1].reason != "error":
            decoder = ms.decoder(api)
            if decoder.feed(body_of(file)) and decoder.ended:
                found[api] = file
    return found


FILES = ended_by_themselves()


def test_nearly_every_wire_has_an_end_of_its_own() -> None:
    assert {*APIS.values()} - ENDED_BY_THE_BODY <= FILES.keys()


@pytest.mark.parametrize("api", FILES)
async def test_a_body_that_lingers_after_the_end_does_not_delay_it(api: str, anyio_backend: str) -> None:
    body, hung_up = body_of(FILES[api]), anyio.Event()

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            media_type = ms.decoder(api).media_types[0]
            await stream.send(f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n\r\n".encode() + body)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()  # no end of the body until the client leaves
            hung_up.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        with anyio.fail_after(10):
            async with (
                httpx2.AsyncClient() as client,
                client.stream("GET", url) as response,
                ms.stream(response, protocol=api) as events,
            ):
                got = [event async for event in events]
            await hung_up.wait()
        tasks.cancel_scope.cancel()
    assert [event.type for event in got] == [event.type for event in events_of(FILES[api])]
