"""Wire formats: bytes <-> typed events. Synchronous, no I/O: usable from any framework, thread or test.

Add a protocol: one file beside this one, one line in `DECODERS` (and `ENCODERS`), captures with golden events.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from millstream.errors import UnknownProtocol
from millstream.events import Error, Event
from millstream.protocols._base import Bytes, Decoder, NDJSONDecoder, SSEDecoder
from millstream.protocols._encoder import Encoder
from millstream.protocols._errors import provider_error
from millstream.protocols.anthropic_messages import AnthropicMessagesDecoder
from millstream.protocols.bedrock_converse import BedrockConverseDecoder
from millstream.protocols.bedrock_invoke import BedrockInvokeDecoder
from millstream.protocols.chat_dialects import (
    AzureOpenAIChatDecoder,
    DeepSeekDecoder,
    GroqDecoder,
    MistralDecoder,
    OpenAICompatibleDecoder,
    OpenRouterDecoder,
)
from millstream.protocols.cohere import CohereV1Decoder, CohereV2Decoder
from millstream.protocols.encoders.anthropic_messages import AnthropicMessagesEncoder
from millstream.protocols.encoders.mcp_sse import MCPEncoder
from millstream.protocols.encoders.openai_chat import OpenAIChatEncoder
from millstream.protocols.encoders.openai_responses import OpenAIResponsesEncoder
from millstream.protocols.encoders.ui_message import UIMessageEncoder
from millstream.protocols.gemini import GeminiArrayDecoder, GeminiDecoder
from millstream.protocols.google_interactions import GoogleInteractionsDecoder
from millstream.protocols.llamacpp_native import LlamaCppNativeDecoder
from millstream.protocols.mcp_sse import MCPDecoder
from millstream.protocols.native import NativeDecoder, NativeEncoder, NativeLinesDecoder, NativeLinesEncoder
from millstream.protocols.ollama import OllamaChatDecoder, OllamaGenerateDecoder
from millstream.protocols.openai_chat import OpenAIChatDecoder
from millstream.protocols.openai_completions import OpenAICompletionsDecoder
from millstream.protocols.openai_responses import OpenAIResponsesDecoder

__all__ = [
    "Bytes",
    "Decoder",
    "Encoder",
    "NDJSONDecoder",
    "SSEDecoder",
    "decoder",
    "decoder_names",
    "encoder",
    "encoder_names",
    "iter_events",
    "provider_error",
]

T = TypeVar("T")

END: Any = object()  # what `iter_events` reads after the last chunk

DECODERS: dict[str, type[Decoder]] = {
    cls.name: cls
    for cls in (
        AnthropicMessagesDecoder,
        AzureOpenAIChatDecoder,
        BedrockConverseDecoder,
        BedrockInvokeDecoder,
        CohereV1Decoder,
        CohereV2Decoder,
        DeepSeekDecoder,
        GeminiArrayDecoder,
        GeminiDecoder,
        GoogleInteractionsDecoder,
        GroqDecoder,
        LlamaCppNativeDecoder,
        MCPDecoder,
        MistralDecoder,
        NativeDecoder,
        NativeLinesDecoder,
        OllamaChatDecoder,
        OllamaGenerateDecoder,
        OpenAIChatDecoder,
        OpenAICompatibleDecoder,
        OpenAICompletionsDecoder,
        OpenAIResponsesDecoder,
        OpenRouterDecoder,
    )
}

ENCODERS: dict[str, type[Encoder]] = {
    cls.name: cls
    for cls in (
        AnthropicMessagesEncoder,
        MCPEncoder,
        NativeEncoder,
        NativeLinesEncoder,
        OpenAIChatEncoder,
        OpenAIResponsesEncoder,
        UIMessageEncoder,
    )
}

ALIASES = {
    "anthropic": "anthropic-messages",
    "azure": "azure-openai-chat",
    "azure-openai": "azure-openai-chat",
    "baseten": "openai-compatible",
    "bedrock": "bedrock-converse",
    "cerebras": "openai-compatible",
    "cloudflare": "openai-compatible",
    "cohere": "cohere-v2",
    "completions": "openai-completions",
    "databricks": "openai-compatible",
    "fireworks": "openai-compatible",
    "github": "openai-compatible",
    "google": "gemini",
    "huggingface": "openai-compatible",
    "litellm": "openai-compatible",
    "llama.cpp": "openai-chat",
    "llamacpp": "openai-chat",
    "lmstudio": "openai-compatible",
    "mcp": "mcp-sse",
    "moonshot": "openai-compatible",
    "nvidia": "openai-compatible",
    "ollama": "ollama-chat",
    "openai": "openai-chat",
    "perplexity": "openai-compatible",
    "responses": "openai-responses",
    "sambanova": "openai-compatible",
    "sglang": "openai-compatible",
    "together": "openai-compatible",
    "vllm": "openai-compatible",
    "writer": "openai-compatible",
    "xai": "openai-compatible",
    "zai": "openai-compatible",
}


def decoder(protocol: str, **options: Any) -> Decoder:
    """Make a decoder for one response.

    Args:
        protocol: a name of `decoder_names()` or an alias such as "openai".
        options: of `Decoder`: `limits=Limits(...)`, the caps to keep; `provider="name"`, to put into errors;
            `shapes=False`, to read each message in full.
    Raises: UnknownProtocol: the message lists the known names. TypeError: an option that there is none of.
    """
    return _find(DECODERS, "decoder", protocol)(**options)


def encoder(protocol: str, **options: Any) -> Encoder:
    """Make an encoder for one response.

    Args:
        protocol: a name of `encoder_names()` or an alias such as "openai".
        options: those of the wire. All take `expose_errors`: whether clients read the text of an exception, or only
            its kind. "openai-chat" and "anthropic-messages" take `model` and `id`, to send in place of the source's;
            "openai-chat" also `include_usage` and `created`, "openai-responses" `response` (fields to add),
            "ui-message" `message_id` and `metadata`, "mcp-sse" `request_id` and `progress_token`.
    Raises: UnknownProtocol: the message lists the known names. TypeError: an option that the wire has not.
    """
    return _find(ENCODERS, "encoder", protocol)(**options)


def decoder_names() -> list[str]:
    """Names of all protocols that can be read, sorted."""
    return sorted(DECODERS)


def encoder_names() -> list[str]:
    """Names of all protocols that can be written, sorted."""
    return sorted(ENCODERS)


def _find(table: Mapping[str, type[T]], kind: str, protocol: str) -> type[T]:
    found = table.get(ALIASES.get(protocol, protocol))
    if found is None:
        raise UnknownProtocol(f"no {kind} for protocol {protocol!r}; known are: {', '.join(sorted(table))}")
    return found


def iter_events(chunks: Iterable[Bytes], protocol: str, **options: Any) -> Iterator[Event]:
    """Decode any iterable of bytes, for scripts and threads: the synchronous twin of `millstream.stream`.

    Args:
        chunks: pieces of the body, such as `response.iter_bytes()` or an open file.
        protocol: a name of `decoder_names()` or an alias such as "openai".
        options: as for `decoder`: `limits`, `provider`, `shapes`.
    Yields: events, `Start` first.
    Raises: UnknownProtocol at the call, and TypeError if `chunks` is something else. After a fatal `Error` event and
        `Finish`: the error that it carries. Whatever `chunks` raises, unchanged.
    Cost: that of `Decoder.feed`; nothing is read ahead, and what is left unread stays in `chunks`.
    """
    source = decoder(protocol, **options)
    if isinstance(chunks, Iterable) and not isinstance(chunks, str | Bytes):
        return _iter_events(chunks, source)
    if isinstance(chunks, Bytes):
        remedy = ": pass [data]"
    elif isinstance(chunks, AsyncIterable):
        remedy = ": use millstream.stream"
    else:
        remedy = ": call it" if callable(chunks) else ", such as response.iter_bytes()"
    raise TypeError(f"chunks must be an iterable of bytes, not {type(chunks).__name__}{remedy}")


def _iter_events(chunks: Iterable[Bytes], source: Decoder) -> Iterator[Event]:
    failure = None
    left = iter(chunks)
    while not source.ended:
        data = next(left, END)
        for event in source.close() if data is END else source.feed(data):
            if isinstance(event, Error) and event.fatal:
                failure = event.error
            yield event
    if failure is not None:
        raise failure
