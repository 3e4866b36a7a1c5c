"""Google's Vertex AI: Gemini, and Anthropic's models, with the credentials of Google Cloud.

Source: google-genai 3.4 `_api_client.py`, `_transformers.t_model`; anthropic 2.11 `lib/vertex/_client.py`.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from millstream.errors import UsageError
from millstream.messages import Request
from millstream.providers._base import HTTPProvider
from millstream.providers._google import GoogleCredentials
from millstream.providers._keys import Key
from millstream.providers._objects import Schemas

__all__ = ["Vertex", "VertexAnthropic"]

HOSTS = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}
PATHS = ("endpoints", "models", "projects", "publishers")


class Vertex(HTTPProvider):
    """`POST /v1/projects/PROJECT/locations/LOCATION/publishers/google/models/MODEL:streamGenerateContent`.

    Requests carry a token of the credentials that google-auth finds: of a service account, of gcloud, of the machine.
    These go to Google's own address only: who gives `base_url` gives `credentials` or `api_key` too.

    Args:
        model: a name of Google's; "meta/NAME" for another publisher's; "endpoints/ID" for one that was tuned.
        project: by default GOOGLE_CLOUD_PROJECT, else the one of the credentials.
        location: by default GOOGLE_CLOUD_LOCATION, else "global".
        credentials: of google-auth, to be used in place of those that it finds.
        api_key: a key of the "express mode", which takes the place of a project; a function is taken to give tokens.
        options: as for `HTTPProvider`.
    Raises: UsageError: no project. AuthError: its credentials were looked for, and there are none. MissingExtra.
    """

    name = "vertex"
    protocol = "gemini"
    path = "streamGenerateContent?alt=sse"
    publisher = "google"
    schemas: Schemas = "any"
    needs_key = False

    def __init__(
        self, model: str = "", *, project: str = "", location: str = "", credentials: Any = None, **options: Any
    ) -> None:
        self.location = location or os.environ.get("GOOGLE_CLOUD_LOCATION", "") or "global"
        self.home = f"https://{HOSTS.get(self.location, f'{self.location}-aiplatform.googleapis.com')}"
        super().__init__(model, **options)
        self._google: GoogleCredentials | None = None
        if options.get("api_key") is None and not self._has_own_auth() and (credentials is not None or self._is_home):
            self._google = GoogleCredentials(credentials)
            self._key = Key(self._google.token, self._google.origin)
        self._is_express = isinstance(options.get("api_key"), str) and self._key is not None
        self.project = project or os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        if not self.project and self._google is not None:
            self.project = self._google.project()
        if not self.project and not self._is_express:
            raise UsageError(f"{self.name}: give project, or set GOOGLE_CLOUD_PROJECT")

    def _url(self, request: Request) -> str:
        publisher, slash, name = request.model.partition("/")
        if not slash:
            publisher, name = self.publisher, publisher
        is_path = slash and publisher in PATHS
        path = quote(request.model) if is_path else f"publishers/{quote(publisher)}/models/{quote(name, safe='')}"
        if not self._is_express and not path.startswith("projects/"):
            path = f"projects/{quote(self.project)}/locations/{quote(self.location)}/{path}"
        return f"{self.base_url}/v1/{path}:{self.path}"

    async def _sign(self, request: Any) -> None:
        if self._key is None:
            return
        secret = await self._key.reveal(self.name)
        name, value = ("x-goog-api-key", secret) if self._is_express else ("authorization", f"Bearer {secret}")
        request.headers[name] = value
        if self._google is not None and self._google.payer:
            request.headers["x-goog-user-project"] = self._google.payer

    def _no_key(self) -> str:
        if self._has_own_auth():
            return super()._no_key()
        return f"{self.name}: no key: pass credentials or api_key; Google's own are not sent to {self.base_url}"


class VertexAnthropic(Vertex):
    """`POST .../publishers/anthropic/models/MODEL:streamRawPredict`: Anthropic's messages, without their own key.

    Args: model: Anthropic's name of it. project, location, credentials, options: as for `Vertex`.
    """

    name = "vertex-anthropic"
    protocol = "anthropic-messages"
    path = "streamRawPredict"
    publisher = "anthropic"
    schemas = "none"  # a forced tool is what all versions of these models understand

    def _body(self, request: Request) -> dict[str, Any]:
        body = super()._body(request)
        del body["model"]  # the URL names it
        return {"anthropic_version": "vertex-2023-10-16", **body}
