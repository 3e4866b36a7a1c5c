import pytest

import millstream as ms
from millstream.server._negotiate import MAX_EVENT_ID, choose, header, last_event_id

OFFERED = ["text/event-stream; charset=utf-8", "application/x-ndjson"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", 0),
        ("*/*", 0),
        ("text/event-stream", 0),
        ("application/x-ndjson", 1),
        ("Application/X-NDJSON", 1),
        ("application/*", 1),
        ("text/event-stream;q=0.5, application/x-ndjson", 1),
        ("text/event-stream, application/x-ndjson", 0),
        ("*/*;q=0.9, application/x-ndjson;q=0.8", 0),
        ("text/event-stream;q=0, */*", 1),
        ("text/*;q=0.1, */*;q=0.2", 1),
        ("application/x-ndjson; q=0.3; ext=1, text/event-stream; Q=0.2", 1),
        ("application/x-ndjson;charset=utf-8;q=0.9, text/event-stream;q=0.5", 1),
        ("application/json", 0),  # SDKs that want a stream say this
        ("application/x-ndjson;q=nonsense", 0),
        ("application/x-ndjson;q=7", 0),
        (", ,application/x-ndjson,", 1),
    ],
)
def test_the_accept_header_chooses_a_wire(accept, chosen):
    assert choose(accept, OFFERED) == chosen


def _scope(*headers, query=b""):
    return {"headers": list(headers), "query_string": query}


def test_headers_that_came_twice_are_one_list():
    assert header(_scope((b"accept", b"a"), (b"x", b"y"), (b"accept", b"b")), b"accept") == "a, b"
    assert header(_scope(), b"accept") == ""


def test_the_header_comes_before_the_query():
    given = (b"last-event-id", "é.1".encode())
    assert last_event_id(_scope(given, query=b"last_event_id=q")) == "é.1"
    assert last_event_id(_scope(query=b"a=b&last_event_id=1.2%2F3")) == "1.2/3"


@pytest.mark.parametrize("scope", [_scope(), _scope((b"last-event-id", b"")), {"headers": []}])
def test_no_id_is_none(scope):
    assert last_event_id(scope) is None


@pytest.mark.parametrize("value", [b"\xff", b"1" * (MAX_EVENT_ID + 1)])
def test_an_id_that_nobody_gave_is_refused(value):
    with pytest.raises(ms.errors.InvalidEventId):
        last_event_id(_scope((b"last-event-id", value)))
