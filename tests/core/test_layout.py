"""core/_layout.pyx: events made by copying slots."""

from __future__ import annotations

import msgspec

from millstream.core._layout import layouts_of
from millstream.protocols._base import LAYOUTS


def test_events_can_be_made_of_slots() -> None:
    """If msgspec lays out its structs in another way one day, shapes are off, not wrong; this says that they are on."""
    assert all(layout.sound for layout in LAYOUTS.values())


def test_a_class_that_does_more_than_hold_fields_is_not_copied() -> None:
    class Tracked(msgspec.Struct):
        text: str
        _meta: dict | None = None

    class Counting(msgspec.Struct, gc=False):
        text: str
        _meta: dict | None = None

        def __post_init__(self) -> None: ...

    assert not any(layout.sound for layout in layouts_of({Tracked: "text", Counting: "text"}, whole=None).values())
