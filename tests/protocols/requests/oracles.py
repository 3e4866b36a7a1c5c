"""What the providers' own SDKs say of a request body: their parameter types, made strict."""

from __future__ import annotations

import functools
import inspect
import json
import os
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anthropic.types
import botocore.session
import botocore.validate
import cohere.types
import ollama._types
import typing_extensions
from cohere.v2.client import V2Client
from google.genai import types as gemini
from mistralai.client.models import ChatCompletionStreamRequest
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel, TypeAdapter

# What dialects add to OpenAI's types.
DIALECT_KEYS = {"reasoning_content", "reasoning", "reasoning_details"}


def strict(annotation: Any) -> Any:
    """The same type with lists for lazily checked iterables, and no unknown keys."""
    if typing_extensions.is_typeddict(annotation):
        return _strict_dict(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return strict(args[0])
    if origin in (typing.IO, os.PathLike):
        return typing.Literal["a file, which no body can hold"]
    if origin is typing.Union:
        return typing.Union[tuple(strict(arg) for arg in args)]  # noqa: UP007
    if origin is not None and issubclass_safe(origin, Iterable) and origin is not dict and len(args) == 1:
        return list[strict(args[0])]
    return annotation


def issubclass_safe(cls: Any, parent: type) -> bool:
    return inspect.isclass(cls) and (issubclass(cls, parent) or cls.__name__ == "SequenceNotStr")


@functools.cache
def _strict_dict(cls: Any) -> Any:
    if "AdditionalProperties" in str(cls.__annotations__.get("__extra_items__", "")) or cls.__name__ == "InputSchema":
        return cls  # an open JSON schema
    hints = typing_extensions.get_type_hints(cls, include_extras=True)
    fields = {
        key: (typing_extensions.Required if key in cls.__required_keys__ else typing_extensions.NotRequired)[
            strict(hint)
        ]
        for key, hint in hints.items()
    }
    made = typing_extensions.TypedDict(cls.__name__ + "Strict", fields)
    made.__pydantic_config__ = {"extra": "forbid"}
    return made


@functools.cache
def _adapter(cls: Any) -> TypeAdapter:
    return TypeAdapter(strict(cls))


def openai_chat(body: dict) -> None:
    plain = json.loads(json.dumps(body))
    for message in plain["messages"]:
        for key in DIALECT_KEYS:
            message.pop(key, None)
    _adapter(completion_create_params.CompletionCreateParamsStreaming).validate_python(plain)


def openai_responses(body: dict) -> None:
    _adapter(response_create_params.ResponseCreateParamsStreaming).validate_python(body)


def anthropic_messages(body: dict) -> None:
    # anthropic 1.0 took the sampling settings out of its signatures; the API still has them for the older models.
    plain = {key: value for key, value in body.items() if key not in ("temperature", "top_p")}
    _adapter(anthropic.types.message_create_params.MessageCreateParamsStreaming).validate_python(plain)


def gemini_body(body: dict) -> None:
    known = {
        "contents": list[gemini.Content],
        "systemInstruction": gemini.Content,
        "generationConfig": gemini.GenerationConfig,
        "tools": list[gemini.Tool],
        "toolConfig": gemini.ToolConfig,
    }
    assert body.keys() <= known.keys()
    for key, value in body.items():
        _adapter_of(key, known[key]).validate_json(json.dumps(value))


@functools.cache
def _adapter_of(_: str, cls: Any) -> TypeAdapter:
    return TypeAdapter(cls)


def ollama_chat(body: dict) -> None:
    seen = ollama._types.ChatRequest.model_validate(body).model_dump(exclude_unset=True)
    assert seen.keys() == body.keys()
    assert seen.get("options", {}).keys() <= ollama._types.Options.model_fields.keys()
    for tool in body.get("tools", ()):
        checked = ollama._types.Tool.model_validate(tool).model_dump(exclude_unset=True)
        assert checked.keys() == tool.keys()
        assert checked["function"].keys() == tool["function"].keys()
    for message in body["messages"]:
        images = {"images": [{"value": data} for data in message["images"]]} if "images" in message else {}
        checked = ollama._types.Message.model_validate(message | images).model_dump(exclude_unset=True)
        assert checked.keys() == message.keys()


def mistral(body: dict) -> None:
    model = ChatCompletionStreamRequest.model_validate(body)
    dumped = model.model_dump(mode="json", by_alias=True)
    assert body.keys() <= dumped.keys()
    assert len(dumped["messages"]) == len(body["messages"])
    for message, seen in zip(body["messages"], dumped["messages"], strict=True):
        assert message.keys() <= seen.keys()


def cohere_v2(body: dict) -> None:
    known = {
        "messages": list[cohere.types.ChatMessageV2],
        "tools": list[cohere.types.ToolV2],
        "response_format": cohere.types.ResponseFormatV2,
    }
    assert body.keys() - {"stream"} <= inspect.signature(V2Client.chat_stream).parameters.keys()
    for key, cls in known.items():
        if key in body:
            assert list(extras(_adapter_of(key, cls).validate_python(body[key]))) == []


def extras(value: Any) -> Iterator[str]:
    """The keys that these models have let pass without knowing them."""
    if isinstance(value, list):
        for one in value:
            yield from extras(one)
    elif isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for _, one in value:
            yield from extras(one)


@functools.cache
def _converse() -> Any:
    client = botocore.session.get_session().create_client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return client.meta.service_model.operation_model("ConverseStream").input_shape


def bedrock_converse(body: dict) -> None:
    report = botocore.validate.ParamValidator().validate(body | {"modelId": "m"}, _converse())
    assert not report.has_errors(), report.generate_report()


ORACLES: dict[str, Callable[[dict], None]] = {
    "anthropic-messages": anthropic_messages,
    "azure-openai-chat": openai_chat,
    "bedrock-converse": bedrock_converse,
    "cohere-v2": cohere_v2,
    "deepseek": openai_chat,
    "gemini": gemini_body,
    "gemini-json-array": gemini_body,
    "groq": openai_chat,
    "mistral": mistral,
    "ollama-chat": ollama_chat,
    "openai-chat": openai_chat,
    "openai-compatible": openai_chat,
    "openai-responses": openai_responses,
    "openrouter": openai_chat,
}
