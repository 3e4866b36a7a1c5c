import threading
import time

import anyio
import pytest

import millstream as ms
from millstream.server import AsyncEventStreamBody, EventStreamBody
from millstream.testing import HANG, ScriptedSource, Wait

START, TEXT, STOP = ms.Start("m", "1"), ms.TextDelta("Hi"), ms.Finish(ms.FinishReason.STOP)


NATIVE = ["millstream.events.v1", "millstream.events.v1+ndjson"]


def events(data, protocol=NATIVE[0]):
    decoder = ms.decoder(protocol)
    return decoder.feed(data) + decoder.close()


def test_a_stream_is_read_in_a_loop_of_its_own_which_ends_with_it():
    threads = threading.active_count()
    source = ScriptedSource(START, TEXT, STOP)
    assert events(b"".join(EventStreamBody(ms.Stream(source)))) == [START, TEXT, STOP]
    assert source.closed
    assert threading.active_count() == threads


def test_silence_is_broken_by_comments():
    body = EventStreamBody(ms.Stream(ScriptedSource(START, Wait(0.2), STOP)), heartbeat=0.02)
    pieces = list(body)
    assert b": \n\n" in pieces
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
    reader.join(10)
    assert (reader.is_alive(), source.closed) == (False, True)
    assert rest == []


def test_closing_it_leaves_a_silent_upstream_at_once():
    threads = threading.active_count()
    source = ScriptedSource(START, HANG)
    body = EventStreamBody(ms.Stream(source), heartbeat=0.01)
    pieces = iter(body)
    assert next(pieces).startswith(b"data: ")
    assert next(pieces) == b": \n\n"
    body.close()
    assert source.closed
    assert source.cancelled
    assert list(pieces) == []
    assert threading.active_count() == threads


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
    with anyio.move_on_after(0.05):
        await collected(AsyncEventStreamBody(ms.Stream(source)), pieces)
    await anyio.wait_all_tasks_blocked()
    assert len(pieces) == 1
    assert source.closed
