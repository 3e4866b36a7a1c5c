"""What OpenAI's Responses say about an answer, as our events and their values: sources, cost, the provider's tools.

Source: PROTOCOLS.md section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millstream.events import Citation, ProviderToolCall, ProviderToolResult, Usage
from millstream.protocols._provider_tools import as_json
from millstream.protocols._values import count, label

__all__ = ["PROVIDER_RESULTS", "PROVIDER_TOOLS", "citation", "normal_usage", "provider_tool"]

# Items of tools that the provider runs: which members of the item are the input and the result.
PROVIDER_TOOLS = {
    "code_interpreter_call": ("code", "outputs"),
    "file_search_call": ("queries", "results"),
    "mcp_call": ("arguments", "output"),
    "shell_call": ("action", ""),
    "tool_search_call": ("arguments", ""),
    "web_search_call": ("action", "results"),
}
PROVIDER_RESULTS = {"shell_call_output": "output", "tool_search_output": "tools"}


def provider_tool(kind: str, item: dict[str, Any], index: int) -> Iterator[ProviderToolCall | ProviderToolResult]:
    """Read an item of a tool that the provider ran: the call, its result in the same item or in one of its own.

    Nothing comes of other items, nor of a tool that the application shall run. `meta["item"]` is the item without what
    the events say; a result in the same item as its call has none.
    """
    if item.get("execution") == "client" or (kind == "shell_call" and not item.get("environment")):
        return
    call_id = label(item.get("call_id")) or label(item.get("id"))
    name = label(item.get("name")) or kind.removesuffix("_output").removesuffix("_call")
    if kind in PROVIDER_RESULTS:
        told = PROVIDER_RESULTS[kind]
        yield ProviderToolResult(call_id, name, item.get(told), None, index, _meta=_rest(item, told))
    elif kind in PROVIDER_TOOLS:
        asked, given = PROVIDER_TOOLS[kind]
        asking, result, error = item.get(asked), item.get(given), item.get("error")
        asking = as_json(asking) if asked == "arguments" else asking
        yield ProviderToolCall(call_id, name, asking, index, _meta=_rest(item, asked, given, "error"))
        if error:
            said = label(error.get("message") if isinstance(error, dict) else error)
            yield ProviderToolResult(call_id, name, result, said or "the tool failed", index)
        elif result is not None:
            yield ProviderToolResult(call_id, name, result, None, index)


def _rest(item: dict[str, Any], *told: str) -> dict[str, Any]:
    return {"item": {key: value for key, value in item.items() if key not in told}}


def citation(raw: dict[str, Any]) -> Citation:
    return Citation(
        url=label(raw.get("url")),
        title=label(raw.get("title") or raw.get("filename")),
        source=label(raw.get("file_id")),
        start=count(raw.get("start_index")),
        end=count(raw.get("end_index")),
    )


def normal_usage(raw: dict[str, Any]) -> Usage:
    given, made, total = (count(raw.get(key)) for key in ("input_tokens", "output_tokens", "total_tokens"))
    if total is None and given is not None and made is not None:
        total = given + made
    details = raw.get("input_tokens_details") or {}
    cached, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    reasoning = count((raw.get("output_tokens_details") or {}).get("reasoning_tokens"))
    return Usage(given, made, total, cached, written, reasoning, raw)
