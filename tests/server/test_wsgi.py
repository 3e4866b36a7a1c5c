import sys
import threading
import time
from concurrent.futures import wait
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

import millstream as ms
from millstream.server import AsyncEventStreamBody, EventStreamBody, wsgi
from millstream.testing import HANG, ScriptedSource, Wait

START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi"), ms.Finish(ms.FinishReason.STOP)


NATIVE = ["millstream.events.v1", "millstream.events.v1+ndjson"]


def events(data, protocol=NATIVE[0]):
    decoder = ms.decoder(protocol)
    return decoder.feed(data) + decoder.close()


@pytest.fixture
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []


@pytest.mark.usefixtures("no_thread_left")
def test_a_stream_is_read_in_a_loop_of_its_own_which_ends_with_it():
    source = ScriptedSource(START, TEXT, STOP)
    assert events(b"".join(EventStreamBody(ms.Stream(source)))) == [START, TEXT, STOP]
    assert source.closed


def test_silence_is_broken_by_comments():
    async def source():
        yield START
        while b": \n\n" not in pieces[1:]:  # noqa: ASYNC110 - from another thread
            await anyio.sleep(0.001)
        yield STOP

    pieces = []
    for piece in EventStreamBody(ms.Stream(source()), heartbeat=0.02):
        pieces.append(piece)
    assert events(b"".join(pieces)) == [START, STOP]


def test_silence_stays_silence_on_a_wire_without_comments():
    body = EventStreamBody(ms.Stream(ScriptedSource(START, Wait(0.1), STOP)), NATIVE[1], heartbeat=0.02)
    assert len(list(body)) == 2


def test_a_time_out_of_the_stream_itself_is_no_silence():
    error = TimeoutError("mine")
    pieces = iter(EventStreamBody(ms.Stream(ScriptedSource(START, error)), heartbeat=5))
    told = next(pieces) + next(pieces)
    with pytest.raises(TimeoutError, match="mine"):
        next(pieces)
    assert [event.type for event in events(told)] == ["start", "error", "finish"]


def test_events_without_words_on_the_wire_are_no_pieces_and_its_end_is_the_last_one():
    meter = ms.Usage(1, 2, 3)
    pieces = list(EventStreamBody(ms.Stream(ScriptedSource(START, meter, TEXT, STOP)), "openai-chat"))
    assert all(pieces)
    assert pieces[-1].endswith(b"data: [DONE]\n\n")


@pytest.mark.usefixtures("no_thread_left")
def test_closing_it_from_another_thread_frees_the_one_that_waits():
    source = ScriptedSource(START, HANG)
    body = EventStreamBody(ms.Stream(source), heartbeat=None)
    pieces = iter(body)
    next(pieces)
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(pieces))
    reader.start()
    while source.pulls < 2:
        time.sleep(0.001)
    body.close()
    reader.join()
    assert source.closed
    assert rest == []


LINES = 80  # as many as the bridge runs for three batches, and a few more


class Meanwhile:
    """Read the body in a thread of its own; at its n-th line of the bridge where it holds no lock, do something."""

    def __init__(self, body, n, do):
        self.data, self.failures = b"", []
        lines = count()

        def trace(frame, event, arg):
            if frame.f_code.co_filename != wsgi.__file__ or frame.f_code.co_name not in ("open", "next"):
                return None
            if not body._pull._lock.locked() and next(lines) == n:
                do()
            return trace

        def read():
            sys.settrace(trace)
            try:
                for piece in body:
                    self.data += piece
            except Exception as error:
                self.failures.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        reader.join()


@pytest.mark.parametrize("heartbeat", [None, 0.001])
@pytest.mark.usefixtures("no_thread_left")
def test_closing_it_from_another_thread_at_whatever_line_the_reader_is_leaves_nothing_behind(heartbeat):
    def close():
        closer = threading.Thread(target=body.close)
        closer.start()
        closer.join()

    for n in range(LINES):
        source = ScriptedSource(START, TEXT, STOP)
        body = EventStreamBody(ms.Stream(source), heartbeat=heartbeat)
        reading = Meanwhile(body, n, close)
        assert reading.failures == []
        assert source.closed or not source.pulls
        got = ms.decoder(NATIVE[0]).feed(reading.data)
        assert got == [START, TEXT, STOP][: len(got)]


@pytest.mark.usefixtures("no_thread_left")
def test_a_batch_that_comes_at_whatever_line_of_a_wait_for_it_is_read():
    async def source():
        yield START
        while not told:  # noqa: ASYNC110 - by another thread
            await anyio.sleep(0.001)
        yield TEXT
        yield STOP

    def tell():
        told.append(True)
        if body._pull._pending is not None:
            wait([body._pull._pending])

    for n in range(LINES):
        told = []
        body = EventStreamBody(ms.Stream(source()), heartbeat=0)
        reading = Meanwhile(body, n, tell)
        assert (events(reading.data), reading.failures) == ([START, TEXT, STOP], [])


@pytest.mark.usefixtures("no_thread_left")
def test_closing_it_from_another_thread_ends_an_opening_that_hangs():
    opening, stopped = threading.Event(), []

    @asynccontextmanager
    async def connect():
        opening.set()
        try:
            yield await anyio.sleep_forever()
        finally:
            stopped.append(True)

    body = EventStreamBody(ms.stream(connect(), "openai"), heartbeat=None)
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(body))
    reader.start()
    opening.wait()
    body.close()
    reader.join()
    assert (rest, stopped) == ([], [True])


@pytest.mark.usefixtures("no_thread_left")
@pytest.mark.parametrize("when", ["its loop begins", "its stream is open"])
def test_closing_it_while_it_opens_gives_nothing_and_closes_what_was_opened(when, monkeypatch):
    class Closing(ms.Stream):
        def batches(self):
            if when == "its stream is open":
                body.close()
            return super().batches()

    @contextmanager
    def begin():
        with start_blocking_portal() as portal:
            if when == "its loop begins":
                body.close()
            yield portal

    monkeypatch.setattr(wsgi, "start_blocking_portal", begin)
    source = ScriptedSource(START, TEXT, STOP)
    body = EventStreamBody(Closing(source))
    assert list(body) == []
    assert source.closed == (when == "its stream is open")


@pytest.mark.usefixtures("no_thread_left")
def test_a_stream_that_somebody_else_has_closed_is_told_as_such():
    stream = ms.Stream(ScriptedSource(START))
    anyio.run(stream.aclose)
    with pytest.raises(ms.StreamClosed):
        list(EventStreamBody(stream))


@pytest.mark.usefixtures("no_thread_left")
def test_closing_it_leaves_a_silent_upstream_at_once():
    source = ScriptedSource(START, HANG)
    body = EventStreamBody(ms.Stream(source), heartbeat=0.01)
    pieces = iter(body)
    assert next(piece for piece in pieces if piece != b": \n\n").startswith(b"data: ")
    assert next(pieces) == b": \n\n"
    body.close()
    assert source.closed
    assert source.cancelled
    assert list(pieces) == []


def test_closing_it_unread_opens_nothing():
    closed = []

    def make():
        try:
            yield START
        finally:
            closed.append(True)

    body = EventStreamBody(make()).open()
    body.close()
    assert closed == [True]
    source = ScriptedSource(START)
    EventStreamBody(ms.Stream(source)).close()
    assert source.pulls == 0


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_error_after_the_beginning_is_told_on_the_wire(is_stream):
    error = ms.ConnectionFailed("host 10.0.0.1")

    def fail():
        yield START
        raise error

    source = ms.Stream(ScriptedSource(START, error)) if is_stream else fail()
    data = b"".join(EventStreamBody(source, expose_errors=False).open())
    assert [event.type for event in events(data)] == ["start", "error", "finish"]
    assert b"10.0.0.1" not in data


def test_other_exceptions_go_to_the_server_after_the_client_was_told():
    def fail():
        yield START
        raise ZeroDivisionError("mine")

    pieces = []
    with pytest.raises(ZeroDivisionError):
        pieces.extend(EventStreamBody(fail()))
    body = iter(EventStreamBody(fail()))
    assert events(next(body) + next(body))[1].type == "error"


def test_what_came_before_an_event_that_cannot_be_sent_is_kept():
    source = ms.Stream.from_batches(ScriptedSource([START, TEXT, ms.TextDelta("\ud800")]))
    pieces = iter(EventStreamBody(source))
    data = next(pieces)
    with pytest.raises(ms.errors.EncodeError):
        next(pieces)
    assert [event.type for event in events(data)] == ["start", "text_delta", "error", "finish"]


def test_a_body_is_read_once():
    body = EventStreamBody([START, STOP])
    list(body)
    with pytest.raises(ms.UsageError, match="has been read"):
        iter(body)


def test_head_opens_nothing():
    source = ScriptedSource(START)
    told = []
    app = EventStreamBody(ms.Stream(source))
    assert list(app({"REQUEST_METHOD": "HEAD"}, lambda status, headers: told.append((status, dict(headers))))) == []
    assert told[0][0] == "200 OK"
    assert told[0][1]["content-type"].startswith("text/event-stream")
    assert source.pulls == 0


# --- asynchronous ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


async def collected(body, into):
    async for piece in body:
        into.append(piece)


@pytest.mark.anyio
async def test_an_async_body_is_the_same_bytes():
    steps = (START, ms.Usage(1, 2, 3), TEXT, STOP)
    for protocol in (*NATIVE, "openai-chat"):
        pieces = []
        await collected(AsyncEventStreamBody(ms.Stream(ScriptedSource(*steps)), ms.encoder(protocol)), pieces)
        assert all(pieces)
        assert [event.type for event in events(b"".join(pieces), protocol)][::3] == ["start", "finish"]
    assert pieces[-1].endswith(b"data: [DONE]\n\n")


@pytest.mark.anyio
async def test_an_async_body_tells_errors_on_the_wire_and_raises_those_of_the_application():
    for error, raised in ((ms.ConnectionFailed("host 10.0.0.1"), False), (ZeroDivisionError("mine"), True)):
        source = ScriptedSource(START, error)
        pieces = []
        body = AsyncEventStreamBody(ms.Stream(source), expose_errors=False)
        if raised:
            with pytest.raises(ZeroDivisionError):
                await collected(body, pieces)
        else:
            await collected(body, pieces)
        told = b"".join(pieces)
        assert [event.type for event in events(told)] == ["start", "error", "finish"]
        assert b"10.0.0.1" not in told
        assert b"mine" not in told
        assert source.closed


@pytest.mark.anyio
async def test_a_reader_that_is_cancelled_closes_the_stream_of_an_async_body():
    source = ScriptedSource(START, HANG)
    pieces = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collected, AsyncEventStreamBody(ms.Stream(source)), pieces)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(pieces) == 1
    assert source.closed
