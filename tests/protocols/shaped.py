"""A decoder with shapes beside one without, and what of a decoder's state can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

import millstream as ms
from millstream.protocols import DECODERS
from protocols.decoding import wire

SHAPED = sorted(name for name, cls in DECODERS.items() if cls.shapes is not None)

# What belongs to the present message only, or is no state of the protocol at all.
PASSING = {"_parser", "_reader", "_out", "_grown", "_moved", "growing"}
OF_BASE = ("ended", "_closed", "_usage")


def state_of(decoder: ms.Decoder) -> dict[str, Any]:
    """All that the decoder remembers."""
    if decoder._reader is not None:
        decoder._reader.settle(decoder)
    return {name: plain(getattr(decoder, name)) for name in OF_BASE} | plain(decoder)


def plain(it: Any) -> Any:
    if isinstance(it, Struct):
        return it
    if isinstance(it, dict):
        return {key: plain(value) for key, value in it.items()}
    if isinstance(it, list | tuple):
        return [plain(value) for value in it]
    if isinstance(it, set):
        return sorted(it, key=repr)
    if isinstance(it, ms.Decoder) or type(it).__module__.startswith("millstream.protocols"):
        names = getattr(it, "__slots__", None) or vars(it)
        return {name: plain(getattr(it, name)) for name in names if name not in PASSING}
    return it


def run(decoder: ms.Decoder, chunks: Iterable[bytes]) -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
    """The events, the state before the end of the body, and the one after it."""
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    before = state_of(decoder)
    return wire(events + decoder.close()), before, state_of(decoder)


def check_twins(api: str, chunks: list[bytes], truth: Any = None, **options: Any) -> ms.Decoder:
    """Shapes change nothing: neither events nor what is remembered. Returns: the decoder that had them."""
    shaped = ms.decoder(api, **options)
    truth = truth or run(ms.decoder(api, shapes=False, **options), [b"".join(chunks)])
    events, before, after = run(shaped, chunks)
    assert events == truth[0], chunks
    assert before == truth[1], chunks
    assert after == truth[2], chunks
    return shaped
