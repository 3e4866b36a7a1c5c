"""OpenAI's chat completions at Azure."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from millstream.messages import Request
from millstream.providers._base import HTTPProvider

__all__ = ["AzureOpenAI"]


class AzureOpenAI(HTTPProvider):
    """`POST /openai/v1/chat/completions` of a resource at Azure; the model is the name of a deployment.

    Args:
        base_url: the resource, as in https://NAME.openai.azure.com; by default AZURE_OPENAI_ENDPOINT.
        api_key: a key of the resource; a function is taken to give tokens of Microsoft Entra.
        api_version: to use the older path with the deployment in it; by default OPENAI_API_VERSION, else the v1 API.
        options: as for `HTTPProvider`.
    """

    name = "azure"
    protocol = "azure-openai-chat"
    key_names = ("AZURE_OPENAI_API_KEY",)
    url_names = ("AZURE_OPENAI_ENDPOINT",)

    def __init__(self, model: str = "", *, api_version: str = "", **options: Any) -> None:
        self.api_version = api_version or os.environ.get("OPENAI_API_VERSION", "")
        self._is_token = callable(options.get("api_key"))
        super().__init__(model, **options)

    def _url(self, request: Request) -> str:
        if self.api_version:
            deployment = quote(request.model, safe="")
            version = quote(self.api_version, safe="")
            return f"{self.base_url}/openai/deployments/{deployment}/chat/completions?api-version={version}"
        base = self.base_url.removesuffix("/openai/v1")
        return f"{base}/openai/v1/chat/completions"

    async def _sign(self, request: Any) -> None:
        if self._is_token:
            await super()._sign(request)
        elif self._key is not None:
            request.headers["api-key"] = await self._key.reveal(self.name)
