"""Orders of many tasks on one connection: each gets its own answer, and what leaves together is bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from queue import SimpleQueue
from typing import Any

import anyio
import pytest

from millstream.errors import LogError
from millstream.relay import _scripts as lua
from millstream.relay._lane import MAX_ORDER_BYTES, MAX_ORDERS, Lane, _batch, _Order
from millstream.relay.redis import connector
from relay.engines import OnCluster, OnRedis

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["redis", "cluster"])
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    kind, server = {"redis": (OnRedis, "redis_server"), "cluster": (OnCluster, "redis_cluster")}[request.param]
    on = kind(request.getfixturevalue(server))
    made = Lane(connector(_server(on)), 5.0)
    yield made
    made.close()
    on.close()


def _server(on: OnRedis) -> Any:
    if on.name == "redis":
        return on.server.url
    import redis

    on.clients.append(redis.RedisCluster.from_url(on.server.url))
    return on.clients[-1]


def recording(lane: Lane) -> tuple[list[Any], Callable[..., Awaitable[None]]]:
    """A list, and what calls the lane and puts the answer, or what went wrong, into it."""
    answers: list[Any] = []

    async def order(*command: Any) -> None:
        try:
            answers.append(await lane.call(*command))
        except LogError as error:
            answers.append((error.reason, error.retryable))

    return answers, order


async def test_an_error_is_the_answer_to_its_own_order_only(lane: Lane, anyio_backend: str) -> None:
    answers, order = recording(lane)
    await lane.call("DEL", "x")
    await lane.call("SET", "x", "1")
    await lane.call("SET", "y", "1")  # another one, as trio begins tasks in any order
    async with anyio.create_task_group() as tasks:
        for command in (("GET", "y"), ("LPUSH", "x", "1"), ("INCR", "x")):
            tasks.start_soon(order, *command)
    assert sorted(map(str, answers)) == sorted(["b'1'", "('refused', False)", "2"])


async def test_who_orders_when_it_is_closed_is_told_at_once(lane: Lane, anyio_backend: str) -> None:
    await lane.call("PING")
    lane.close()
    lane.close()
    with pytest.raises(LogError, match="the log was closed"):
        await lane.call("PING")


async def test_only_what_the_server_does_not_know_any_more_is_sent_again(lane: Lane, anyio_backend: str) -> None:
    await lane.transact(("DEL", "x"), ("SCRIPT", "FLUSH"))
    unknown = ("EVALSHA", lua.sha[lua.INFO], 3, "{s}m", "{s}l", "{s}s")
    push = ("RPUSH", "x", b"1")
    first, info, second, again, last = await lane.transact(push, unknown, push, unknown, ("LLEN", "x"))
    assert (first, second, last) == (1, 2, 2)
    assert info == again
    assert info[0] is None


def test_what_leaves_together_is_bounded_in_orders_and_bytes(anyio_backend: str) -> None:
    half = ("SET", "x", b"x" * (MAX_ORDER_BYTES // 2))
    for commands, sizes in (([half] * 5, [2, 2, 1]), ([("PING",)] * (MAX_ORDERS + 1), [MAX_ORDERS, 1])):
        orders: SimpleQueue[_Order | None] = SimpleQueue()
        made = [_Order([command]) for command in commands]
        for order in made:
            orders.put(order)
        batches = [_batch(orders) for _ in sizes]
        assert [len(batch) for batch in batches] == sizes
        assert [order for batch in batches for order in batch] == made
        orders.put(None)
        assert _batch(orders) == []


async def test_an_interrupt_while_orders_are_told_leaves_nobody_waiting(
    on_redis: OnRedis, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("orders are told by trio itself, which defers the interrupt")
    lane = Lane(connector(on_redis.server.url), 5.0)
    await lane.call("PING")
    carrier: Any = lane._carrier
    orders = [lane._order([("PING",)]) for _ in range(3)]
    carrier._batch, answer = [carrier._waiting.popleft() for _ in range(2)], _Order.answer

    def interrupted(order: _Order, answers: Any) -> None:
        monkeypatch.setattr(_Order, "answer", answer)
        answer(order, answers)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Order, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        carrier._done([b"PONG", b"PONG"])
    with anyio.fail_after(10):
        answers = [(await order.wait())[0] for order in orders]
    assert (answers[0], answers[1].reason, answers[2]) == (b"PONG", "connection", b"PONG")
    lane.close()


async def test_what_cannot_be_sent_fails_alone_and_holds_nobody_up(lane: Lane, anyio_backend: str) -> None:
    """A lone surrogate in a text is enough: it may come from anywhere."""
    answers, order = recording(lane)
    await lane.call("DEL", "x")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:  # first while it connects, then with others beside it
            tasks.start_soon(order, "SET", "x", "\ud800")
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for value in (object(), b"1", "\ud800", b"2"):
                    tasks.start_soon(order, "RPUSH", "x", value)
        assert await lane.call("LLEN", "x") == 4
    assert answers.count(("refused", False)) == 5
    assert sorted(answer for answer in answers if isinstance(answer, int)) == [1, 2, 3, 4]
