"""What all providers over HTTP share: address, key, headers, errors, retries of one model call.

A provider is one file: a subclass with `name`, `protocol`, `home`, `path` and the names of its key, and `_sign` if the
key does not travel as a bearer token. What its wire looks like stands in `protocols/`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from urllib.parse import urlsplit

from orjson import dumps

from millstream.errors import AuthError, UsageError
from millstream.events import Event
from millstream.limits import DEFAULT_LIMITS, Limits
from millstream.messages import Request
from millstream.protocols import decoder
from millstream.protocols.requests import request_body
from millstream.providers._calls import BaseProvider
from millstream.providers._explain import Explained
from millstream.providers._http import Call
from millstream.providers._keys import KeyLike, find_key
from millstream.providers._provider import Settings
from millstream.streams import RetryPolicy, Stream, Timeouts
from millstream.streams.sources.response import ResponseSource
from millstream.streams.timeouts import DEFAULT_TIMEOUTS

__all__ = ["HTTPProvider"]

DEFAULT_RETRY = RetryPolicy()


class HTTPProvider(BaseProvider):
    """A model behind HTTP.

    Args:
        model: the provider's name of it.
        api_key: the key, or a function that gives it for each request; by default that of the environment. "" for none.
        base_url: where its API begins; by default the provider's own. A key of the environment is not sent elsewhere.
        headers: more headers of each request.
        client: an `AsyncClient` of httpx2 or httpx to use and not to close; by default one that all providers share.
        timeouts: how long one attempt may take; None: no limit but for connecting.
        retry: how often to try again before anything has arrived; None: never.
        limits: the caps of the decoder.
        settings: defaults of all calls, see `Settings`.
    Raises: AuthError: no key, where one is needed. UsageError: no model, or an address that is none. TypeError:
        timeouts, retry or limits are something else.
    """

    home: str = ""
    """Where the provider's own API begins, "" if there is no such place."""
    path: str = ""
    """What follows the base URL; `{model}` is replaced."""
    key_names: Sequence[str] = ()
    """Environment variables with the key."""
    url_names: Sequence[str] = ()
    """Environment variables with the base URL."""
    needs_key: bool = True
    """Whether the provider's own address answers nobody without a key."""
    needs_model: bool = True
    """Whether the server has several models."""
    frames: str = ""
    """The wire of the answers, if it is another one than `protocol`."""

    def __init__(
        self,
        model: str = "",
        *,
        api_key: KeyLike | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        client: Any = None,
        timeouts: Timeouts | None = DEFAULT_TIMEOUTS,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        limits: Limits = DEFAULT_LIMITS,
        **settings: Unpack[Settings],
    ) -> None:
        if not model and self.needs_model:
            raise UsageError(f"{self.name}: name a model, as in provider('{self.name}:MODEL')")
        if not isinstance(timeouts, Timeouts | None):
            raise TypeError(
                f"timeouts must be a millstream.Timeouts or None, as in Timeouts(idle=30.0), not {timeouts!r}"
            )
        if not isinstance(retry, RetryPolicy | None):
            raise TypeError(
                f"retry must be a millstream.RetryPolicy or None, as in RetryPolicy(max_attempts=3), not {retry!r}"
            )
        super().__init__(model, limits=limits, **settings)
        self.base_url = self._base_url(base_url)
        self.timeouts = timeouts
        self.retry = retry
        self._client = client
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._is_home = base_url is None or not self.home or _origin(self.base_url) == _origin(self.home)
        self._key = find_key(api_key, self.key_names, sent_home=self._is_home)
        if self._key is None and self.needs_key and self._is_home and not self._has_own_auth():
            raise AuthError(self._no_key(), provider=self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model!r} at {self.base_url}>"

    def open(self, request: Request) -> Stream[Event]:
        """Make the stream of one model call, of several attempts if need be. All as for `BaseProvider.open`."""
        body = dumps(self._body(request))
        url = self._url(request)

        def attempt() -> Stream[Event]:
            wire = decoder(self.frames or self.protocol, provider=self.name, limits=self.limits)
            shown = {"content-type": "application/json", "accept": ", ".join(wire.media_types), **self._shown(request)}
            call = Call(url, body, {**shown, **self._headers}, self._sign, lambda: wire.ended, self._client)
            key, model = self._key, request.model
            source = Explained(
                ResponseSource(call, wire), key=key, model=model, url=self.base_url, no_key=self._no_key()
            )
            stream = Stream(source)
            return stream.timeout(self.timeouts) if self.timeouts else stream

        first = attempt()
        return first if self.retry is None else first._retry(attempt, self.retry)

    # --- what providers override ---------------------------------------------------------------------------------

    def _url(self, request: Request) -> str:
        """Where to send it."""
        return self.base_url + self.path

    def _body(self, request: Request) -> dict[str, Any]:
        """What to send."""
        return request_body(self.protocol, request)

    def _shown(self, request: Request) -> dict[str, str]:
        """Headers that hold no secret."""
        return {}

    async def _sign(self, request: Any) -> None:
        """Put the key into the headers of the HTTP request."""
        if self._key is not None:
            request.headers["authorization"] = f"Bearer {await self._key.reveal(self.name)}"

    def _has_own_auth(self) -> bool:
        """Whether the caller has given headers that take the place of a key."""
        return any(name in ("authorization", "api-key", "x-api-key", "x-goog-api-key") for name in self._headers)

    # --- the rest ------------------------------------------------------------------------------------------------

    def _base_url(self, given: str | None) -> str:
        named = next((os.environ[name] for name in self.url_names if os.environ.get(name, "").strip()), None)
        url = (given or named or self.home).strip().rstrip("/")
        if not url:
            raise UsageError(f"{self.name}: give base_url, the address where its API begins")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"{self.name}: base_url must look like https://host/path")
        if parts.username is not None:
            raise UsageError(f"{self.name}: base_url must not hold a password; give api_key or headers")
        return url

    def _no_key(self) -> str:
        """What to say of a request without a key that was refused."""
        if self._has_own_auth():
            return "it was sent the headers that were given"
        names = " or ".join(self.key_names)
        said = f"{self.name}: no key: pass api_key" + (f" or set {names}" if names else "")
        return said if self.home in ("", self.base_url) else said + f" (not used for {self.base_url})"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
