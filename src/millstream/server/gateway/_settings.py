"""What both kinds of request share: the members of OpenAI's chat completions that are not messages. Pure.

A member that `Request` has a field for goes there. What is left over goes to providers that speak this wire themselves,
as it came; to others only if it changes nothing there, else it is refused by its name: a setting that is lost would be
taken for obeyed. Source: openai 3.52 `completion_create_params.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
import orjson
from msgspec import Struct

from millstream.errors import InvalidMessage
from millstream.messages import Message, Request, ResponseFormat, ToolSpec
from millstream.protocols.requests.openai_chat import DIALECTS

__all__ = ["MAX_DEPTH", "Options", "Strict", "is_chat", "parsed", "request_of", "typed"]

MAX_DEPTH = 100
"""How deep a body may be nested: as JSON is written again for the provider, with some levels around it."""
MAX_VALUES = 300_000
"""How many values a body may hold. `{}` is three bytes of a body and a hundred of memory."""

AT_HOME = {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user"}
"""Members for the books of the one who answers. Other wires have nothing to do with them."""
NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "top_logprobs": (0,),
}
"""Values that say what is the case anyway."""
ELSEWHERE = {"api_base", "api_key", "base_url", "fallbacks", "model_list", "models", "route"}
"""Members by which OpenRouter, LiteLLM and the like ask another model, or another address, than the gateway's."""
REFUSED = {"functions": "tools", "function_call": "tool_choice"}

T = TypeVar("T")


class Strict(Struct, forbid_unknown_fields=True):
    """An object that has nothing besides these members."""


class _Function(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(Strict):
    type: Literal["function"]
    function: _Function


class _Named(Strict):
    name: str


class _Choice(Strict):
    type: Literal["function"]
    function: _Named


class _Schema(Strict):
    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class _Format(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Options(Struct, kw_only=True):
    """Members of a body besides its messages."""

    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | _Choice | None = None
    response_format: _Format | None = None


def parsed(body: bytes) -> dict[str, Any]:
    """Parse a body. Raises: InvalidMessage: no JSON, no object, nested too deeply, or too many values."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"the body is no JSON: {error}", field="") from None
    if not isinstance(value, dict):
        raise InvalidMessage(f"the body must be a JSON object, not {type(value).__name__}", field="")
    level: list[Any] = [value]
    n_values = 0
    for _ in range(MAX_DEPTH):
        n_values += sum(map(len, level))
        if n_values > MAX_VALUES:
            raise InvalidMessage(f"the body holds more than {MAX_VALUES} values", field="")
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    raise InvalidMessage(f"the body is nested more than {MAX_DEPTH} levels deep", field="")


def typed(body: Mapping[str, Any], kind: type[T]) -> tuple[T, dict[str, Any]]:
    """Return the members that `kind` has, checked, and all others.

    Raises: InvalidMessage: of a wrong type; `field` is its path, such as "messages[0].content".
    """
    known = {name: value for name, value in body.items() if name in kind.__struct_fields__}  # type: ignore[attr-defined]
    rest = {name: value for name, value in body.items() if name not in known and value is not None}
    for name, instead in REFUSED.items():
        if name in rest:
            raise InvalidMessage(f"{name} is not read; use {instead}", field=name)
    for name in ELSEWHERE & rest.keys():
        raise InvalidMessage(f"{name} is not read: what is asked is up to this gateway", field=name)
    try:
        return msgspec.convert(known, kind), rest
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise InvalidMessage(f"{field}: {said}" if field else said, field=field) from None


def is_chat(protocol: str) -> bool:
    """Whether a provider of this protocol speaks chat completions itself."""
    return protocol in DIALECTS


def request_of(options: Options, messages: list[Message], rest: dict[str, Any], protocol: str) -> Request:
    """Make the request.

    Args: rest: members that no field has. protocol: of the provider that gets it.
    Raises: InvalidMessage: a value or a member that this provider does not take.
    """
    chosen = options.tool_choice
    wanted = options.response_format
    request = Request(
        messages=messages,
        max_tokens=options.max_tokens if options.max_completion_tokens is None else options.max_completion_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        stop=options.stop or (),
        seed=options.seed,
        tools=[_tool(tool.function) for tool in options.tools or ()],
        tool_choice=chosen.function.name if isinstance(chosen, _Choice) else chosen,
        response_format=None if wanted is None or wanted.type == "text" else _format(wanted),
        extra=_extra(rest, protocol),
    )
    # Reasoning goes back where it can be read: what one provider thought means nothing to another.
    return request if is_chat(protocol) else request.portable()


def _tool(given: _Function) -> ToolSpec:
    parameters = {"type": "object", "properties": {}} if given.parameters is None else given.parameters
    return ToolSpec(given.name, given.description or "", parameters, given.strict)


def _format(given: _Format) -> ResponseFormat:
    if given.type == "json_object":
        return ResponseFormat()
    if given.json_schema is None:
        raise InvalidMessage("response_format.json_schema is missing", field="response_format.json_schema")
    schema = given.json_schema
    return ResponseFormat(schema.schema, schema.name, schema.description or "", bool(schema.strict))


def _extra(rest: dict[str, Any], protocol: str) -> dict[str, Any]:
    if is_chat(protocol):
        return rest
    for name, value in rest.items():
        if name not in AT_HOME and value not in NO_EFFECT.get(name, ()):
            said = "; ask for several answers one by one" if name == "n" else ""
            raise InvalidMessage(f"the provider of this model takes no {name}{said}", field=name)
    return {}
