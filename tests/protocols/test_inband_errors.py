"""Errors that come inside of a 200, in every form that servers have: one `Error`, and all that came before it."""

from __future__ import annotations

import json

import pytest

import millstream as ms
from millstream.protocols import DECODERS, SSEDecoder
from protocols.captures import APIS, body_of
from protocols.decoding import check_lifecycle, decode, pieces, text_of, wire

ERROR = {"error": {"message": "no more", "type": "overloaded_error", "code": 503}}
COMPACT, PRETTY = json.dumps(ERROR), json.dumps(ERROR, indent=2)
FORMS = {
    "data": f"data: {COMPACT}\n\n",
    "event: error": f"event: error\ndata: {COMPACT}\n\n",
    "event: error, the error itself": f"event: error\ndata: {json.dumps(ERROR['error'])}\n\n",
    "error: of llama.cpp": f"error: {json.dumps(ERROR['error'])}\n\n",
    "bare line": f"{COMPACT}\n\n",
    "bare lines": f"{PRETTY}\n",
    "bare lines, CRLF": PRETTY.replace("\n", "\r\n"),
}
NAMES = [
    name
    for name, cls in DECODERS.items()
    if issubclass(cls, SSEDecoder) and name != "mcp-sse"  # JSON-RPC has its own errors
]


def half(name: str) -> bytes:
    """The first messages of an answer: some of its text, no end."""
    for file, api in APIS.items():
        body = body_of(file).replace(b"\r\n", b"\n")
        ends = [at + 2 for at in range(len(body)) if body[at : at + 2] == b"\n\n"] if api == name else []
        for end in ends:
            events = decode(name, body[:end])
            if text_of(events) and events[-1].reason == "incomplete":
                return body[:end]
    return b""


@pytest.mark.parametrize("name", NAMES)
def test_an_error_inside_of_the_answer_keeps_what_came_before(name: str) -> None:
    begun = half(name)
    for form, text in FORMS.items():
        body = begun + text.encode()
        events = decode(name, body)
        check_lifecycle(events, name)
        *before, error, _ = [event for event in events if not isinstance(event, ms.Usage)]
        assert isinstance(error, ms.Error), form
        assert isinstance(error.error, ms.Overloaded), form
        assert "no more" in error.error.message
        assert text_of(before) == text_of(decode(name, begun))
        assert wire(decode(name, *pieces(body, 1))) == wire(events), form


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_a_body_that_is_nothing_but_an_error(name: str, form: str) -> None:
    """As with a 4xx whose JSON goes under the content type of the stream."""
    for end in ("", "\n", "\n\n"):
        events = decode(name, (FORMS[form].rstrip() + end).encode())
        assert [event.type for event in events] == ["start", "error", "finish"]
        assert isinstance(events[1].error, ms.Overloaded)
        assert events[-1].reason == "error"


@pytest.mark.parametrize("name", ["ollama-chat", "ollama-generate", "cohere-v1-ndjson"])
def test_an_error_as_a_line(name: str) -> None:
    events = decode(name, COMPACT.encode() + b"\n")
    assert isinstance(events[1].error, ms.Overloaded)


@pytest.mark.parametrize("text", [COMPACT, PRETTY, f"[{PRETTY}]", f"[{PRETTY}\n,\r\n{PRETTY}]"])
def test_an_error_instead_of_an_array(text: str) -> None:
    events = decode("gemini-json-array", text.encode())
    assert [event.type for event in events] == ["start", "error", "finish"]
    assert isinstance(events[1].error, ms.Overloaded)
