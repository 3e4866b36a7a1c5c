"""Redis behind TLS, where a thread carries what is ordered: the same laws, over `rediss://`, and who is trusted."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trustme

from millstream.errors import LogError
from millstream.relay import Hub, RedisLog, Status
from millstream.relay._lane import _InThread
from relay.engines import everybody, until
from relay.redis_server import RedisServer

pytestmark = pytest.mark.anyio

AUTHORITY = trustme.CA()


class Secure(RedisServer):
    """Speaks TLS only, and keeps its data when it is started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        AUTHORITY.cert_pem.write_to_path(directory / "authority.pem")
        certificate = AUTHORITY.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(directory / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
        super().__init__()
        self.url = self.url_trusting("authority.pem")

    def start(self) -> None:
        files = {name: str(self._directory / f"{name}.pem") for name in ("certificate", "key", "authority")}
        self.options = ("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no")
        self.options += ("--tls-cert-file", files["certificate"], "--tls-key-file", files["key"])
        self.options += ("--tls-ca-cert-file", files["authority"], "--appendonly", "yes", "--appendfsync", "always")
        super().start()

    def url_trusting(self, name: str, host: str = "127.0.0.1") -> str:
        return f"rediss://{host}:{self.port}/0?ssl_ca_certs={self._directory / name}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    with Secure(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def hub_on(url: str, **options: Any) -> Hub:
    return Hub(RedisLog(url, lease=60.0), **{"authorize": everybody, "patience": 30.0} | options)


class Numbers:
    """A source of so many numbers that stops half-way until it is told to go on."""

    def __init__(self, n: int) -> None:
        self.all = [b"%d" % i for i in range(n)]
        self.half = self.all[: n // 2]
        self.go = anyio.Event()

    async def __call__(self) -> AsyncIterator[bytes]:
        for item in self.all:
            if item == self.all[len(self.half)]:
                await self.go.wait()
            yield item
            await anyio.lowlevel.checkpoint()


async def test_a_stream_is_written_followed_and_resumed(secure: Secure, anyio_backend_name: str) -> None:
    stream_id, source = f"plain-{anyio_backend_name}", Numbers(600)
    async with hub_on(secure.url) as hub, hub_on(secure.url) as other:
        run = await hub.publish(stream_id, source, protocol=None)
        async with other.subscribe(stream_id) as items:
            first = [await anext(items) for _ in source.half]
            source.go.set()
            rest = await items.collect()
        assert [item.data for item in (*first, *rest)] == source.all
        assert await run.wait() is Status.DONE
        async with other.subscribe(stream_id, after=first[-1].id) as items:
            assert [item.id for item in await items.collect()] == [item.id for item in rest]
        for lane in (hub.log._writes, other.log._reads, other.log._reader.lane):  # type: ignore[attr-defined]
            assert isinstance(lane._carrier, _InThread), "what the event loop reads is not TLS"
        assert await hub.delete(stream_id)


async def test_word_of_a_cancellation_comes_from_another_process(secure: Secure, anyio_backend_name: str) -> None:
    stream_id, source = f"cancelled-{anyio_backend_name}", Numbers(2)
    async with hub_on(secure.url) as hub, hub_on(secure.url) as other:
        run = await hub.publish(stream_id, source, protocol=None)
        assert await other.cancel(stream_id) is Status.OPEN
        with anyio.fail_after(20):
            assert await run.wait() is Status.CANCELLED


# `ssl` leaves a socket to the collector whose other side has gone before the handshake (SSLSocket._create).
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("trouble", ["the connections are cut", "the server is started again"])
async def test_who_is_cut_off_connects_again_and_loses_and_repeats_nothing(
    secure: Secure, anyio_backend_name: str, trouble: str
) -> None:
    stream_id, source, got = f"{trouble[4]}-{anyio_backend_name}", Numbers(600), list[bytes]()
    async with hub_on(secure.url) as hub, hub_on(secure.url) as other:
        run = await hub.publish(stream_id, source, protocol=None)
        async with other.subscribe(stream_id) as items, anyio.create_task_group() as tasks:

            async def read() -> None:
                async for item in items:
                    got.append(item.data)

            tasks.start_soon(read)
            await until(lambda: got == source.half)
            await until(lambda: other.log._reader.is_reading)  # type: ignore[attr-defined]
            if trouble == "the connections are cut":
                client = secure.client()
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                client.close()
            else:
                secure.kill()
                secure.start()
            source.go.set()
            with anyio.fail_after(30):
                assert await run.wait() is Status.DONE
        assert got == source.all
    gc.collect()


@pytest.mark.parametrize("wrong", ["authority", "name", "no TLS"])
async def test_who_is_not_trusted_is_told_nothing(secure: Secure, tmp_path: Path, wrong: str) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
    url = {
        "authority": secure.url_trusting(str(tmp_path / "another.pem")),
        "name": secure.url_trusting("authority.pem", "localhost"),
        "no TLS": f"redis://127.0.0.1:{secure.port}/0",
    }[wrong]
    async with hub_on(url, patience=0) as hub:
        with pytest.raises(LogError) as caught, anyio.fail_after(30):
            await hub.publish("s", Numbers(2), protocol=None)
    assert caught.value.reason == "connection"
    assert wrong == "no TLS" or "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)
    assert str(secure.port) not in str(caught.value)
