"""A decoder with shapes and rules beside those without, and what of a decoder's state can be compared.

And, for tests of core/: a message of OpenAI's, and a decoder that has a shape for it.
"""

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
OF_BASE = ("ended", "_closed", "_usage", "_begun", "_model", "_id", "_heard", "_reasons", "_tools", "_usual")


def state_of(decoder: ms.protocols.Decoder) -> dict[str, Any]:
    """All that the decoder remembers."""
    if decoder._reader is not None:
        decoder._reader.settle(decoder)
    own = {name: value for name, value in plain(decoder).items() if not is_initial(decoder, name, value)}
    return {name: plain(getattr(decoder, name)) for name in OF_BASE} | own


def is_initial(decoder: ms.protocols.Decoder, name: str, value: Any) -> bool:
    """Whether an attribute has, once more, what it has before it is set: its class's value, or an empty container."""
    parts = list(value.values()) if isinstance(value, dict) else value
    return (isinstance(parts, list) and not any(parts)) or value == plain(vars_of(type(decoder)).get(name, decoder))


def vars_of(cls: type) -> dict[str, Any]:
    return {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}


def plain(it: Any) -> Any:
    if isinstance(it, Struct):
        return it
    if isinstance(it, dict):
        return {key: plain(value) for key, value in it.items()}
    if isinstance(it, list | tuple):
        return [plain(value) for value in it]
    if isinstance(it, set):
        return sorted(it, key=repr)
    if isinstance(it, ms.protocols.Decoder) or type(it).__module__.startswith("millstream.protocols"):
        names = getattr(it, "__slots__", None) or vars(it)
        return {name: plain(getattr(it, name)) for name in names if name not in PASSING}
    return it


def run(decoder: ms.protocols.Decoder, chunks: Iterable[bytes]) -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
    """The events, the state before the end of the body, and the one after it."""
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    before = state_of(decoder)
    return wire(events + decoder.close()), before, state_of(decoder)


def check_twins(api: str, chunks: list[bytes], truth: Any = None, **options: Any) -> ms.protocols.Decoder:
    """Shapes and rules change nothing: neither events nor what is remembered. Returns: the decoder that had both."""
    truth = truth or run(ms.decoder(api, shapes=False, rules=False, **options), [b"".join(chunks)])
    for shapes, rules in ((True, False), (False, True), (True, True)):
        decoder = ms.decoder(api, shapes=shapes, rules=rules, **options)
        events, before, after = run(decoder, chunks)
        assert events == truth[0], (shapes, rules, chunks)
        assert before == truth[1], (shapes, rules, chunks)
        assert after == truth[2], (shapes, rules, chunks)
    return decoder


def frame(text: str, index: int = 0, more: str = "") -> bytes:
    return b'data: {"choices":[{"index":%d,"delta":{"content":"%b"}}]%b}\n\n' % (index, text.encode(), more.encode())


def warm(n: int = 2, **options: object) -> ms.protocols.Decoder:
    decoder = ms.decoder("openai-chat", **options)
    for _ in range(n):
        decoder.feed(frame("warm"))
    return decoder
