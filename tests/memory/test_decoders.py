"""An exception that is nobody's fault, in the middle of a decoder's work: what was read is lost, so nothing goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import millstream as ms
from fuzz.building import CORPUS
from millstream.errors import ParserClosed
from protocols.decoding import wire

FILES = sorted((CORPUS / "decoders").glob("*~text"))


@pytest.mark.parametrize("rules", [True, False], ids=["rules", "no rules"])
@pytest.mark.parametrize("shapes", [True, False], ids=["shapes", "no shapes"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_out_of_memory_in_the_middle_closes_a_decoder_until_reset(path: Path, shapes: bool, rules: bool) -> None:
    api, body = path.name.split("~")[0], path.read_bytes()
    whole = ms.decoder(api, shapes=shapes, rules=rules)
    want = wire(whole.feed(body) + whole.close())
    decoder = ms.decoder(api, shapes=shapes, rules=rules)
    # A rule calls few methods; without them each message is one call.
    name, n_before = "_object" if hasattr(decoder, "_object") else "_message", 1
    if rules and decoder.rules:
        name, n_before = "_begin", 0
    read, n = getattr(decoder, name), 0

    def fails(*message: Any) -> None:
        nonlocal n
        n += 1
        if n > n_before:
            raise MemoryError
        read(*message)

    setattr(decoder, name, fails)
    with pytest.raises(MemoryError):
        decoder.feed(body)
    for call in (lambda: decoder.feed(body), decoder.close, lambda: decoder.feed(b"")):
        with pytest.raises(ParserClosed, match="interrupted"):
            call()
    delattr(decoder, name)
    decoder.reset()
    assert wire(decoder.feed(body) + decoder.close()) == want
