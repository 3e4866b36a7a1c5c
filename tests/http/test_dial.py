"""A host with several addresses: the first that answers is taken, and no other socket is left. asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
from tests.http.bare import Bare

from millstream.http import Transport
from millstream.http._dial import NEXT_SECONDS, dial

pytestmark = pytest.mark.anyio

V4, V6 = socket.AF_INET, socket.AF_INET6
REFUSES = ("127.0.0.1", 1)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


class Names:
    """The event loop, but for what names resolve to, and for addresses that take their time.

    Attributes: tried: the addresses, in the order in which connecting began. gates: what to wait for once connected.
    """

    def __init__(self, *addresses: Any) -> None:
        self.tried: list[Any] = []
        self.gates: dict[Any, anyio.Event] = {}
        self._loop = asyncio.get_running_loop()
        self._addresses = addresses

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:
        return [(V6 if ":" in address[0] else V4, type, 0, "", address) for address in self._addresses]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.tried.append(address)
        if ":" not in address[0]:
            await self._loop.sock_connect(sock, address)
        if address in self.gates:
            await self.gates[address].wait()
        elif ":" in address[0]:
            raise OSError(f"no route to {address[0]}")


async def went(server: Bare) -> None:
    """Wait until its connection was made and closed."""
    await reached(server)
    assert await anyio.to_thread.run_sync(server.peers[0].gone.wait, 5)


async def reached(*servers: Bare) -> None:
    """Wait until each has a connection."""
    with anyio.fail_after(20):
        while not all(server.peers for server in servers):  # noqa: ASYNC110  (a thread tells nobody)
            await anyio.sleep(0.01)


@pytest.fixture
async def second() -> AsyncIterator[Bare]:
    with Bare() as one:
        yield one


async def test_an_address_that_refuses_costs_no_wait(server: Bare) -> None:
    loop = Names(REFUSES, ("127.0.0.1", server.port))
    began = asyncio.get_running_loop().time()
    with await dial(loop, "x", 80, None) as sock:  # type: ignore[arg-type]
        assert sock.getpeername() == ("127.0.0.1", server.port)
    assert asyncio.get_running_loop().time() - began < NEXT_SECONDS
    assert loop.tried == [REFUSES, ("127.0.0.1", server.port)]


async def test_while_an_address_is_slow_the_next_one_is_tried_and_the_slow_one_closed(
    server: Bare, second: Bare
) -> None:
    slow, fast = ("127.0.0.1", server.port), ("127.0.0.1", second.port)
    loop = Names(slow, fast)
    loop.gates[slow] = anyio.Event()
    with await dial(loop, "x", 80, None) as sock:  # type: ignore[arg-type]
        assert sock.getpeername() == fast
        await went(server)


async def test_of_two_that_answer_at_once_one_is_kept(server: Bare, second: Bare) -> None:
    addresses = ("127.0.0.1", server.port), ("127.0.0.1", second.port)
    loop = Names(*addresses)
    gate = anyio.Event()
    loop.gates = dict.fromkeys(addresses, gate)
    async with anyio.create_task_group() as tasks:

        async def open_both() -> None:
            await reached(server, second)
            gate.set()

        tasks.start_soon(open_both)
        with await dial(loop, "x", 80, None) as sock:  # type: ignore[arg-type]
            kept, other = (server, second) if sock.getpeername() == addresses[0] else (second, server)
            await went(other)
            assert not kept.peers[0].gone.is_set()


async def test_families_take_turns() -> None:
    a, b, c, d = ("::1", 1, 0, 0), ("::2", 1, 0, 0), ("127.0.0.1", 1), ("127.0.0.2", 1)
    loop = Names(a, b, c, d)
    with pytest.raises(OSError, match=r"no route to ::1; .*; no route to ::2; "):
        await dial(loop, "x", 80, None)  # type: ignore[arg-type]
    assert loop.tried == [a, c, b, d]


@pytest.mark.parametrize("at", ["while it waits", "as it succeeds"])
async def test_cancelled_it_leaves_no_socket(server: Bare, at: str) -> None:
    address = ("127.0.0.1", server.port)
    loop = Names(address, REFUSES)
    gate = loop.gates[address] = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def work() -> None:
            await dial(loop, "x", 80, None)  # type: ignore[arg-type]
            pytest.fail("it was cancelled")

        tasks.start_soon(work)
        await reached(server)
        if at == "as it succeeds":
            gate.set()
        tasks.cancel_scope.cancel()
    await went(server)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_the_address_to_come_from(server: Bare) -> None:
    async with httpx2.AsyncClient(transport=Transport(local_address="127.0.0.5")) as client:
        assert (await client.get(f"{server.url}/echo/token")).text == "token"
        assert server.peers[0].sock.getpeername()[0] == "127.0.0.5"


async def test_a_name_of_two_families_is_reached(server: Bare) -> None:
    """`localhost` is ::1 and 127.0.0.1 on most machines; the server is at one of them."""
    async with httpx2.AsyncClient(transport=Transport()) as client:
        assert (await client.get(f"http://localhost:{server.port}/echo/token")).text == "token"
