"""Cohere's chat v2."""

from __future__ import annotations

from millstream.providers._base import HTTPProvider

__all__ = ["Cohere"]


class Cohere(HTTPProvider):
    """`POST /v2/chat` of api.cohere.com."""

    name = "cohere"
    protocol = "cohere-v2"
    home = "https://api.cohere.com"
    path = "/v2/chat"
    key_names = ("CO_API_KEY", "COHERE_API_KEY")
    url_names = ("CO_API_URL",)
