"""`docs/reference/protocols.md` is made from the registry. MILLSTREAM_REGEN=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from millstream.events import EventType
from millstream.protocols import ALIASES, DECODERS, ENCODERS, Decoder

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "protocols.md"

HEAD = """# Protocols

Generated from the registry; `MILLSTREAM_REGEN=1 make test ARGS=tests/protocols/test_reference.py` writes it anew.
Use a name or an alias with `ms.stream(..., protocol=...)`, `ms.iter_events`, `ms.decoder` and `ms.encoder`. Only a
response is asked for its media type; other sources of bytes are taken at their word.

| protocol | aliases | media type | decoder | encoder | events besides `Start`, `Error` and `Finish` | on the wire |
|---|---|---|---|---|---|---|
"""


def kinds(decoder: type[Decoder] | None) -> str:
    """What it can give; `test_gives.py` proves it."""
    if decoder is None:
        return ""
    return "all" if len(decoder.gives) == len(EventType) - 3 else ", ".join(cls.__name__ for cls in decoder.gives)


def page() -> str:
    rows = []
    for name in sorted(DECODERS.keys() | ENCODERS.keys()):
        decoder = DECODERS.get(name)
        aliases = ", ".join(sorted(alias for alias, target in ALIASES.items() if target == name))
        media = decoder.media_types[0] if decoder else ENCODERS[name].media_type
        about = ((decoder or ENCODERS[name]).__doc__ or "").strip().splitlines()[0].replace("|", "\\|")
        read, written = (f"`{table[name].__name__}`" if name in table else "" for table in (DECODERS, ENCODERS))
        rows.append(f"| `{name}` | {aliases} | `{media}` | {read} | {written} | {kinds(decoder)} | {about} |\n")
    return HEAD + "".join(rows)


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_aliases_lead_somewhere_and_hide_nothing() -> None:
    assert set(ALIASES.values()) <= DECODERS.keys()
    assert not ALIASES.keys() & DECODERS.keys()
