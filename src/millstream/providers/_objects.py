"""How a model is asked for an object: with a schema, with a tool, or in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from millstream.errors import Inexpressible, UsageError
from millstream.messages import Message, Request, ResponseFormat, ToolSpec
from millstream.messages._strict import strict_schema
from millstream.objects import json_schema
from millstream.objects._backend import BackendName

__all__ = ["ObjectMode", "Schemas", "ask_for_object"]

ObjectMode = Literal["schema", "tool", "words"]
"""How to ask: the provider holds the answer to the schema; the object is the arguments of a tool; in words alone."""

Schemas = Literal["any", "closed", "none"]
"""What schemas a provider holds answers to: all; those of closed objects, which `json_schema(strict=True)` makes; none.
"""

TOOL = "answer"
WORDS = "Answer with nothing but one JSON value that keeps this JSON schema:\n"


def ask_for_object(
    request: Request,
    type: Any,
    mode: ObjectMode | None,
    schemas: Schemas,
    backend: BackendName | None,
    tool_choice: bool,
) -> tuple[Request, ObjectMode]:
    """Return the request that asks for an object, and how it does.

    Args:
        type: as for `ObjectStream`, or a JSON schema.
        mode: how; None for the best that this provider and this type allow.
        schemas: what this provider can do.
        tool_choice: whether it can be told to call a tool.
    Raises: TypeError: there is no schema of the type. UsageError: the request has tools or a format of its own.
    """
    if request.tools or request.response_format is not None:
        raise UsageError("stream_object writes tools and response_format itself: leave them out, or use stream_text")
    given = isinstance(type, Mapping)
    schema = dict(type) if given else json_schema(type, backend=backend)
    try:
        closed: dict[str, Any] | None = strict_schema(schema)
    except Inexpressible:
        closed = None
    if given and closed != schema:  # a schema of the caller is sent as it is
        closed = None
    is_object = schema.get("type") == "object" or "$ref" in schema
    if mode is None:
        if schemas == "any" or (schemas == "closed" and closed is not None):
            mode = "schema"
        else:
            mode = "tool" if is_object and tool_choice else "words"
    if mode == "schema":
        wanted = ResponseFormat(closed or schema, strict=closed is not None)
        return replace(request, response_format=wanted), mode
    if mode == "tool":
        tool = ToolSpec(TOOL, "Give the answer.", schema)
        return replace(request, tools=(tool,), tool_choice="required" if tool_choice else None), mode
    words = Message("system", WORDS + msgspec.json.encode(schema).decode())
    return replace(request, messages=(words, *request.messages)), mode
