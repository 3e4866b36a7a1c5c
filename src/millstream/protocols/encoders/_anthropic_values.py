"""What events say, as the values of an Anthropic message stream: sources, blocks of provider tools, errors, counts."""

from __future__ import annotations

from typing import Any

from orjson import JSONDecodeError, loads

from millstream.errors import ProviderError, RateLimited, StreamError
from millstream.events import Citation, Citations, ProviderToolCall, ProviderToolResult, Raw, Usage
from millstream.protocols.encoders._faults import error_type
from millstream.protocols.encoders._usage import inclusive

__all__ = ["call_block", "citations", "counts", "error_name", "result_block", "untyped_block"]

CALL_BLOCKS = ("server_tool_use", "mcp_tool_use")
TYPED_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", *CALL_BLOCKS)
"""Blocks that events other than `Raw` stand for; those that end in `_tool_result` too."""

CITATIONS = {
    "char_location",
    "content_block_location",
    "page_location",
    "search_result_location",
    "web_search_result_location",
}
OWN_ERRORS = {
    "api_error",
    "authentication_error",
    "billing_error",
    "invalid_request_error",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "request_too_large",
    "timeout_error",
}


def call_block(event: ProviderToolCall, id: str) -> dict[str, Any]:
    """Return the head of the block of a provider's tool; its input follows."""
    own = _own(event)
    kind = own if own.get("type") in CALL_BLOCKS else {"type": "server_tool_use"}
    return {**kind, "id": id, "name": event.name, "input": {}}


def result_block(event: ProviderToolResult, id: str, error: str | None) -> dict[str, Any]:
    """Return the block of what a provider's tool gave back; `error`: what the client is told of it."""
    own = _own(event)
    if str(own.get("type")).endswith("_tool_result"):
        return {**own, "tool_use_id": id, "content": event.result}
    block: dict[str, Any] = {"type": f"{event.name}_tool_result", "tool_use_id": id, "content": event.result}
    if error is not None:
        failed = {"type": f"{event.name}_tool_result_error", "error_code": error}
        return block | ({"content": failed} if event.result is None else {"is_error": True})
    return block | ({"content": []} if event.result is None else {})


def untyped_block(event: Raw) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None] | None:
    """Return the number of a block of this wire, and its head if no other event tells of it, or a delta of it."""
    if '"content_block_' not in event.data:
        return None
    try:
        raw = loads(event.data)
    except JSONDecodeError:
        return None
    match raw:
        case {"type": "content_block_start", "index": int(index), "content_block": {"type": str(kind)} as block}:
            return None if kind in TYPED_BLOCKS or kind.endswith("_tool_result") else (index, block, None)
        case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)}:
            return index, None, delta
    return None


def _own(event: ProviderToolCall | ProviderToolResult) -> dict[str, Any]:
    """What came beside the event, if it came by this wire."""
    block = (event._meta or {}).get("block")
    return block if isinstance(block, dict) else {}


def citations(event: Citations) -> list[dict[str, Any]]:
    """Return the sources as this wire has them: as they came, if they came by it."""
    raw = (event._meta or {}).get("raw")
    if isinstance(raw, dict) and raw.get("type") in CITATIONS and len(event.citations) == 1:
        return [raw]
    return [*map(_citation, event.citations)]


def _citation(source: Citation) -> dict[str, Any]:
    cited: dict[str, Any]
    if source.url:
        cited = {"type": "web_search_result_location", "url": source.url, "title": source.title}
        cited |= {"encrypted_index": "", "source": source.source}
    else:
        cited = {"type": "char_location", "document_index": 0, "document_title": source.title}
        cited |= {"file_id": source.source or None}
    return cited | {"cited_text": source.text, "start_char_index": source.start, "end_char_index": source.end}


def error_name(error: StreamError) -> str:
    """Return the name of this error: the provider's own, if this wire has it."""
    if isinstance(error, ProviderError) and error.code in OWN_ERRORS:
        return error.code
    if isinstance(error, RateLimited) and not error.retryable:
        return "billing_error"
    return error_type(error, "api_error")


def counts(usage: Usage) -> dict[str, Any]:
    """Return the provider's own object if it is of this wire and still says the same."""
    raw = usage.raw or {}
    own = raw.get("output_tokens") is not None and not raw.keys() & {"total_tokens", "input_tokens_details"}
    if own and (raw.get("input_tokens"), raw["output_tokens"]) == (usage.input_tokens, usage.output_tokens):
        return raw
    told = inclusive(usage)
    out: dict[str, Any] = {
        "input_tokens": told.input - (told.cache_read or 0) - (told.cache_write or 0),
        "output_tokens": told.output,
        "cache_read_input_tokens": told.cache_read,
        "cache_creation_input_tokens": told.cache_write,
    }
    if told.reasoning is not None:
        out["output_tokens_details"] = {"thinking_tokens": told.reasoning}
    return {key: value for key, value in out.items() if value is not None}
