"""OpenAI's chat completions."""

from __future__ import annotations

from millstream.providers._base import HTTPProvider

__all__ = ["OpenAIChat"]


class OpenAIChat(HTTPProvider):
    """`POST /chat/completions` of api.openai.com, or of any server that imitates it, by `base_url`."""

    name = "openai"
    protocol = "openai-chat"
    home = "https://api.openai.com/v1"
    path = "/chat/completions"
    key_names = ("OPENAI_API_KEY",)
    url_names = ("OPENAI_BASE_URL",)
