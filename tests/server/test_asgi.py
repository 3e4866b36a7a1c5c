"""The little of ASGI that answers without clocks share: work that ends with its client."""

import anyio
import pytest

from millstream.server._asgi import while_connected
from server.asgi_harness import Client

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


async def test_work_ends_when_the_client_leaves_and_not_when_its_request_does():
    client, begun, cancelled = Client(), anyio.Event(), []

    async def work():
        begun.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append(True)
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(while_connected, client.receive, work)
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert not cancelled
        client.disconnect()
    assert cancelled


async def test_what_work_raises_comes_as_it_is_and_nobody_listens_any_more():
    client, error = Client(), RuntimeError("mine")

    async def work():
        await anyio.wait_all_tasks_blocked()
        raise error

    with pytest.raises(RuntimeError) as caught:
        await while_connected(client.receive, work)
    assert caught.value is error


async def test_work_that_is_done_waits_for_no_client():
    done = []

    async def work():
        done.append(True)

    with anyio.fail_after(10):
        await while_connected(Client().receive, work)
    assert done
