"""Faults 43 to 57: a consumer that leaves, raises, stalls, is cancelled anywhere, forks, or never comes."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

import millstream as ms
from faults.invariants import comparable, gone
from faults.layers import LAYERS, TLS, Layer, Served
from faults.proxy import Hurt, Proxy
from millstream.server.replay import ReplayApp
from providers.live import KEY, Connection, Scripted, chunk, head
from providers.test_errors import delta, event
from streams.probe import Probe

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Async generator 'httpcore2.*garbage collected:ResourceWarning"),
]

PIECE = chunk(event(delta("more and more ")))


def endless(connection: Connection) -> None:
    connection.send(head())
    connection.send_until_left(PIECE)


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest) -> Layer:
    return request.param


CHAT = Served("", "openai-chat", "/v1/chat/completions", b"", 0)


def in_memory(served: Served, **options: Any) -> ms.Provider:
    """A provider over the real HTTP client, with an application in place of sockets: every await is one of ours."""
    transport = httpx2.ASGITransport(ReplayApp(speed=float("inf")))
    kind, base = ("anthropic", "") if served.api == "anthropic-messages" else ("openai", "/v1")
    client = httpx2.AsyncClient(transport=transport, verify=TLS)
    headers = {"x-millstream-recording": served.name}
    return ms.provider(f"{kind}:m", base_url="http://it" + base, api_key=KEY, client=client, headers=headers, **options)


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 2, 5, 20])
async def test_fault_43_leaving_after_k_events_closes_the_upstream_within_a_second(layer: Layer, k: int) -> None:
    with Scripted(endless) as server:
        async with layer(server.url, CHAT) as stream:
            async with stream as events:
                for _ in range(k):
                    await anext(events)
            assert await gone(server.connections[0])
        assert len(server.connections) == 1


async def test_fault_43_at_every_event_of_a_recording(served: Served, layer: Layer) -> None:
    with Proxy(served.port) as proxy:
        for k in range(0, len(served.truth), max(1, len(served.truth) // 12)):
            async with layer(proxy.url, served) as stream, stream as events:
                got = [await anext(events) for _ in range(k)]
            assert comparable(got) == comparable(served.truth[:k])
            assert await gone(proxy.connections[-1])


async def test_fault_44_a_stream_that_nobody_reads_opens_and_leaves_nothing(layer: Layer) -> None:
    with Scripted(endless) as server:
        async with layer(server.url, CHAT) as stream:
            del stream
            gc.collect(1)
            async with layer(server.url, CHAT) as other:
                await other.aclose()
        assert server.connections == []


async def test_fault_45_a_consumer_that_raises(layer: Layer) -> None:
    async def in_the_loop(events: Any) -> None:
        async with events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    raise ZeroDivisionError

    async def in_a_callback(events: Any) -> None:
        await events.map(lambda one: 1 / 0).collect()

    async def in_a_tap_behind_a_buffer(events: Any) -> None:
        def crash(one: Any) -> None:
            if isinstance(one, ms.TextDelta):
                raise ZeroDivisionError

        async with events.tap(crash).buffer(4) as buffered:
            await buffered.collect()

    for way in (in_the_loop, in_a_callback, in_a_tap_behind_a_buffer):
        with Scripted(endless) as server:
            async with layer(server.url, CHAT) as stream:
                with pytest.raises(ZeroDivisionError):
                    await way(stream)
            assert await gone(server.connections[0])


# --- cancelled -------------------------------------------------------------------------------------------------------


async def cancelled_after(n: int, work: Callable[[], Awaitable[object]]) -> bool:
    """Cancel it after `n` turns of the loop; whether it was still running."""
    over = False

    async def run() -> None:
        nonlocal over
        await work()
        over = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for _ in range(n):
            await anyio.lowlevel.checkpoint()
            if over:
                return False
        tasks.cancel_scope.cancel()
    return not over


CHAINS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda s: s,
    "operators": lambda s: s.map(lambda one: one).timeout(ms.Timeouts(idle=60, total=60)).filter(lambda one: True),
    "tasks": lambda s: s.buffer(2).map_ordered(later, 2).keep_alive(60.0).monitor(ms.StreamMonitor()),
}


async def later(one: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    return one


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
async def test_fault_46_cancelled_at_every_await(served: Served, chain: Any) -> None:
    """A whole provider in memory, cancelled at step 1, 2, ... until it gets through; each time a prefix, all closed."""
    model = in_memory(served)
    long = os.environ.get("MILLSTREAM_LONG") == "1"
    n = 0
    running = True
    while running:
        got: list[Any] = []

        async def work(got: list[Any] = got) -> None:
            async with chain(model.stream_text("hi")) as events:
                async for one in events:
                    got.append(one)

        running = await cancelled_after(n, work)
        assert comparable(got) == comparable(served.truth[: len(got)])
        n += 1 if long or n < 60 else 13
    assert comparable(got) == comparable(served.truth)


async def test_fault_46_asyncio_cancels_a_task_at_every_await(served: Served, anyio_backend: str) -> None:
    """`task.cancel()` hits once, where a cancelled scope hits at every await."""
    if anyio_backend == "trio":
        pytest.skip("trio has no other cancellation than scopes: the test above")
    model = in_memory(served)
    for n in [*range(60), *range(60, 400, 13)]:
        task = asyncio.ensure_future(model.generate_text("hi"))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            assert (await task).reason


async def test_fault_47_cancelled_twice_and_while_it_closes(layer: Layer) -> None:
    for pause in (0.0, 0.001, 0.02):
        with Scripted(endless) as server:
            async with layer(server.url, CHAT) as stream, anyio.create_task_group() as tasks:

                async def work(stream: Any = stream) -> None:
                    try:
                        await stream.collect()
                    finally:
                        with anyio.CancelScope() as inner:  # a second one, while the first is on its way out
                            inner.cancel()
                            await stream.aclose()

                tasks.start_soon(work)
                await anyio.to_thread.run_sync(server.reached.wait, 10)
                await anyio.sleep(pause)
                tasks.cancel_scope.cancel()
            assert await gone(server.connections[0])


async def test_fault_47_a_cancellation_that_user_code_swallows_still_closes(anyio_backend: str) -> None:
    async def stubborn(one: Any) -> Any:
        try:
            await anyio.sleep(0.001)
        except anyio.get_cancelled_exc_class():
            if anyio_backend == "asyncio":
                return one  # trio and anyio raise it again at the next await, whatever one does
            raise
        return one

    with Scripted(endless) as server:
        async with LAYERS["provider"](server.url, CHAT) as stream:
            with anyio.move_on_after(0.1) as scope:
                await stream.map(stubborn).collect()
            assert scope.cancelled_caught
        assert await gone(server.connections[0])


async def test_fault_48_closed_from_another_task_at_any_moment(layer: Layer) -> None:
    for pause in (None, 0.0, 0.003, 0.01):
        with Scripted(endless) as server:
            async with layer(server.url, CHAT) as stream:
                ended: list[BaseException | None] = []

                async def consume(stream: Any = stream, ended: list[Any] = ended) -> None:
                    try:
                        async for _ in stream:
                            pass
                        ended.append(None)
                    except ms.StreamClosed as error:
                        ended.append(error)

                with anyio.fail_after(20):
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(consume)
                        if pause is None:
                            await anyio.lowlevel.checkpoint()
                        else:
                            await anyio.to_thread.run_sync(server.reached.wait, 10)
                            await anyio.sleep(pause)
                        async with anyio.create_task_group() as closers:
                            for _ in range(3):
                                closers.start_soon(stream.aclose)
                assert isinstance(ended[0], ms.StreamClosed)
            assert all([await gone(connection) for connection in server.connections])


LEFT_OPEN = """
import sys, gc, warnings, anyio
import millstream as ms
from streams.probe import Probe
warnings.simplefilter("always")

async def body():
    try:
        while True:
            yield b": ping\\n\\ndata: {\\"choices\\":[{\\"index\\":0,\\"delta\\":{\\"content\\":\\"a\\"}}]}\\n\\n"
            await anyio.sleep(0)
    finally:
        print("the source was closed", flush=True)

async def main():
    stream = ms.stream(body(), "openai-chat")
    async for event in stream:
        break
    if sys.argv[2] == "drop":
        del stream
        gc.collect()
        await anyio.sleep(0.05)
        print("the loop goes on", flush=True)
    else:
        globals()["kept"] = stream

anyio.run(main, backend=sys.argv[1])
print("the loop ended", flush=True)
"""


@pytest.mark.parametrize("how", ["drop", "shutdown"])
def test_fault_49_a_stream_that_was_left_open_warns_and_its_source_is_closed(anyio_backend: str, how: str) -> None:
    """By the garbage collector, or at the end of the loop: both in a process of their own."""
    process = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN, anyio_backend, how], capture_output=True, text=True, timeout=50, cwd="tests"
    )
    assert process.returncode == 0, process.stderr
    assert "a stream was left open" in process.stderr
    assert "the source was closed" in process.stdout
    assert "the loop ended" in process.stdout


# --- slow ------------------------------------------------------------------------------------------------------------


@pytest.mark.invariants(rss_mib=32)
@pytest.mark.parametrize("n", [0, 1], ids=["never reads", "reads one"])
async def test_fault_50_a_consumer_that_stalls_stops_the_server_and_takes_no_memory(layer: Layer, n: int) -> None:
    """The window of TCP closes; what the kernel buffers is all that is sent."""
    sizes: list[int] = []

    def flood(connection: Connection) -> None:
        connection.send(head())
        while True:
            connection.send(PIECE * 1000)
            connection.reached.set()

    with Scripted(flood) as server:
        async with layer(server.url, CHAT) as stream, stream as events:
            for _ in range(n + 1 if n else 0):
                await anext(events)
            while len(sizes) < 4 or sizes[-1] > sizes[-3]:  # until it has stopped
                await anyio.sleep(0.1)
                sizes.append(server.connections[0].sent)
                assert sizes[-1] < 24 * 2**20
        assert await gone(server.connections[0])


async def test_fault_51_a_branch_that_stalls_raises_or_is_cancelled_harms_no_other(served: Served) -> None:
    """Three branches misbehave; the two others get all of it."""
    good: dict[int, list[Any]] = {0: [], 1: []}

    async def reads(branch: Any, got: list[Any]) -> None:
        async with branch:
            async for one in branch:
                got.append(one)

    async def raises(branch: Any) -> None:
        async with branch:
            with pytest.raises(ZeroDivisionError):
                await branch.map(lambda one: 1 / 0).collect()

    async def is_cancelled(branch: Any) -> None:
        with anyio.move_on_after(0.001):
            async with branch:
                async for _ in branch:
                    await anyio.sleep(0.0005)

    async def stalls(branch: Any, over: anyio.Event) -> None:
        async with branch:
            await anext(branch)
            await over.wait()

    over = anyio.Event()
    stream = in_memory(served).stream_text("hi")
    with anyio.fail_after(10):
        async with stream.broadcast(5, select=None, buffer=4096) as branches, anyio.create_task_group() as others:
            others.start_soon(raises, branches[2])
            others.start_soon(is_cancelled, branches[3])
            others.start_soon(stalls, branches[4], over)
            async with anyio.create_task_group() as tasks:
                for i in good:
                    tasks.start_soon(reads, branches[i], good[i])
            over.set()
    assert comparable(good[0]) == comparable(good[1]) == comparable(served.truth)


# --- scopes, threads, forks ------------------------------------------------------------------------------------------


async def test_fault_52_inside_scopes_groups_and_wait_for(served: Served, layer: Layer) -> None:
    with Proxy(served.port) as proxy:
        async with layer(proxy.url, served) as stream:
            got = []
            async with anyio.create_task_group() as tasks:
                async with stream.buffer(2) as events:
                    while True:
                        with anyio.fail_after(20):  # a scope of its own around each item
                            try:
                                got.append(await anext(events))
                            except StopAsyncIteration:
                                break
                tasks.cancel_scope.cancel()
            assert comparable(got) == comparable(served.truth)


async def test_fault_52_wait_for_runs_each_item_in_another_task(served: Served, anyio_backend: str) -> None:
    if anyio_backend == "trio":
        pytest.skip("asyncio.wait_for")
    async with in_memory(served).stream_text("hi") as events:
        got = []
        while True:
            try:
                got.append(await asyncio.wait_for(anext(events), 5))
            except StopAsyncIteration:
                break
    assert comparable(got) == comparable(served.truth)


async def test_fault_52_a_generator_of_the_user_around_a_stream_may_be_left(served: Served) -> None:
    """`yield` inside of the block: whoever closes the generator closes the stream, in the task that does it."""

    async def texts() -> AsyncIterator[str]:
        async with in_memory(served).stream_text("hi") as events:
            async for one in events:
                if isinstance(one, ms.TextDelta):
                    yield one.text

    generator = texts()
    async for _ in generator:
        break
    await generator.aclose()  # type: ignore[attr-defined]


def test_fault_54_two_threads_in_one_decoder_get_an_error_and_never_a_mixture() -> None:
    """Each event comes once, in the list of the thread that fed it, or its feed was refused as a whole."""
    decoder = ms.decoder("openai-chat")
    refused, got, n = [0, 0], [[], []], 3000  # type: ignore[var-annotated]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    go = threading.Barrier(2)

    def feed(me: int) -> None:
        go.wait()
        for i in range(n):
            try:
                got[me] += decoder.feed(event(delta(f"{me}:{i}")))
            except ms.errors.ConcurrentUseError:
                refused[me] += 1

    threads = [threading.Thread(target=feed, args=[me]) for me in (0, 1)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for me in (0, 1):
        texts = [one.text for one in got[me] if isinstance(one, ms.TextDelta)]
        assert all(text.startswith(f"{me}:") for text in texts)
        assert texts == sorted(set(texts), key=lambda text: int(text[2:]))
        assert len(texts) == n - refused[me]


async def test_fault_56_what_failed_stays_failed() -> None:
    decoder = ms.decoder("openai-chat", limits=ms.Limits(max_event_bytes=10))
    decoder.feed(b"data: " + b"x" * 100)
    assert decoder.ended
    assert decoder.feed(event(delta("more"))) == []
    parser = ms.SSEParser(max_event_bytes=10)
    for _ in range(3):
        with suppress(ms.LimitExceeded, ms.errors.ParserClosed):
            parser.feed(b"data: " + b"x" * 100)
        with pytest.raises((ms.LimitExceeded, ms.errors.ParserClosed)):
            parser.feed(b"")
    stream = ms.stream(Probe([b"data: " + b"x" * 100]), "openai-chat", limits=ms.Limits(max_event_bytes=10))
    with pytest.raises(ms.LimitExceeded):
        await stream.collect()
    assert await stream.collect() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_fault_57_a_fork_in_mid_stream_leaves_the_parent_alone(served: Served) -> None:
    """The child asks the same provider for an answer of its own; the parent's stream goes on, byte for byte."""
    with Proxy(served.port, Hurt("split", len(served.body) // 2, 0.3), Hurt()) as proxy:
        kind, base = ("anthropic", "") if served.api == "anthropic-messages" else ("openai", "/v1")
        headers = {"x-millstream-recording": served.name}
        model = ms.provider(f"{kind}:m", base_url=proxy.url + base, api_key=KEY, headers=headers)
        async with model.stream_text("hi") as events:
            got = [await anext(events) for _ in range(2)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    text = (await _in_the_child(model)).text
                    status = 0 if text == "".join(e.text for e in served.truth if isinstance(e, ms.TextDelta)) else 2
                finally:
                    os._exit(status)
            got += [one async for one in events]
        _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert comparable(got) == comparable(served.truth)


async def _in_the_child(model: Any) -> Any:
    found: list[Any] = []

    def run() -> None:
        found.append(anyio.run(model.generate_text, "hi"))

    thread = threading.Thread(target=run)  # this thread runs the copy of the parent's loop
    thread.start()
    thread.join(20)
    return found[0]
