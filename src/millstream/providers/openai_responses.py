"""OpenAI's Responses."""

from __future__ import annotations

from millstream.providers._base import HTTPProvider

__all__ = ["OpenAIResponses"]


class OpenAIResponses(HTTPProvider):
    """`POST /responses` of api.openai.com, or of any server that imitates it, by `base_url`."""

    name = "openai-responses"
    protocol = "openai-responses"
    home = "https://api.openai.com/v1"
    path = "/responses"
    key_names = ("OPENAI_API_KEY",)
    url_names = ("OPENAI_BASE_URL",)
