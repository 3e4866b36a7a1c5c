"""What events say, as the values of an OpenAI Responses stream: sources, items of provider tools, counts."""

from __future__ import annotations

from typing import Any

from orjson import JSONDecodeError, loads

from millstream.events import Citation, ProviderToolCall, ProviderToolResult, Raw, Usage
from millstream.protocols._responses_values import PROVIDER_RESULTS, PROVIDER_TOOLS, provider_tool
from millstream.protocols.encoders._sse import json_text
from millstream.protocols.encoders._usage import inclusive

__all__ = ["annotation", "call_item", "counts", "result_item", "untyped_item"]

TYPED_ITEMS = ("message", "reasoning", "function_call", "custom_tool_call")


def call_item(event: ProviderToolCall) -> tuple[dict[str, Any], str] | None:
    """Return the item of a tool that the provider runs, and the name of its member for the result ("": none).

    None if it has no item on this wire: that of another provider has one only if it is the same tool, a web search.
    """
    own = _own(event)
    kind = own.get("type")
    if kind in PROVIDER_TOOLS:
        asking = event.input
        if kind == "mcp_call" and not isinstance(asking, str):
            asking = json_text({} if asking is None else asking).decode()
        asked, given = PROVIDER_TOOLS[kind]
        return own | {asked: asking}, given
    query = event.input.get("query") if isinstance(event.input, dict) else None
    if event.name == "web_search" and isinstance(query, str):
        action = {"type": "search", "query": query}
        return {"id": event.id, "type": "web_search_call", "status": "completed", "action": action}, ""
    return None


def result_item(event: ProviderToolResult) -> dict[str, Any] | None:
    """Return the item of a result that has its own; None if it stands in that of its call."""
    own = _own(event)
    return own | {PROVIDER_RESULTS[own["type"]]: event.result} if own.get("type") in PROVIDER_RESULTS else None


def untyped_item(event: Raw) -> dict[str, Any] | None:
    """Return the whole item that this message of the same wire tells of, if no other event does."""
    if "response.output_item.done" not in event.data:
        return None
    try:
        raw = loads(event.data)
    except JSONDecodeError:
        return None
    match raw:
        case {"type": "response.output_item.done", "item": {"type": str(kind)} as found} if kind not in TYPED_ITEMS:
            item: dict[str, Any] = found
            typed = any(provider_tool(kind, item, 0)) or (kind == "image_generation_call" and item.get("result"))
            return None if typed else item
    return None


def _own(event: ProviderToolCall | ProviderToolResult) -> dict[str, Any]:
    """What came beside the event, if it came by this wire."""
    item = (event._meta or {}).get("item")
    return item if isinstance(item, dict) else {}


def annotation(citation: Citation) -> dict[str, Any]:
    """Return a source as an annotation of text."""
    if not citation.url:
        return {"type": "file_citation", "file_id": citation.source, "filename": citation.title, "index": 0}
    span = {"start_index": citation.start or 0, "end_index": citation.end or 0}
    return {"type": "url_citation", "url": citation.url, "title": citation.title, **span}


def counts(usage: Usage) -> dict[str, Any]:
    """Return the provider's own object if it is of this wire and still says the same."""
    raw = usage.raw or {}
    if "input_tokens_details" in raw and (raw.get("input_tokens"), raw.get("output_tokens")) == (
        usage.input_tokens,
        usage.output_tokens,
    ):
        return raw
    told = inclusive(usage)
    cached = {"cached_tokens": told.cache_read or 0, "cache_write_tokens": told.cache_write or 0}
    return {
        "input_tokens": told.input,
        "input_tokens_details": cached,
        "output_tokens": told.output,
        "output_tokens_details": {"reasoning_tokens": told.reasoning or 0},
        "total_tokens": told.total,
    }
