"""Cuts at every place of a body, cheaply: a decoder is frozen at each end of a message, and thawed for each cut.

Thawing costs a tenth of decoding a body of some kB from its beginning.
"""

from __future__ import annotations

import pickle
import re
from io import BytesIO
from itertools import pairwise
from typing import Any

import millstream as ms
from millstream.protocols import DECODERS


def messages(body: bytes, media_type: str) -> list[tuple[int, int]]:
    """Where each message begins and ends, as far as a reader needs it who looks for long ones."""
    match media_type:
        case "text/event-stream":
            ends = [match.end() for match in re.finditer(rb"\r?\n\r?\n", body)]
        case "application/vnd.amazon.eventstream" | "application/json":
            ends = []
        case _:
            ends = [match.end() for match in re.finditer(rb"\n", body)]
    return list(pairwise(sorted({0, *ends, len(body)})))


def comparable(events: list[ms.Event]) -> list[Any]:
    """Exceptions have no equality of their own."""
    return [ms.events.encode_event(event) if isinstance(event, ms.Error) else event for event in events]


class _Freezer(pickle.Pickler):
    def persistent_id(self, it: Any) -> str | None:
        return "parser" if type(it).__module__.startswith("millstream.core") else None


class _Thawer(pickle.Unpickler):
    def persistent_load(self, _: Any) -> None:
        return None


def freeze(decoder: ms.protocols.Decoder) -> bytes:
    """The decoder's state, given that its compiled parser stands between two messages and so has none."""
    for each in filter(None, (decoder, getattr(decoder, "_inner", None))):
        if each._reader is not None:
            each._reader.settle(each)  # what it still holds for the decoder
    out = BytesIO()
    _Freezer(out, pickle.HIGHEST_PROTOCOL).dump(decoder)
    return out.getvalue()


def thaw(frozen: bytes) -> ms.protocols.Decoder:
    decoder: ms.protocols.Decoder = _Thawer(BytesIO(frozen)).load()
    for each in filter(None, (decoder, getattr(decoder, "_inner", None))):
        if each._parser is None:
            each._parser = each._make_parser()
            each._reader = each._make_reader(each.shapes, each.rules)
    return decoder


def boundary(body: bytes, start: int, stop: int, media_type: str) -> int:
    """The last end of a message in body[start:stop], or `start`."""
    match media_type:
        case "text/event-stream":
            found = [body.rfind(end, start, stop) + len(end) for end in (b"\n\n", b"\r\n\r\n")]
            return max([start, *(at for at in found if at > 3)])
        case "application/vnd.amazon.eventstream" | "application/json":
            return stop  # these parsers are Python, and copied with what they hold
        case _:
            return max(start, body.rfind(b"\n", start, stop) + 1)


class Cutter:
    """Cuts a body at ever later places. What was given before a cut is compared with the truth as it comes.

    Attributes:
        n: how many true events had been given before the cut.
        decoder: fed up to the last end of a message before the cut.
    """

    def __init__(self, api: str, body: bytes, truth: list[Any]) -> None:
        self.body, self.truth = body, truth
        self.decoder, self.media_type = ms.decoder(api), DECODERS[api].media_types[0]
        self.n = self.fed = 0
        self.frozen = freeze(self.decoder)

    def cut(self, at: int) -> tuple[bool, int, ms.protocols.Decoder]:
        """Whether a message has ended since the last cut, how many true events came before this one, a decoder."""
        end = boundary(self.body, self.fed, at, self.media_type)
        moved = end > self.fed or at == 0
        self.n = self.expect(self.n, self.decoder.feed(self.body[self.fed : end]))
        if moved:
            self.fed, self.frozen = end, freeze(self.decoder)
        there = thaw(self.frozen)
        return moved, self.expect(self.n, there.feed(self.body[end:at])), there

    def again(self, at: int) -> ms.protocols.Decoder:
        """Another decoder at the cut that was made last."""
        there = thaw(self.frozen)
        there.feed(self.body[self.fed : at])
        return there

    def expect(self, n: int, events: list[ms.Event]) -> int:
        assert comparable(events) == self.truth[n : n + len(events)]
        return n + len(events)
