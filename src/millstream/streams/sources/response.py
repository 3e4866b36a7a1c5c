"""An HTTP response of httpx2, httpx or aiohttp as a source: checked first, then decoded.

Known here: status codes, content types, headers. Not known: the client's package; any response with `status_code`,
`headers`, `aiter_bytes()` and `aclose()` will do. Source: WHATWG HTML 9.2.3 (content type), RFC 9110 10.2.3
(Retry-After), PROTOCOLS.md section 0 (check the status before parsing as SSE).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol, runtime_checkable

from anyio import move_on_after
from orjson import JSONDecodeError, loads

from millstream.errors import StreamError, UnexpectedContentType
from millstream.events import Event
from millstream.protocols import Decoder, provider_error
from millstream.streams._pull import Puller, close_iterator
from millstream.streams._retry_after import retry_after
from millstream.streams._tasks import Tasks
from millstream.streams.sources._aiohttp import AiohttpResponse, as_response
from millstream.streams.sources._coding import Inflated, codings, refuse_unreadable
from millstream.streams.sources._transport import transport_error
from millstream.streams.sources.body import BodySource

__all__ = ["Response", "ResponseSource", "accepts", "refusal"]

NO_CONTENT = (204, 205)
REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id", "cf-ray")


@runtime_checkable
class Response(Protocol):
    """What is asked of a response: httpx2's and httpx's have it."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers, found without regard to case."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Iterate over the body, content codings undone."""
        ...

    async def aclose(self) -> None:
        """Release the connection."""


class ResponseSource(Puller[Event]):
    """Open a response, refuse what is not a stream of the wire, decode the rest.

    Args:
        source: a response, or an async context manager that gives one: `client.stream("POST", url, json=...)`.
        decoder: for its body.
        require_finish: as for `BodySource`.
    """

    def __init__(
        self, source: Response | AbstractAsyncContextManager[Any], decoder: Decoder, *, require_finish: bool = False
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._require_finish = require_finish
        self._response: Response | None = None
        self._body: BodySource | None = None
        self._watchers: list[Callable[[int], None]] = []

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Call `watcher` with the size of each chunk of the body."""
        self._watchers.append(watcher)
        if self._body is not None:
            self._body.watch(watcher)

    async def open(self, tasks: Tasks) -> None:
        """Get the response and check it.

        Raises: ConnectionFailed, StreamTimeout: no response. ProviderError and its kinds: status not 2xx, or an error
            body where a stream should be. UnexpectedContentType: anything else that is not this wire.
        """
        try:
            if isinstance(self._source, Response):
                response = self._source
            else:
                response = as_response(await self._source.__aenter__())
            self._response = response
            await self._check(response)
        except Exception as error:
            failure = transport_error(error, self._decoder.provider)
            if failure is None:
                raise
            raise failure from error
        chunks = Inflated(response, self._decoder.limits) if codings(response) else response.aiter_bytes()
        self._body = BodySource(chunks, self._decoder, require_finish=self._require_finish)
        for watcher in self._watchers:
            self._body.watch(watcher)
        self.pull = self._body.pull  # type: ignore[method-assign] # one coroutine less for each chunk

    def join_texts(self) -> None:
        """Let the decoder join the texts of messages that are alike."""
        if self._body is not None:
            self._body.join_texts()

    async def pull(self) -> list[Event]:
        """Return the events of the next chunk that completes any."""
        raise NotImplementedError  # not open: `open` puts the pull of the body here

    async def aclose(self) -> None:
        """Close the response; the connection goes back to the pool only if the body was read to its end."""
        response, self._response = self._response, None
        try:
            if self._body is not None:
                await self._body.aclose()
        finally:
            if isinstance(self._source, Response):
                await self._source.aclose()
            elif response is not None:
                if isinstance(response, AiohttpResponse):  # the exit of its block keeps the connection for what is left
                    await response.aclose()
                await self._source.__aexit__(None, None, None)

    async def _check(self, response: Response) -> None:
        if not accepts(response, self._decoder):
            raise refusal(response, self._decoder, await self._error_body(response))
        refuse_unreadable(response, self._decoder.provider)

    async def _error_body(self, response: Response) -> bytes:
        """Read the beginning of the body: bounded in size and in time, and never worth a second error."""
        limits = self._decoder.limits
        body = bytearray()
        chunks = response.aiter_bytes()
        # Whatever goes wrong here, a reset or a broken content coding: the status says more.
        with move_on_after(limits.max_error_body_seconds), suppress(Exception):
            async for chunk in chunks:
                body += chunk[: limits.max_error_body_bytes - len(body)]
                if len(body) == limits.max_error_body_bytes:
                    break
        await close_iterator(chunks)
        return bytes(body)


def accepts(response: Any, decoder: Decoder) -> bool:
    """Whether the response succeeded, has a body, and is of a media type of this wire or of none."""
    essence = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    ok = 200 <= response.status_code < 300 and response.status_code not in NO_CONTENT
    return ok and (not essence or essence in decoder.media_types)


def refusal(response: Any, decoder: Decoder, body: bytes) -> StreamError:
    """Return the error that says what a response is, that was not accepted. `body`: the beginning of it."""
    try:
        payload = loads(body)
    except JSONDecodeError:
        payload = None
    provider = decoder.provider
    content_type = response.headers.get("content-type", "")
    ok = 200 <= response.status_code < 300
    if response.status_code in NO_CONTENT:
        return UnexpectedContentType(
            f"{provider} answered {response.status_code}, without a body: is this the right address?",
            content_type=content_type,
            provider=provider,
        )
    if ok and not (isinstance(payload, dict) and payload.get("error")):
        wanted = " or ".join(decoder.media_types)
        return UnexpectedContentType(
            f"{provider} sent content type {content_type!r}, not {wanted}: is this the right address and protocol?",
            content_type=content_type,
            body=body,
            provider=provider,
        )
    headers = response.headers
    return provider_error(
        payload,
        provider=provider,
        status=None if ok else response.status_code,
        request_id=next((headers[name] for name in REQUEST_ID_HEADERS if name in headers), ""),
        retry_after=retry_after(headers),
        body=body,
    )
