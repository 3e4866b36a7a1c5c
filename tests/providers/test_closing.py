"""Leaving a stream stops the provider: bytes are counted at the server. Connections are used again only if clean."""

from __future__ import annotations

import gc
import gzip
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.http import Transport
from millstream.providers._http import shared_client
from providers.live import KEY, Connection, Scripted, chunk, head, whole
from providers.test_errors import END, GOOD, delta, event

pytestmark = pytest.mark.anyio

PIECE = chunk(event(delta("more and more ")))
WITHIN = 1.0


def endless(connection: Connection) -> None:
    connection.send(head())
    connection.send_until_left(PIECE)


def silent(connection: Connection) -> None:
    connection.send(head() + PIECE)
    connection.hold()


def unanswered(connection: Connection) -> None:
    connection.hold()


def model(url: str, **options: Any) -> ms.Provider:
    return ms.provider("openai:m", base_url=url, api_key=KEY, **options)


def assert_left(server: Scripted) -> None:
    """The server has seen the client go; after that it sends nothing."""
    assert server.connections[0].left.wait(WITHIN)


async def cancel_when_reached(server: Scripted, work: Callable[[], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.to_thread.run_sync(server.reached.wait, 30)
        tasks.cancel_scope.cancel()


async def first_text(events: AsyncIterator[ms.Event]) -> None:
    async for one in events:
        if isinstance(one, ms.TextDelta):
            return


@pytest.mark.parametrize("answer", [endless, silent])
async def test_leaving_the_block_closes_the_upstream(answer: Any) -> None:
    with Scripted(answer) as server:
        async with model(server.url).stream_text("hi") as events:
            await first_text(events)
        assert_left(server)


@pytest.mark.parametrize("answer", [endless, silent])
async def test_an_exception_in_the_block_closes_the_upstream(answer: Any) -> None:
    with Scripted(answer) as server:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with model(server.url).stream_text("hi") as events:
                await first_text(events)
                _ = 1 / 0
        assert_left(server)


@pytest.mark.parametrize("answer", [endless, silent, unanswered])
async def test_cancelling_closes_the_upstream(answer: Any) -> None:
    with Scripted(answer) as server:
        await cancel_when_reached(server, lambda: model(server.url).generate_text("hi"))
        assert_left(server)


async def test_closing_from_another_task_closes_the_upstream() -> None:
    with Scripted(silent) as server:
        events = model(server.url).stream_text("hi")

        async def consume() -> None:
            with pytest.raises(ms.StreamClosed):
                async for _ in events:
                    pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await anyio.to_thread.run_sync(server.reached.wait, 30)
            await events.aclose()
        assert_left(server)


async def test_leaving_an_object_stream_closes_the_upstream() -> None:
    with Scripted(endless) as server:
        async with model(server.url).stream_object("hi", dict[str, str], mode="words") as objects:
            async for _ in objects.events():
                break
        assert_left(server)


@pytest.mark.parametrize("answer", [endless, silent])
async def test_leaving_before_anything_was_read_closes_the_upstream(answer: Any) -> None:
    with Scripted(answer) as server:
        async with model(server.url).stream_text("hi"):
            pass
        assert_left(server)


@pytest.mark.parametrize("answer", [endless, silent])
async def test_leaving_early_leaves_no_generator_behind(answer: Any) -> None:
    with Scripted(answer) as server:
        for _ in range(2):
            async with model(server.url).stream_text("hi") as events:
                await first_text(events)
            del events
            gc.collect()  # trio warns of generators that were not finished, and warnings are errors here
            await anyio.lowlevel.checkpoint()


async def test_the_end_of_the_framing_may_come_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.providers._http.TAIL_SECONDS", 30.0)

    def slow_end(connection: Connection) -> None:
        connection.send(GOOD.removesuffix(b"0\r\n\r\n"))
        time.sleep(0.02)  # as a network does
        connection.send(b"0\r\n\r\n")

    with Scripted(slow_end) as server:
        for _ in range(2):
            assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert len(server.connections) == 1


async def test_streams_read_to_their_end_share_a_connection() -> None:
    with Scripted(GOOD) as server:
        for _ in range(3):
            assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert len(server.asked) == 3
        assert len(server.connections) == 1


@pytest.mark.parametrize("answer", [endless, silent])
async def test_a_connection_whose_read_was_cancelled_is_never_used_again(answer: Any) -> None:
    with Scripted(answer, GOOD) as server:
        one = model(server.url)
        await cancel_when_reached(server, lambda: one.generate_text("hi"))
        assert (await one.generate_text("hi")).text == "Hello"
        assert len(server.connections) == 2


async def test_a_body_that_stays_open_after_its_end_is_left_at_once() -> None:
    def lingering(connection: Connection) -> None:
        connection.send(GOOD.removesuffix(b"0\r\n\r\n"))
        connection.hold()

    with Scripted(lingering, GOOD) as server:
        with anyio.fail_after(20):  # the server waits until the client goes
            assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert len(server.connections) == 2


async def test_a_stream_that_nobody_opened_sends_nothing() -> None:
    with Scripted(GOOD) as server:
        events = model(server.url).stream_text("hi")
        await events.aclose()
        assert server.connections == []


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_each_event_loop_has_its_own_client_which_ends_with_it(backend: str) -> None:
    from millstream.providers._http import shared_client

    found = []

    async def main(url: str) -> None:
        assert (await model(url).generate_text("hi")).text == "Hello"
        found.append(await shared_client())
        assert await shared_client() is found[-1]

    with Scripted(GOOD) as server:
        for _ in range(2):
            name, options = ("asyncio", {"use_uvloop": True}) if backend == "uvloop" else (backend, {})
            anyio.run(main, server.url, backend=name, backend_options=options)
    assert found[0] is not found[1]
    assert [client.is_closed for client in found] == [True, True]


async def test_a_client_of_the_user_is_used_and_left_open() -> None:
    import httpx
    import httpx2

    for module in (httpx, httpx2):
        async with module.AsyncClient(headers={"x-mine": "yes"}, timeout=20) as client:
            with Scripted(GOOD) as server:
                assert (await model(server.url, client=client).generate_text("hi")).text == "Hello"
                assert "x-mine: yes" in server.asked[0][0]
            assert not client.is_closed


async def test_cookies_do_not_travel_from_one_answer_to_the_next_request() -> None:
    with Scripted(GOOD.replace(b"\r\n\r\n", b"\r\nset-cookie: session=secret\r\n\r\n", 1)) as server:
        for _ in range(2):
            await model(server.url).generate_text("hi")
        assert "cookie" not in server.asked[1][0].lower()


async def test_a_client_that_follows_redirects_does_not_follow_them_here() -> None:
    import httpx2

    with Scripted(GOOD) as other:
        moved = whole("307 Temporary Redirect", b"", more=f"location: {other.url}/\r\n")
        async with httpx2.AsyncClient(follow_redirects=True) as client:
            with Scripted(moved) as server, pytest.raises(ms.ProviderError, match="redirects are not followed"):
                await model(server.url, client=client, retry=None).generate_text("hi")
        assert other.asked == []


async def test_a_server_that_goes_on_after_the_end_of_the_answer_is_not_read_on() -> None:
    def goes_on(connection: Connection) -> None:
        connection.send(GOOD.removesuffix(b"0\r\n\r\n"))
        connection.send_until_left(chunk(b": more and more\n" * 1000))

    with Scripted(goes_on, GOOD) as server:
        assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert_left(server)
        assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert len(server.connections) == 2


async def test_an_answer_that_is_compressed_is_read_and_its_connection_used_again() -> None:
    data = b"".join(map(event, (delta("Hello"), END, b"[DONE]")))
    coded = whole("200 OK", gzip.compress(data), "text/event-stream", "content-encoding: gzip\r\n")
    with Scripted(coded) as server:
        for _ in range(2):
            assert (await model(server.url).generate_text("hi")).text == "Hello"
        assert len(server.connections) == 1


def test_without_an_http_client_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["httpx2"] = None
import anyio, millstream as ms
model = ms.provider("openai:m", base_url="http://127.0.0.1:1", api_key="k", retry=None)
anyio.run(model.generate_text, "hi")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "MissingExtra: providers speak HTTP through httpx2: pip install 'millstream[http]'" in done.stderr


WITHOUT_HTTPTOOLS = """
import sys
sys.modules["httptools"] = None
import anyio, millstream as ms
model = ms.provider("openai:m", base_url=sys.argv[1], api_key="k", retry=None)
print(anyio.run(model.generate_text, "hi", backend=sys.argv[2]).text)
assert "millstream.http._transport" not in sys.modules
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_without_httptools_the_transport_of_httpx2_serves(backend: str) -> None:
    with Scripted(GOOD) as server:
        command = [sys.executable, "-c", WITHOUT_HTTPTOOLS, server.url, backend]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.returncode) == ("Hello\n", 0), done.stderr
    assert len(server.asked) == 1


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Scripted(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await model("http://provider.invalid/v1").generate_text("hi")).text == "Hello"
    assert proxy.asked[0][0].startswith("POST http://provider.invalid/v1/chat/completions HTTP/1.1\r\n")


async def test_hosts_that_need_no_proxy_are_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    client = await shared_client()
    assert isinstance(client._transport, Transport)
