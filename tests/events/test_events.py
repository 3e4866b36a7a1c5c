"""The kinds of event: their order, their classes, what they show and what they carry."""

from __future__ import annotations

import gc
from typing import get_args, get_origin

import msgspec
import pytest

import millstream as ms

SEED_ORDER = [
    "start", "text_delta", "object_delta", "tool_call", "tool_result",
    "citations", "safety", "usage", "error", "finish",
]  # fmt: skip
CLASSES = [get_origin(cls) or cls for cls in get_args(ms.Event)]


def test_the_first_ten_kinds_keep_their_order() -> None:
    assert [str(kind) for kind in ms.EventType][:10] == SEED_ORDER
    assert [kind.ordinal for kind in ms.EventType] == list(range(20))


def test_each_kind_has_one_class_in_the_union() -> None:
    assert sorted(cls.type for cls in CLASSES) == sorted(ms.EventType)
    for cls in CLASSES:
        assert getattr(ms, cls.__name__) is cls, "every kind of event stands at the top"
        assert cls.__struct_config__.tag == cls.type


@pytest.mark.parametrize("cls", CLASSES)
def test_own_fields_match_by_position_the_common_ones_by_name(cls: type) -> None:
    assert cls.__match_args__ == tuple(f for f in cls.__struct_fields__ if f not in ("stream_id", "_meta"))


def test_matching() -> None:
    match ms.TextDelta("Hello", 2):
        case ms.TextDelta(text, index):
            assert (text, index) == ("Hello", 2)
        case _:
            pytest.fail("no match")


@pytest.mark.parametrize("cls", CLASSES)
def test_frozen(cls: type) -> None:
    assert cls.__struct_config__.frozen


def test_setting_a_field_raises() -> None:
    with pytest.raises(AttributeError):
        ms.TextDelta("x").text = "y"


def test_meta_is_made_on_demand_and_never_shared() -> None:
    a, b = ms.TextDelta("x"), ms.TextDelta("x")
    assert a._meta is None
    a.meta["k"] = 1
    assert a.meta is a.meta
    assert b.meta == {}
    assert ms.events.decode_event(ms.events.encode_event(a)).meta == {"k": 1}


def test_looking_at_meta_sends_nothing() -> None:
    event = ms.TextDelta("x")
    before = ms.events.encode_event(event)
    assert event.meta == {}
    assert ms.events.encode_event(event) == before


def test_a_delta_is_no_work_for_the_garbage_collector() -> None:
    assert not gc.is_tracked(ms.TextDelta("x"))
    assert not gc.is_tracked(ms.ReasoningDelta("x"))
    assert not gc.is_tracked(ms.ToolCallDelta("a", "f", "{"))


def test_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(ms.TextDelta("Hé")) == "TextDelta(text='Hé')"
    assert repr(ms.TextDelta("x", 1, stream_id="s")) == "TextDelta(text='x', index=1, stream_id='s')"
    assert repr(ms.Start()) == "Start()"


@pytest.mark.parametrize("value", ["x" * 10_000, b"x" * 10_000, {"k": "x" * 10_000}, list(range(10_000))])
def test_repr_is_short(value: object) -> None:
    shown = repr(ms.Data(value))
    assert len(shown) < 120
    assert "…" in shown


def test_error_shortcuts() -> None:
    error = ms.RateLimited("slow")
    error.partial = "half"
    event = ms.Error(error)
    assert (event.kind, event.retryable, event.partial, event.fatal) == ("rate_limited", True, "half", True)


def test_a_raw_event_can_be_read_as_json() -> None:
    assert ms.Raw('{"type":"later","n":[1]}', event="later").json() == {"type": "later", "n": [1]}
    with pytest.raises(msgspec.DecodeError):
        ms.Raw("[DONE]").json()
