"""The chat dialects that have a name of their own: `openai-chat` understands them all, errors name who answered.

A dialect that ever contradicts another one overrides a method here. Source: PROTOCOLS.md section 7.
"""

from __future__ import annotations

from millstream.events import FinishReason
from millstream.protocols.openai_chat import OpenAIChatDecoder

__all__ = [
    "AzureOpenAIChatDecoder",
    "DeepSeekDecoder",
    "GroqDecoder",
    "MistralDecoder",
    "OpenAICompatibleDecoder",
    "OpenRouterDecoder",
]


class OpenAICompatibleDecoder(OpenAIChatDecoder):
    """Any other server: vLLM, llama.cpp's /v1, xAI, Together, Perplexity, ..."""

    name = "openai-compatible"
    reasons = OpenAIChatDecoder.reasons | {"eos": FinishReason.STOP}  # Together


class AzureOpenAIChatDecoder(OpenAIChatDecoder):
    """A first chunk without model, verdicts of content filters."""

    name = "azure-openai-chat"


class DeepSeekDecoder(OpenAIChatDecoder):
    """`reasoning_content`, its own counts of cached tokens."""

    name = "deepseek"


class GroqDecoder(OpenAIChatDecoder):
    """`x_groq.usage`, `executed_tools`, `event: error`."""

    name = "groq"


class MistralDecoder(OpenAIChatDecoder):
    """Content as a list, tool calls without an index."""

    name = "mistral"


class OpenRouterDecoder(OpenAIChatDecoder):
    """`reasoning_details`, an error inside a normal chunk."""

    name = "openrouter"
