"""Google's Gemini."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from millstream.messages import Request
from millstream.providers._base import HTTPProvider

__all__ = ["Gemini"]


class Gemini(HTTPProvider):
    """`POST /v1beta/models/MODEL:streamGenerateContent` of generativelanguage.googleapis.com.

    A model name with a slash, such as "tunedModels/mine", is taken as it is.
    """

    name = "gemini"
    protocol = "gemini"
    home = "https://generativelanguage.googleapis.com"
    path = "/v1beta/{model}:streamGenerateContent?alt=sse"
    key_names = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    url_names = ("GOOGLE_GEMINI_BASE_URL",)
    schemas = "any"

    def _url(self, request: Request) -> str:
        name = request.model if "/" in request.model else f"models/{request.model}"
        return self.base_url + self.path.format(model=quote(name))

    async def _sign(self, request: Any) -> None:
        if self._key is not None:  # never in the URL, which is logged everywhere
            request.headers["x-goog-api-key"] = await self._key.reveal(self.name)
