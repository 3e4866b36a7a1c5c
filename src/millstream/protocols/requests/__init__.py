"""Requests -> the JSON body that each wire expects: the other half of a protocol. Pure and synchronous.

Add a wire: one file beside this one with a `BodyWriter`, one line in `WRITERS`.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import UnknownProtocol
from millstream.messages import Request
from millstream.protocols import ALIASES
from millstream.protocols.requests._body import BodyWriter
from millstream.protocols.requests.anthropic_messages import AnthropicMessagesBody
from millstream.protocols.requests.bedrock_converse import BedrockConverseBody
from millstream.protocols.requests.cohere import CohereV2Body
from millstream.protocols.requests.gemini import GeminiBody
from millstream.protocols.requests.ollama import OllamaChatBody
from millstream.protocols.requests.openai_chat import DIALECTS, OpenAIChatBody
from millstream.protocols.requests.openai_responses import OpenAIResponsesBody

__all__ = ["BodyWriter", "request_body", "request_names"]

WRITERS: dict[str, type[BodyWriter]] = {
    "anthropic-messages": AnthropicMessagesBody,
    "bedrock-converse": BedrockConverseBody,
    "cohere-v2": CohereV2Body,
    "gemini": GeminiBody,
    "gemini-json-array": GeminiBody,
    "ollama-chat": OllamaChatBody,
    "openai-responses": OpenAIResponsesBody,
    **dict.fromkeys(DIALECTS, OpenAIChatBody),
}


def request_body(protocol: str, request: Request, *, stream: bool = True) -> dict[str, Any]:
    """Write the body of a request.

    Args:
        protocol: a name of `request_names()`, or an alias; the names are those of the decoders.
        request: what is asked.
        stream: whether the answer shall be streamed. Gemini and Bedrock say it in the URL, where the model stands too.
    Returns: the body, of values that JSON has; bytes are in base64. Parts of the request may be shared with it.
    Raises: UnknownProtocol. Inexpressible: the wire has no place for something; `field` names it, the message says
        what to do. InvalidMessage: `extra` would replace what another field has written.
    Cost: linear in the messages.
    """
    name = ALIASES.get(protocol, protocol)
    writer = WRITERS.get(name)
    if writer is None:
        known = ", ".join(request_names())
        raise UnknownProtocol(f"no request body for protocol {protocol!r}; known are: {known}")
    return writer(request, name, stream=stream).write()


def request_names() -> list[str]:
    """Names of all protocols whose request body can be written, sorted."""
    return sorted(WRITERS)
