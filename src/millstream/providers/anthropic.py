"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

from millstream.providers._base import HTTPProvider

__all__ = ["Anthropic"]

VERSION = "2023-06-01"  # the only one; what is new comes with the header `anthropic-beta`


class Anthropic(HTTPProvider):
    """`POST /v1/messages` of api.anthropic.com. For what is in beta give `headers={"anthropic-beta": ...}`."""

    name = "anthropic"
    protocol = "anthropic-messages"
    home = "https://api.anthropic.com"
    path = "/v1/messages"
    key_names = ("ANTHROPIC_API_KEY",)
    url_names = ("ANTHROPIC_BASE_URL",)

    def _shown(self) -> dict[str, str]:
        return {"anthropic-version": VERSION}

    async def _sign(self, request: Any) -> None:
        if self._key is not None:
            request.headers["x-api-key"] = await self._key.reveal(self.name)
