"""The law of all encoders: what a wire can say, it says; decoded again it is the same."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from conftest import shared_dir
from protocols.captures import corpus
from protocols.decoding import check_lifecycle, decode, pieces, wire
from protocols.encoders.expressible import EXPRESSIBLE, encode, expressible
from protocols.encoders.generate import event_streams

NAMES = sorted({*ms.protocols.encoder_names()} & {*ms.protocols.decoder_names()})
SMALL = 5_000  # larger bodies are not decoded byte by byte


def captures() -> dict[str, tuple[str, bytes]]:
    """File -> (protocol, body): our own recordings and the whole corpus."""
    found = {}
    for folder in (shared_dir() / "recordings", corpus()):
        for entry in json.loads((folder / "INDEX.json").read_bytes()):
            found[f"{folder.name}/{entry['file']}"] = (entry["api"], folder / entry["file"])
    return found


CAPTURES = captures()
ENCODED = ("anthropic-messages", "openai-chat")


@cache
def events_of(file: str) -> list[ms.Event]:
    api, path = CAPTURES[file]
    return decode(api, path.read_bytes())


def test_every_wire_that_can_be_read_and_written_is_here() -> None:
    assert EXPRESSIBLE.keys() == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", CAPTURES)
def test_captures(name: str, file: str) -> None:
    events = events_of(file)
    body = encode(name, events)
    again = decode(name, body)
    check_lifecycle(again, name)
    assert expressible(name, again) == expressible(name, events)
    if len(body) < SMALL:
        assert wire(decode(name, *pieces(body, 1))) == wire(again)


@pytest.mark.parametrize("name", NAMES)
@given(events=event_streams())
def test_any_events(name: str, events: list[ms.Event]) -> None:
    body = encode(name, events)
    again = decode(name, body)
    check_lifecycle(again, name)
    assert expressible(name, again) == expressible(name, events)
    assert wire(decode(name, *pieces(body, 1))) == wire(again)


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_at_any_byte_changes_nothing(name: str) -> None:
    events = events_of("recordings/chat-tool-call.sse")
    body = encode(name, events[:12] + events[-4:])
    whole = wire(decode(name, body))
    for at in range(len(body)):
        assert wire(decode(name, body[:at], body[at:])) == whole


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_body_that_breaks_off_gives_a_prefix_and_says_so(name: str, data: st.DataObject) -> None:
    """No cut makes a call valid that was not, and none makes an unfinished answer look finished."""
    events = data.draw(event_streams())
    body = encode(name, events)
    whole = decode(name, body)
    cut = decode(name, body[: data.draw(st.integers(0, len(body)))])
    assert cut[-1].reason in ("incomplete", whole[-1].reason)
    assert "".join(e.text for e in whole if isinstance(e, ms.TextDelta)).startswith(
        "".join(e.text for e in cut if isinstance(e, ms.TextDelta))
    ) or any(getattr(e, "choice", 0) for e in whole)
    valid = [(call.id, call.input) for call in whole if isinstance(call, ms.ToolCall) and call.validity == "valid"]
    assert all(
        (call.id, call.input) in valid for call in cut if isinstance(call, ms.ToolCall) and call.validity == "valid"
    )


@pytest.mark.parametrize(
    "file", [file for file, (api, _) in CAPTURES.items() if api in ENCODED and file.startswith("recordings/")]
)
def test_a_recording_of_the_same_wire_comes_back_event_for_event(file: str) -> None:
    """Nothing is left out here: pieces, numbers, raw reasons and the provider's own usage object."""
    events, name = events_of(file), CAPTURES[file][0]
    assert decode(name, encode(name, events)) == events
