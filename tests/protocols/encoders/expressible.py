"""What a wire can say of events: `expressible(name, events)` is the same before encoding and after decoding.

Add a wire: a function here and a line in `EXPRESSIBLE`; the shorter the function, the better the wire. Each function
states in code what the docstring of its encoder states in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

import millstream as ms
from millstream.protocols.encoders._usage import inclusive
from millstream.protocols.gemini import GeminiDecoder
from millstream.protocols.openai_chat import OpenAIChatDecoder
from protocols.decoding import wire

R = ms.FinishReason
NUMBERED = re.compile(r"_\d+$")  # what tells an item from another one of the same id


def encode(name: str, events, **options) -> bytes:
    encoder = ms.encoder(name, **options)
    return b"".join(map(encoder.encode, events)) + encoder.close()


def kind(events: list[ms.Event], *classes: type) -> list[Any]:
    return [event for event in events if isinstance(event, classes)]


def reason(events: list[ms.Event]) -> ms.FinishReason:
    """Why it ended, INCOMPLETE too where a call was cut off by something that the reason does not tell of."""
    found = events[-1].reason
    incomplete = [call for call in kind(events, ms.ToolCall) if call.validity == "incomplete"]
    told = found is R.LENGTH and not any(_is_json(call.input) for call in incomplete)
    return R.INCOMPLETE if incomplete and found is not R.ERROR and not told else found


def content(events: list[ms.Event], *, logprobs: bool = False) -> list[tuple]:
    """Text and reasoning, piece by piece, in order; an opaque part is a piece of its own."""
    out: list[tuple] = []
    for event in kind(events, ms.TextDelta, ms.ReasoningDelta):
        if isinstance(event, ms.TextDelta):
            out.append((event.choice, "text", event.text, event.logprobs if logprobs else ()))
        else:
            parts = {"thought": event.text, "signature": event.signature, "encrypted": event.encrypted}
            out += [(event.choice, name, part) for name, part in parts.items() if part]
    return out


def calls(events: list[ms.Event], made_up: str, *, all_usable: bool = True) -> list[tuple]:
    """Which calls, and whether they may be run: INVALID and INCOMPLETE are one thing if no reason tells them apart."""
    out, n = [], dict[int, int]()
    for call in sorted(kind(events, ms.ToolCall), key=lambda call: (call.choice, call.index)):
        number = n[call.choice] = n.get(call.choice, -1) + 1
        usable = call.validity == "valid" and all_usable
        arguments = call.input or (b"{}" if call.validity == "valid" else b"")
        id = call.id or made_up + (f"{call.choice}_" if call.choice else "") + str(number)
        out.append((call.choice, number, id, call.name, arguments, usable and _is_json(arguments)))
    return out


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def usage(events: list[ms.Event]) -> tuple | None:
    """Counts in one sense; None after an error, which ends the wire."""
    found = None if errors(events) else events[-1].usage
    return found and (*inclusive(found)[:2], *inclusive(found)[3:])


def errors(events: list[ms.Event]) -> list[bool]:
    return [True for event in kind(events, ms.Error) if event.fatal]


def ran(events: list[ms.Event], made_up: str, told: Callable[[Any], Any]) -> list[tuple]:
    """The provider's own tools; an id that the encoder made up, or none at all, is told by whose it is."""
    out: list[tuple] = []
    ids: list[str] = []
    for event in kind(events, ms.ProviderToolCall, ms.ProviderToolResult):
        fact = told(event)
        if fact is not None:
            id = "" if event.id.startswith(made_up) else NUMBERED.sub("", event.id)
            if isinstance(event, ms.ProviderToolCall):
                ids.append(id)
            out.append((event.type, id, len(ids) - 1 - ids[::-1].index(id) if id in ids else None, *fact))
    return out


def messages(events: list[ms.Event]) -> list[dict[str, Any]]:
    """What `Raw` events hold, if that is an object of JSON."""
    return [obj for event in kind(events, ms.Raw) if isinstance(obj := orjson.loads(event.data), dict)]


def openai_chat(events: list[ms.Event]) -> dict[str, Any]:
    start, safety = events[0], kind(events, ms.Safety)
    said, cut = openai_reason(events), reason(events) in (R.INCOMPLETE, R.ERROR)
    facts: dict[str, Any] = {
        "start": (start.model, start.id),
        "content": content(events, logprobs=True),
        "refusals": [(event.choice, event.note) for event in safety if event.action == "refuse" and event.note],
        "verdicts": [
            (event.choice, event.category, event.action, event.note)
            for event in safety
            if event.action in ("block", "warn")
        ],
        "calls": calls(events, f"call_{start.id}_" if start.id else "call_", all_usable=not cut),
        "sources": [
            (it.url, it.title, *((it.start, it.end) if None not in (it.start, it.end) else ()))
            for event in kind(events, ms.Citations)
            for it in event.citations
            if it.url or it.title
        ],
        "images": [
            (file.data and file.media_type, file.data or file.url, file.index)
            for file in kind(events, ms.File)
            if file.media_type.startswith("image/") or not file.media_type
        ],
        "spoken": [
            (file.meta["audio"], file.data) for file in kind(events, ms.File) if file.data and "audio" in file.meta
        ],
        "usage": usage(events),
        "errors": errors(events),
        "reason": said,
    }
    if not cut:
        seen = {fact[0] for lane in ("content", "refusals", "verdicts", "calls") for fact in facts[lane]}
        facts["choices"] = {choice: openai_reason(events, choice) for choice in {0, *seen, *(events[-1].choices or ())}}
    return facts


def openai_reason(events: list[ms.Event], choice: int = 0) -> ms.FinishReason | None:
    """One of four words, that of calls if there are any; None if this choice did not end."""
    ended, choices = reason(events), events[-1].choices
    if choice and choices is not None:
        if choice not in choices:
            return None
        ended = GENERIC.get(choices[choice], R.OTHER)
    if ended in (R.LENGTH, R.CONTENT_FILTER, R.INCOMPLETE, R.ERROR) or (ended is R.TOOL_CALLS and not choice):
        return ended
    return R.TOOL_CALLS if any(call.choice == choice for call in kind(events, ms.ToolCall)) else R.STOP


GENERIC = GeminiDecoder.reasons | OpenAIChatDecoder.reasons


def anthropic_messages(events: list[ms.Event]) -> dict[str, Any]:
    events = [event for event in events if getattr(event, "choice", 0) == 0]
    start, ended = events[0], reason(events)
    stopped = [event for event in kind(events, ms.Safety) if event.action in ("refuse", "block")]
    note = stopped and stopped[0].note + "".join(event.note for event in stopped[1:] if event.action == "refuse")
    said = R.STOP if ended is R.OTHER else ended
    if said is R.STOP and stopped:
        said = R.CONTENT_FILTER
    elif said is R.STOP and kind(events, ms.ToolCall):
        said = R.TOOL_CALLS
    return {
        "start": (start.model, start.id),
        "content": content(events),
        "refusal": ended is not R.ERROR and stopped and (stopped[0].category or "refusal", note),
        "calls": calls(events, f"toolu_{start.id}_" if start.id else "toolu_"),
        "ran": ran(events, f"srvtoolu_{start.id}" if start.id else "srvtoolu_", anthropic_tool),
        "blocks": anthropic_blocks(messages(events)),
        "sources": [it for event in kind(events, ms.Citations) for it in event.citations if ended is not R.ERROR],
        "usage": ended is not R.ERROR and (usage(events) or (0, 0, None, None, None)),
        "errors": errors(events),
        "reason": said,
    }


def anthropic_tool(event: ms.ProviderToolCall | ms.ProviderToolResult) -> tuple:
    if isinstance(event, ms.ProviderToolCall):
        return event.name, event.input or None if isinstance(event.input, dict | None) else {"input": event.input}
    failed = {"type": f"{event.name}_tool_result_error", "error_code": event.error}
    result = event.result if event.result is not None else failed if event.error is not None else []
    return event.name, result, event.error is not None


def anthropic_blocks(messages: list[dict[str, Any]]) -> list[Any]:
    """Blocks of kinds that have no event, and their deltas."""
    out, open = [], None
    for message in messages:
        block, delta = message.get("content_block"), message.get("delta")
        if isinstance(block, dict) and message["type"] == "content_block_start":
            known = block["type"] in ("server_tool_use", "mcp_tool_use") or block["type"].endswith("_tool_result")
            open = None if known else message["index"]
            out += [] if known else [block]
        elif message.get("type") == "content_block_delta" and message["index"] == open:
            out.append(delta)
    return out


def mcp_sse(events: list[ms.Event]) -> dict[str, Any]:
    messages = [event for event in kind(events, ms.Raw) if '"jsonrpc"' in event.data]
    answered = any("result" in event.json() for event in messages)
    return {
        "messages": [(event.data, event.event) for event in messages],
        "errors": errors(events),
        "reason": R.ERROR if errors(events) else R.STOP if answered else R.INCOMPLETE,
    }


def openai_responses(events: list[ms.Event]) -> dict[str, Any]:
    events = [event for event in events if getattr(event, "choice", 0) == 0]
    start, found = events[0], events[-1]
    counts = None if found.reason is R.INCOMPLETE else usage(events)
    return {
        "start": (start.model, start.id),
        "content": [part for part in content(events, logprobs=True) if part[1] != "signature"],
        "refusal": [event.note for event in kind(events, ms.Safety) if event.category == "refusal" and event.note],
        "calls": calls(events, f"call_{start.id.removeprefix('resp_')}_" if start.id else "call_"),
        "ran": responses_tools(events),
        "items": responses_items(messages(events)),
        "sources": [
            (it.url, it.title, it.start or 0, it.end or 0) if it.url else (it.source, it.title)
            for event in kind(events, ms.Citations)
            for it in event.citations
        ],
        "images": [(it.media_type, it.data) for it in kind(events, ms.File) if it.data and "image/" in it.media_type],
        "usage": counts and tuple(counts[i] or 0 for i in (0, 1, 2, 4)),
        "errors": errors(events),
        "reason": responses_reason(found, kind(events, ms.ToolCall)),
    }


OWN_TOOLS = ("web_search", "file_search", "code_interpreter", "mcp", "shell", "tool_search")


def responses_tools(events: list[ms.Event]) -> list[tuple]:
    """Its own tools, and any provider's web searches without what they found."""
    shown = set()

    def told(event: ms.ProviderToolCall | ms.ProviderToolResult) -> tuple | None:
        item = (event._meta or {}).get("item", {})
        own = item.get("type", "").startswith(OWN_TOOLS)
        if isinstance(event, ms.ProviderToolResult):
            return (event.name, event.result, event.error) if own or event.id in shown else None
        if own:
            shown.add(event.id)
            return event.name, event.input or None
        query = event.input.get("query") if isinstance(event.input, dict) else None
        searched = event.name == "web_search" and isinstance(query, str)
        return (event.name, {"type": "search", "query": query}) if searched else None

    return ran(events, "web_search_", told)


NO_TOOLS = ("mcp_list_tools", "mcp_approval_request", "mcp_approval_response")


def responses_items(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items that have no event, by all but their id: of other kinds, and of tools that the client runs."""
    found = [message["item"] for message in messages if message.get("type") == "response.output_item.done"]
    return [
        {name: value for name, value in item.items() if name != "id"}
        for item in found
        if not item["type"].startswith(OWN_TOOLS)
        or item["type"] in NO_TOOLS
        or item.get("execution") == "client"
        or (item["type"] == "shell_call" and not item.get("environment"))
    ]


def responses_reason(found: ms.Finish, calls: list[ms.ToolCall]) -> ms.FinishReason:
    if found.reason in (R.LENGTH, R.CONTENT_FILTER, R.INCOMPLETE, R.ERROR):
        return found.reason
    told = found.reason is R.OTHER and found.raw_reason.startswith("incomplete:")
    if told or found.reason is R.PAUSE or any(call.validity == "incomplete" for call in calls):
        return R.OTHER
    return R.TOOL_CALLS if calls else R.STOP


EXPRESSIBLE: dict[str, Callable[[list[ms.Event]], Any]] = {
    "anthropic-messages": anthropic_messages,
    "mcp-sse": mcp_sse,
    "millstream.events.v1": wire,
    "millstream.events.v1+ndjson": wire,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
}


def expressible(name: str, events: list[ms.Event]) -> Any:
    return EXPRESSIBLE[name](events)
