"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

from millstream.messages import Request
from millstream.providers._base import HTTPProvider

__all__ = ["Anthropic"]

VERSION = "2026-10-21"
SAMPLING_VERSION = "2023-06-01"  # the last one that takes these settings; still served


class Anthropic(HTTPProvider):
    """`POST /v1/messages` of api.anthropic.com. For what is in beta give `headers={"anthropic-beta": ...}`.

    Requests that set a temperature or its like go to the version of the API before the current one, which has dropped
    them; models from Claude 4.7 on refuse them there too. Source: platform.claude.com/docs/en/api/versioning.
    """

    name = "anthropic"
    protocol = "anthropic-messages"
    home = "https://api.anthropic.com"
    path = "/v1/messages"
    key_names = ("ANTHROPIC_API_KEY",)
    url_names = ("ANTHROPIC_BASE_URL",)

    def _shown(self, request: Request) -> dict[str, str]:
        samples = request.temperature is not None or request.top_p is not None or "top_k" in request.extra
        return {"anthropic-version": SAMPLING_VERSION if samples else VERSION}

    async def _sign(self, request: Any) -> None:
        if self._key is not None:
            request.headers["x-api-key"] = await self._key.reveal(self.name)
