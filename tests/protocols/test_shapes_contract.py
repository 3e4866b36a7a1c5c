"""The contract of protocols/_base.py, C1 to C4, for each protocol that declares shapes; and that each rule is needed.

Where a decoder breaks a rule, a shape would say something else than its slow way: the negative controls at the end
break one rule each and show that the tests notice.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from orjson import JSONDecodeError, loads

import millstream as ms
from millstream.core import Shapes, SSEMessage
from millstream.protocols import DECODERS
from protocols.captures import INDEX, body_of
from protocols.decoding import sse
from protocols.shape_mutations import window
from protocols.shaped import OF_BASE, SHAPED, check_twins, state_of

protocols = pytest.mark.parametrize("api", SHAPED)


class Poison:
    """Whoever looks at it is found out."""

    def _touched(self, *_: object, **__: object) -> Any:
        raise AssertionError("an ignored value was looked at")

    __bool__ = __eq__ = __str__ = __len__ = __iter__ = __hash__ = __contains__ = __getitem__ = _touched  # type: ignore[assignment]


class Marked(str):
    """A payload that can be told from an equal text."""


def bodies(api: str) -> list[bytes]:
    return [body_of(entry["file"]) for entry in INDEX if entry["api"] == api]


def messages(api: str, body: bytes) -> Iterator[tuple[ms.protocols.Decoder, Any, dict[str, Any]]]:
    """A decoder without shapes before each message, the message, and its JSON."""
    decoder = ms.decoder(api, shapes=False, rules=False)
    decoder._out = []
    for message in [*(parser := decoder._make_parser()).feed(body), *parser.close()]:
        value = message
        if isinstance(message, SSEMessage):
            try:
                value = loads(message.data)
            except JSONDecodeError:
                value = None
        if isinstance(value, dict):
            yield decoder, message, value
        with contextlib.suppress(Exception):
            decoder._message(message)
        if decoder.ended:
            return


def spots(value: Any, path: str) -> Iterator[tuple[Any, Any]]:
    """Where a path leads to: (holder, key)."""
    *steps, last = path.split(".")
    for step in steps:
        key = int(step) if step.isdecimal() else step
        try:
            value = value[key]
        except (IndexError, KeyError, TypeError):
            return
    key = int(last) if last.isdecimal() else last
    with contextlib.suppress(IndexError, KeyError, TypeError):
        value[key]
        yield value, key


def saved(decoder: ms.protocols.Decoder) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    of_base = {name: getattr(decoder, name) for name in OF_BASE if name not in ("_usage", "ended")}
    return copy.deepcopy(vars(decoder)), decoder._usage, copy.deepcopy(of_base)


def restore(decoder: ms.protocols.Decoder, state: tuple[dict[str, Any], Any, dict[str, Any]]) -> None:
    vars(decoder).clear()
    vars(decoder).update(state[0])
    decoder._usage, decoder.ended = state[1], False
    for name, value in state[2].items():
        setattr(decoder, name, value)


def give(decoder: ms.protocols.Decoder, message: Any, value: dict[str, Any]) -> list[ms.Event]:
    """What the slow way makes of a message with this JSON."""
    decoder._moved, decoder._grown = False, None
    decoder._out = []
    decoder._object(*((value, message) if isinstance(message, SSEMessage) else (value,)))
    return decoder._out


def payload_of(event: ms.Event) -> str | None:
    name = {ms.TextDelta: "text", ms.ReasoningDelta: "text", ms.ToolCallDelta: "arguments", ms.Safety: "note"}.get(
        type(event)
    )
    return getattr(event, name) if name else None


def is_pure(decoder: ms.protocols.Decoder, events: list[ms.Event], meta: frozenset[str]) -> bool:
    return (
        len(events) == 1
        and not decoder._moved
        and not decoder.ended
        and bool(payload_of(events[0]))
        and set(events[0]._meta or ()) <= meta
        and decoder._sink(events[0]) is not False
    )


@protocols
def test_c1_nobody_looks_at_what_is_ignored_and_the_text_is_handed_on(api: str) -> None:
    paths = DECODERS[api].shapes.declared()
    n = 0
    for body in bodies(api):
        for decoder, message, value in messages(api, body):
            before = saved(decoder)
            try:
                events = give(decoder, message, value)
                pure = is_pure(decoder, events, frozenset(paths["meta"]))
            except Exception:  # a message that does not fit: another test's
                pure = False
            restore(decoder, before)
            if not pure:
                continue
            text = payload_of(events[0])
            marked = Marked(text)
            poisoned = loads(message.data) if isinstance(message, SSEMessage) else copy.deepcopy(value)
            held = [(h, k) for path in paths["payload"] for h, k in spots(poisoned, path) if h[k] == text]
            if not held:
                continue
            for holder, key in held:
                holder[key] = marked
            for path in (*paths["ignored"], *paths["seldom"]):
                for holder, key in spots(poisoned, path):
                    if isinstance(holder[key], str | int | float) and not isinstance(holder[key], bool | Marked):
                        holder[key] = Poison()
            before = saved(decoder)
            assert payload_of(give(decoder, message, poisoned)[0]) is marked
            restore(decoder, before)
            n += 1
    assert n, "no pure message was seen"


@protocols
def test_c2_reading_a_pure_message_once_more_changes_nothing(api: str) -> None:
    meta = frozenset(DECODERS[api].shapes.declared()["meta"])
    for body in bodies(api)[:12]:
        for decoder, message, value in messages(api, body):
            kept = saved(decoder)
            with contextlib.suppress(Exception):
                events = give(decoder, message, value)
                if is_pure(decoder, events, meta):
                    usage, once = decoder._usage, state_of(decoder)
                    sink = decoder._sink(events[0])
                    again = give(decoder, message, value)
                    assert again == events
                    assert not decoder._moved
                    assert (decoder._usage is not usage) == (usage is not kept[1]), "usage is not of _latest alone"
                    if isinstance(sink, list):
                        assert sink.pop() == payload_of(events[0])
                    assert state_of(decoder) == once
            restore(decoder, kept)


@protocols
def test_c3_a_message_without_events_that_changes_anything_says_so(api: str) -> None:
    """What only the slow way reads may change unsaid; it is listed here."""
    unsaid = {"_heard", "_cited", "_held", "_usage", "_model", "_id", "_raw_usage", "_n_unnumbered", "_seen"}
    for body in bodies(api):
        for decoder, message, value in messages(api, body):
            kept = saved(decoder)
            before = state_of(decoder)
            with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
                events = give(decoder, message, value)
                if not events and not decoder._moved and not decoder.ended:
                    after = state_of(decoder)
                    assert {k for k in after if after[k] != before.get(k)} <= unsaid, value
            restore(decoder, kept)


@protocols
def test_c4_latest_sets_nothing_but_what_the_last_one_overwrites(api: str) -> None:
    for body in bodies(api)[:12]:
        for decoder, _, value in messages(api, body):
            before = state_of(decoder)
            decoder._latest(value)
            after = state_of(decoder)
            decoder._usage = before["_usage"]
            assert {k for k in after if after[k] != before[k]} <= {"_usage"}


def test_a_subclass_that_overrides_anything_declares_anew() -> None:
    class Same(DECODERS["openai-chat"]):
        name = "same"

    class Other(DECODERS["openai-chat"]):
        def _object(self, obj: dict[str, Any], message: Any) -> None:
            super()._object(obj, message)

    class Declared(Other):
        shapes = DECODERS["openai-chat"].shapes

        def _object(self, obj: dict[str, Any], message: Any) -> None:
            super()._object(obj, message)

    assert Same.shapes is DECODERS["openai-chat"].shapes
    assert Other.shapes is None
    assert Declared.shapes is Same.shapes


# --- negative controls: each breaks one rule, and the differential tests notice ---------------------------------------

CHAT = DECODERS["openai-chat"]
ANTHROPIC = DECODERS["anthropic-messages"]
RESPONSES = DECODERS["openai-responses"]


def delta(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": "i", "choices": [{"index": index, "delta": {"content": text}, **more}]}


def fragment(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    call = {"index": index, "function": {"arguments": arguments}, **more}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


class FinishIgnored(CHAT):  # C1: a declared path is read
    shapes = Shapes(payload=("choices.0.delta.content",), ignored=("choices.0.finish_reason",))


class IndexSeldom(CHAT):  # C1, with the tight list
    shapes = Shapes(payload=("choices.0.delta.content",), seldom=("choices.0.index",))


class LatestForgotten(CHAT):  # C4: not replayed
    shapes = CHAT.shapes

    def _latest(self, obj: dict[str, Any]) -> Any:
        if self._reader.reading:
            return super()._latest(obj)
        return None


class ChangeUnsaid(CHAT):  # C3
    shapes = CHAT.shapes

    def _change(self) -> None:
        pass


class SinkForgotten(CHAT):  # C2: the arguments of the whole call
    shapes = CHAT.shapes

    def _sink(self, event: ms.Event) -> None:
        return None


class PhaseUnsaid(RESPONSES):  # C3: a message without events that later texts depend on
    shapes = RESPONSES.shapes

    def _change(self) -> None:
        pass


USAGE = [delta("a") | {"usage": {"total_tokens": n}} for n in range(5)]
ITEM = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "phase": "p"}}
WORD = {"type": "response.output_text.delta", "output_index": 0, "delta": "w"}
BROKEN: list[tuple[type[ms.protocols.Decoder], list[dict[str, Any]]]] = [
    (FinishIgnored, [delta(t, finish_reason=r) for t, r in [("a", ""), ("b", ""), ("c", "stop"), ("d", "")]]),
    (IndexSeldom, [delta("a", 0), delta("b", 0), delta("c", 1), delta("d", 2)]),
    (LatestForgotten, USAGE),
    (
        ChangeUnsaid,
        [
            fragment(0, "", id="a", type="function"),
            fragment(0, "{"),
            fragment(1, "", id="b", type="function"),
            fragment(1, "["),
            fragment(0, "1"),
            fragment(1, "2"),
            fragment(0, "3"),
            fragment(1, "4"),
            fragment(None, "5"),
        ],
    ),
    (SinkForgotten, [fragment(0, "", id="a"), fragment(0, "{"), fragment(0, '"a":1'), fragment(0, "}")]),
    (PhaseUnsaid, [WORD, WORD, WORD, ITEM, WORD, WORD]),
]


@pytest.mark.parametrize(("cls", "stream"), BROKEN, ids=lambda it: getattr(it, "__name__", ""))
def test_a_broken_rule_is_noticed(
    cls: type[ms.protocols.Decoder], stream: list[dict[str, Any]], monkeypatch: Any
) -> None:
    chunks = [sse(stream[0]), sse(*stream[1:])]
    check_twins(next(b.name for b in cls.__mro__[1:] if b.name in DECODERS), chunks)
    monkeypatch.setitem(DECODERS, cls.name, cls)
    with pytest.raises(AssertionError):
        check_twins(cls.name, chunks)


def test_damage_notices_it_too(monkeypatch: Any) -> None:
    monkeypatch.setitem(DECODERS, CHAT.name, SinkForgotten)
    with pytest.raises(AssertionError):
        damage_until_noticed()


def damage_until_noticed() -> None:
    for seed in range(20_000):
        api, frames = window(random.Random(seed))
        if api == CHAT.name:
            check_twins(api, [b"".join(frames)])
