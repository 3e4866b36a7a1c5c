"""The drop-in for httpx-sse: the same names and behaviour, and the vectors in its mode. Its own suite: test_peers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from types import SimpleNamespace

import httpx
import httpx2
import httpx_sse as real
import pytest

from conftest import shared_dir
from millstream.compat import httpx_sse
from reference import sse as oracle

CASES = json.loads((shared_dir() / "vectors" / "sse_vectors.json").read_bytes())
CASES = [pytest.param(case, id=case["name"]) for case in CASES if case.get("accept", True)]
BOTH = pytest.mark.parametrize("http", [httpx, httpx2])
EVENT = b"event: a\nid: 1\nretry: 5\ndata: {}\n\n"


def response(http, chunks, content_type="text/event-stream"):
    class Body(http.SyncByteStream):
        def __iter__(self):
            yield from chunks

    return http.Response(200, headers={"content-type": content_type}, stream=Body())


def events(http, *chunks, content_type="text/event-stream", module=httpx_sse):
    source = module.EventSource(response(http, chunks, content_type))
    return [(e.event, e.data, e.id, e.retry) for e in source.iter_sse()]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def test_it_has_all_public_names():
    assert set(httpx_sse.__all__) == set(real.__all__)
    assert httpx_sse.__version__ == real.__version__
    assert all(getattr(httpx_sse, name) for name in httpx_sse.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = httpx_sse.nothing


@pytest.mark.parametrize("case", CASES)
def test_vectors_in_compat_mode(case):
    """Compat mode: the standard, but a block that sets any field in itself is an event, also without data."""
    data = base64.b64decode(case["input_b64"])
    expected = [(m.event, m.data, m.id, m.retry) for m in oracle.parse(data, mode="compat", at_eof="discard").messages]
    if "no-data" not in case["tags"]:
        # A block's id or retry alone is an event here; all else is the vector to the letter.
        spec = [(e["event"], e["data"], e["id"], e["retry"] and min(e["retry"], 2**31 - 1)) for e in case["events"]]
        assert [event for event in expected if event in spec or event[1]] == spec
    assert events(httpx, data) == expected
    assert events(httpx2, *(data[i : i + 1] for i in range(len(data)))) == expected


@pytest.mark.parametrize(
    "body",
    [EVENT * 3, b"retry: 10000\n\n", b"event: x\n\n", b"id: 1\ndata: a\n\n", b"data: a\r\rdata: b\r\n\r\n"],
)
def test_both_give_the_same(body):
    assert events(httpx, body) == events(httpx, body, module=real) != []


@pytest.mark.anyio
async def test_async_closes_the_iterator_over_the_body_when_it_is_left():
    closed = []

    async def body():
        try:
            while True:
                yield EVENT
        finally:
            closed.append(True)

    answer = SimpleNamespace(headers={"content-type": "text/event-stream"}, aiter_bytes=body)
    source = httpx_sse.EventSource(answer)
    assert source.response is answer
    iterator = source.aiter_sse()
    assert (await anext(iterator)).json() == {}
    assert not closed
    await iterator.aclose()
    assert closed


@pytest.mark.anyio
async def test_async_a_body_that_cannot_be_closed_is_read_all_the_same():
    class Body:
        def __init__(self):
            self.left = [EVENT, EVENT]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    answer = SimpleNamespace(headers={"content-type": "text/event-stream"}, aiter_bytes=Body)
    assert [event.event async for event in httpx_sse.EventSource(answer).aiter_sse()] == ["a", "a"]


@BOTH
@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain; text/event-stream"])
@pytest.mark.anyio
async def test_another_content_type_is_an_error_of_the_client_in_use(http, content_type):
    with pytest.raises(http.TransportError, match="Expected response header Content-Type"):
        events(http, content_type=content_type)
    with pytest.raises(httpx_sse.SSEError):
        await anext(httpx_sse.EventSource(response(http, [], content_type)).aiter_sse())


def test_the_content_type_may_be_written_in_capitals_and_with_parameters():
    assert events(httpx, EVENT, content_type="Text/Event-Stream; charset=utf-8")


@BOTH
@pytest.mark.anyio
async def test_connecting_asks_for_events_and_leaves_the_callers_headers_alone(http):
    seen = []

    def answer(request):
        seen.append((request.headers["accept"], request.headers["cache-control"], request.headers.get("x")))
        return http.Response(500, headers={"content-type": "text/event-stream"}, content=EVENT)

    mine = {"x": "1", "Accept": "anything"}
    with http.Client(transport=http.MockTransport(answer)) as client:
        for options in ({}, {"headers": mine}, {"headers": http.Headers(mine)}, {"headers": None}):
            with httpx_sse.connect_sse(client, "GET", "http://test", **options) as source:
                assert [event.event for event in source.iter_sse()] == ["a"]  # whatever the status
    async with (
        http.AsyncClient(transport=http.MockTransport(answer)) as client,
        httpx_sse.aconnect_sse(client, "GET", "http://test", headers=mine) as source,
    ):
        assert [event.event async for event in source.aiter_sse()] == ["a"]
    assert mine == {"x": "1", "Accept": "anything"}
    assert [x for _, _, x in seen] == [None, "1", "1", None, "1"]
    assert {both for *both, _ in map(tuple, seen) for both in [tuple(both)]} == {("text/event-stream", "no-store")}


@pytest.mark.parametrize("args", [{}, {"event": ""}, {"event": "e", "data": "d\n", "id": "i", "retry": 0}])
def test_an_event_looks_the_same(args):
    ours, theirs = httpx_sse.ServerSentEvent(**args), real.ServerSentEvent(**args)
    assert repr(ours) == repr(theirs)
    assert (ours.event, ours.data, ours.id, ours.retry) == (theirs.event, theirs.data, theirs.id, theirs.retry)


@pytest.mark.parametrize(
    "data", ["", "{", "NaN", '"\\ud800"', "1e999", "12345678901234567890123", '{"a": [1.5, null]}']
)
def test_json_is_that_of_the_standard_library(data):
    def outcome(module):
        try:
            return repr(module.ServerSentEvent(data=data).json())
        except ValueError as error:
            return (type(error), str(error))

    assert outcome(httpx_sse) == outcome(real)


def test_an_event_larger_than_any_limit_of_ours_passes():
    ((_, data, _, _),) = events(httpx, b"data: ", *[b"x" * 2**20] * 20, b"\n\n")
    assert len(data) == 20 * 2**20


def test_the_private_line_decoder_reads_lines_one_by_one():
    from millstream.compat.httpx_sse._decoders import SSEDecoder

    decoder = SSEDecoder()
    assert [decoder.decode(line) for line in ("data: é", "id: 1")] == [None, None]
    assert repr(decoder.decode("")) == "ServerSentEvent(event='message', data='é', id='1')"


def test_no_client_is_installed_and_none_is_needed_to_import():
    code = """
import sys
sys.modules["httpx"] = sys.modules["httpx2"] = None
from millstream.compat import httpx_sse
try:
    httpx_sse.SSEError
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.startswith("millstream.compat.httpx_sse needs an HTTP client: pip install httpx2"), done.stderr
