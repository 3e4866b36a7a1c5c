"""MCP: each JSON-RPC message is Raw, the response ends the stream, an error response is an Error."""

from __future__ import annotations

import pytest

from millstream.errors import InvalidRequest, ProviderError
from millstream.events import Error, Finish, FinishReason, Raw, Start
from millstream.protocols import decoder

NOTE = '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
RESULT = '{"jsonrpc":"2.0","id":1,"result":{}}'


def read(*messages):
    source = decoder("mcp")
    data = "".join(f"event: message\r\ndata: {m}\r\n\r\n" for m in messages).encode()
    return source.feed(data) + source.close()


def test_notification_then_result():
    assert read(NOTE, RESULT) == [
        Start(), Raw(NOTE, "message"), Raw(RESULT, "message"), Finish(FinishReason.STOP),
    ]  # fmt: skip


def test_priming_event_and_no_response_is_incomplete():
    assert read("", NOTE)[1:] == [Raw(NOTE, "message"), Finish(FinishReason.INCOMPLETE)]


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        *((code, InvalidRequest) for code in (-32700, -32600, -32601, -32602)),
        (-32603, ProviderError),
        (-32000, ProviderError),
    ],
)
def test_error_response(code, cls):
    events = read(f'{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"no"}}}}')
    assert [type(e) for e in events] == [Start, Error, Finish]
    assert type(events[1].error) is cls
    assert events[1].error.code == str(code)


def test_an_error_without_words_and_one_with_too_many():
    (error,) = (e.error for e in read('{"jsonrpc":"2.0","id":1,"error":{"code":1}}') if isinstance(e, Error))
    assert error.message == "mcp-sse answered 1: no message"
    words = "x" * 1000
    (error,) = (e.error for e in read(f'{{"id":1,"error":{{"message":"{words}"}}}}') if isinstance(e, Error))
    assert error.message.count("x") == 500
