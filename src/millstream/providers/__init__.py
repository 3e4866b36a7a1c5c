"""Models over HTTP: end points, keys and error mapping per provider, small files.

Add a provider: one file beside this one, a member of `CLASSES`. Outside of this package: a subclass of `HTTPProvider`
or `BaseProvider`, or any class with the methods of `Provider`, and an entry point of the group `millstream.providers`.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from millstream.errors import UnknownProvider
from millstream.providers._base import HTTPProvider
from millstream.providers._calls import BaseProvider
from millstream.providers._provider import Prompt, Provider, RunSettings, Settings
from millstream.providers._result import ObjectResult, TextResult
from millstream.providers.anthropic import Anthropic
from millstream.providers.azure import AzureOpenAI
from millstream.providers.bedrock import Bedrock
from millstream.providers.cohere import Cohere
from millstream.providers.compatible import SERVICES, OpenAICompatible
from millstream.providers.conversation import Conversation, user_inputs
from millstream.providers.gemini import Gemini
from millstream.providers.ollama import Ollama
from millstream.providers.openai_chat import OpenAIChat
from millstream.providers.openai_responses import OpenAIResponses
from millstream.providers.vertex import Vertex, VertexAnthropic

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Anthropic",
    "AzureOpenAI",
    "BaseProvider",
    "Bedrock",
    "Cohere",
    "Conversation",
    "Gemini",
    "HTTPProvider",
    "ObjectResult",
    "Ollama",
    "OpenAIChat",
    "OpenAICompatible",
    "OpenAIResponses",
    "Prompt",
    "Provider",
    "RunSettings",
    "Settings",
    "TextResult",
    "Vertex",
    "VertexAnthropic",
    "provider",
    "provider_names",
    "user_inputs",
]

GROUP = "millstream.providers"

CLASSES = (
    *(Anthropic, AzureOpenAI, Bedrock, Cohere, Gemini, Ollama, OpenAIChat, OpenAIResponses),
    *(Vertex, VertexAnthropic),
)

PROVIDERS: dict[str, Callable[..., Provider]] = {
    **{cls.name: cls for cls in CLASSES},
    **{name: partial(OpenAICompatible, service=name) for name in SERVICES},
}


def provider(name: str, **options: Any) -> Provider:
    """Make a provider.

    Args:
        name: "provider:model", such as "openai:gpt-5.1"; what stands after the first colon is the model.
        options: of the provider's class: api_key, base_url, ..., and settings that all calls shall have.
    Raises: UnknownProvider: the message lists the known ones. As the class: AuthError without a key, ...
    """
    kind, _, model = name.partition(":")
    make = PROVIDERS.get(kind) or _from_elsewhere(kind)
    if make is None:
        raise UnknownProvider(
            f"no provider {kind!r}; known are: {', '.join(provider_names())}. Any server that imitates OpenAI: "
            "provider('compatible:MODEL', base_url=...)"
        )
    return make(model, **options)


def provider_names() -> list[str]:
    """Names that `provider` knows, sorted, those of other packages included."""
    return sorted({*PROVIDERS, *(entry.name for entry in entry_points(group=GROUP))})


def _from_elsewhere(kind: str) -> Callable[..., Provider] | None:
    for entry in entry_points(group=GROUP, name=kind):
        return cast("Callable[..., Provider]", entry.load())
    return None
