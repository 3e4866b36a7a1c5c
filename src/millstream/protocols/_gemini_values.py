"""What Gemini says about an answer, as the values of our events: its sources, and what it cost.

Source: PROTOCOLS.md section 4.
"""

from __future__ import annotations

from typing import Any

from millstream.events import Citation, Usage
from millstream.protocols._values import count, label, number

__all__ = ["citations", "normal_usage"]


def citations(raw: dict[str, Any]) -> list[Citation]:
    """Read `citationMetadata`, `urlContextMetadata` or `groundingMetadata`: what supports a passage comes first."""
    listed = raw.get("citations") or raw.get("citationSources") or ()
    found = [Citation(label(one.get("uri")), label(one.get("title"))) for one in listed]
    found += [Citation(label(page.get("retrievedUrl"))) for page in raw.get("urlMetadata") or ()]
    chunks: list[tuple[str, str, str]] = []
    for chunk in raw.get("groundingChunks") or ():
        where = next((value for value in chunk.values() if isinstance(value, dict)), {})
        source = label(where.get("documentName") or where.get("placeId"))
        chunks.append((label(where.get("uri")), label(where.get("title")), source))
    used = set()
    for support in raw.get("groundingSupports") or ():
        passage = label((support.get("segment") or {}).get("text"))
        for at in map(number, support.get("groundingChunkIndices") or ()):
            if 0 <= at < len(chunks):
                used.add(at)
                found.append(Citation(*chunks[at], passage))
    return found + [Citation(*chunk) for at, chunk in enumerate(chunks) if at not in used]


def normal_usage(raw: dict[str, Any]) -> Usage:
    """Cumulative: the last one counts. `candidatesTokenCount` leaves the thoughts out."""
    given, made = count(raw.get("promptTokenCount")), count(raw.get("candidatesTokenCount"))
    total = count(raw.get("totalTokenCount"))
    if total is None and given is not None and made is not None:
        total = given + made
    cached, thoughts = count(raw.get("cachedContentTokenCount")), count(raw.get("thoughtsTokenCount"))
    return Usage(given, made, total, cached, None, thoughts, raw)
