"""Tokens of Google Cloud, through google-auth. The only file that imports it, and only when it is used."""

from __future__ import annotations

import threading
from typing import Any

from anyio import to_thread

from millstream.errors import AuthError, ConnectionFailed, MissingExtra

__all__ = ["GoogleCredentials"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LOG_IN = "`gcloud auth application-default login`"


class GoogleCredentials:
    """Credentials, those given or those that google-auth finds, and the token that they give.

    Args: given: of google-auth; None: its application default credentials, looked for when they are needed.
    Raises: MissingExtra: google-auth is not installed.
    """

    def __init__(self, given: Any = None) -> None:
        try:
            import google.auth.transport.requests  # noqa: F401
        except ImportError as error:
            raise MissingExtra(
                "vertex gets its tokens through google-auth: pip install 'millstream[vertex]', or pass api_key"
            ) from error
        self.origin = "Google's default credentials" if given is None else "the argument credentials"
        self._credentials = given
        self._project = ""
        self._lock = threading.Lock()  # of threads: the same provider may serve several event loops

    def project(self) -> str:
        """Return the project that the credentials belong to, "" if they do not say. Raises: AuthError: none found."""
        found = self._found()
        return self._project or str(getattr(found, "project_id", None) or "")

    @property
    def payer(self) -> str:
        """The project that is to be billed, "" if it is the one of the credentials."""
        return str(getattr(self._credentials, "quota_project_id", None) or "")

    async def token(self) -> str:
        """Return a token that is valid now; a new one is fetched in a thread.

        Raises: AuthError: there are no credentials, or they are refused. ConnectionFailed: Google was not reached.
        """
        if self._credentials is not None and self._credentials.valid:
            return str(self._credentials.token)
        return await to_thread.run_sync(self._fresh)

    def _fresh(self) -> str:
        from google.auth.exceptions import GoogleAuthError, TransportError  # type: ignore[import-untyped,unused-ignore]
        from google.auth.transport.requests import Request

        with self._lock:
            credentials = self._found()
            try:
                if not credentials.valid:
                    credentials.refresh(Request())
            except TransportError as error:
                raise ConnectionFailed(f"cannot ask Google for a token: {error}") from error
            except GoogleAuthError as error:
                said = error.args[0] if error.args else error
                raise AuthError(f"Google gives no token for {self.origin}: {said}; try {LOG_IN}") from error
            return str(credentials.token)

    def _found(self) -> Any:
        if self._credentials is None:
            import google.auth
            from google.auth.exceptions import DefaultCredentialsError

            try:
                self._credentials, project = google.auth.default(scopes=[SCOPE])
            except DefaultCredentialsError as error:
                raise AuthError(
                    f"google-auth finds no credentials; try {LOG_IN}, or pass credentials or api_key"
                ) from error
            self._project = project or ""
        return self._credentials
