"""Servers that imitate OpenAI's chat completions: one row each."""

from __future__ import annotations

from typing import Any, NamedTuple

from millstream.errors import UsageError
from millstream.providers._base import HTTPProvider
from millstream.providers._objects import Schemas

__all__ = ["SERVICES", "OpenAICompatible"]


class Service(NamedTuple):
    """What is known of a service.

    Attributes:
        home: where its API begins, "" if there is no such place.
        key_name: the environment variable with the key, "" if there is none.
        protocol: its dialect.
        local: it runs on the user's machine: it needs no key, and serves one model.
        schemas: what schemas it holds answers to.
    """

    home: str
    key_name: str = ""
    protocol: str = "openai-compatible"
    local: bool = False
    schemas: Schemas = "closed"


SERVICES = {
    "cerebras": Service("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "compatible": Service("", local=True),
    "deepseek": Service("https://api.deepseek.com", "DEEPSEEK_API_KEY", "deepseek", schemas="none"),
    "fireworks": Service("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "groq": Service("https://api.groq.com/openai/v1", "GROQ_API_KEY", "groq"),
    "huggingface": Service("https://router.huggingface.co/v1", "HF_TOKEN"),
    "llamacpp": Service("http://127.0.0.1:8080/v1", "LLAMA_API_KEY", "openai-chat", local=True, schemas="any"),
    "lmstudio": Service("http://127.0.0.1:1234/v1", "LM_API_TOKEN", local=True, schemas="any"),
    "mistral": Service("https://api.mistral.ai/v1", "MISTRAL_API_KEY", "mistral"),
    "moonshot": Service("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nvidia": Service("https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"),
    "ollama-chat": Service("http://127.0.0.1:11434/v1", "OLLAMA_API_KEY", local=True, schemas="any"),
    "openrouter": Service("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "openrouter"),
    "perplexity": Service("https://api.perplexity.ai", "PERPLEXITY_API_KEY"),
    "sambanova": Service("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "sglang": Service("http://127.0.0.1:30000/v1", local=True, schemas="any"),
    "together": Service("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "vllm": Service("http://127.0.0.1:8000/v1", "VLLM_API_KEY", local=True, schemas="any"),
    "xai": Service("https://api.x.ai/v1", "XAI_API_KEY"),
    "zai": Service("https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
}


class OpenAICompatible(HTTPProvider):
    """`POST /chat/completions` of a service of `SERVICES`, or of any other server, by `base_url`.

    Args: service: its name. options: as for `HTTPProvider`.
    """

    path = "/chat/completions"

    def __init__(self, model: str = "", *, service: str = "compatible", **options: Any) -> None:
        if service not in SERVICES:
            raise UsageError(f"no service {service!r}; known are: {', '.join(SERVICES)}; or give only base_url")
        known = SERVICES[service]
        self.name = service  # type: ignore[misc]  # the one class that stands for many providers
        self.protocol = known.protocol
        self.home = known.home
        self.key_names = (known.key_name,) if known.key_name else ()
        self.needs_key = self.needs_model = not known.local
        self.schemas = known.schemas
        super().__init__(model, **options)
