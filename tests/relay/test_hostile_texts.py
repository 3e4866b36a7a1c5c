"""Texts that cannot be encoded, wherever the hub takes one: refused with the reason, or told as far as they go. Nobody
waits for a lease to run out because an end could not be written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.errors import ProcessingError, ProviderError, UsageError
from millstream.relay import Hub, Status

pytestmark = pytest.mark.anyio

START = ms.Start("m", "1")
LONE = "before \ud800 after"


async def fails(error: Exception) -> AsyncIterator[Any]:
    yield START
    raise error


async def tells(error: ms.StreamError) -> AsyncIterator[Any]:
    yield START
    yield ms.Error(error)


async def words() -> AsyncIterator[Any]:
    yield START
    await anyio.sleep_forever()


async def read(hub: Hub, stream_id: str) -> None:
    with anyio.fail_after(20):  # less would do, and more than the lease would tell nothing: see the error that comes
        async with hub.subscribe(stream_id) as subscription:
            async for _ in subscription:
                pass


@pytest.mark.parametrize("how", [fails, tells])
async def test_an_error_whose_words_cannot_be_encoded_ends_the_stream_with_them_as_far_as_they_go(
    hub: Hub, how: Any
) -> None:
    await hub.publish("s", lambda: ms.Stream(how(ms.RateLimited(LONE))))
    with pytest.raises(ms.RateLimited, match=r"^before \? after$"):
        await read(hub, "s")


@pytest.mark.parametrize("how", [fails, tells])
async def test_an_error_whose_facts_cannot_be_encoded_is_told_by_its_class(hub: Hub, how: Any) -> None:
    producer = await hub.publish("s", lambda: ms.Stream(how(ProviderError("no", code="\ud800"))))
    with pytest.raises(ProcessingError, match="the producer failed: ProviderError"):
        await read(hub, "s")
    await producer.wait()
    assert producer.status is Status.ERROR


@pytest.mark.parametrize("owner", ["\ud800", None, 7], ids=ascii)
async def test_an_owner_that_is_no_text_is_refused_everywhere(hub: Hub, owner: Any) -> None:
    with pytest.raises(UsageError, match="owner must be a string"):
        await hub.publish("s", words, owner=owner)
    for ask in (hub.cancel, hub.status, hub.delete):
        with pytest.raises(UsageError, match="owner must be a string"):
            await ask("s", owner=owner)
    with pytest.raises(UsageError, match="owner must be a string"):
        async with hub.subscribe("s", owner=owner):
            pass


@pytest.mark.parametrize("reason", ["\ud800", None, 7], ids=ascii)
async def test_a_reason_that_is_no_text_is_refused_and_the_stream_goes_on(hub: Hub, reason: Any) -> None:
    await hub.publish("s", lambda: ms.Stream(words()))
    with pytest.raises(UsageError, match="reason must be a string without lone surrogates"):
        await hub.cancel("s", reason)
    assert (await hub.status("s")).status is Status.OPEN
    assert await hub.cancel("s", "\x00\r\n\N{GRINNING FACE}") is Status.OPEN
    await read(hub, "s")
