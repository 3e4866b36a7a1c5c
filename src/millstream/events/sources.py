"""Where an answer got its facts from."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from millstream.events._base import EventBase, EventType

__all__ = ["Citation", "Citations"]


class Citation(Struct, frozen=True, gc=False, omit_defaults=True):
    """One source.

    Attributes:
        url: where it is, "" if it has no address.
        title: its title.
        source: the provider's id of the document, file or search result.
        text: the passage that is quoted.
        start: first character of the answer that it supports, None if not told.
        end: the character after the last one.
    """

    url: str = ""
    title: str = ""
    source: str = ""
    text: str = ""
    start: int | None = None
    end: int | None = None


class Citations(EventBase, frozen=True, gc=False, tag="citations"):
    """Sources of the answer, or of one content block of it.

    Attributes:
        citations: one or more.
        index: the content block that they support, from 0.
    """

    type: ClassVar[EventType] = EventType.CITATIONS

    citations: tuple[Citation, ...]
    index: int = 0
