"""One response of HTTP/1.1, from bytes to status, headers and body. No I/O.

The grammar is llhttp's, strict, through httptools; what that leaves open is decided here: where the body ends, what may
follow it, and how much may come that is no body. Whatever is doubtful is refused, and whatever follows the end of the
response spoils the connection: two ends that disagree about where a response ends are how one answer reaches another
asker. Not known here: sockets, pools, requests other than by their method. Source: RFC 9112 sections 4 to 7 and 11.
"""

from __future__ import annotations

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from millstream.http._limits import MAX_OVERHEAD_BYTES

__all__ = ["Exchange"]


class Exchange:
    """What has arrived of one response.

    Attributes:
        parts: of the body, not taken yet.
        is_answered: status and headers are here.
        is_complete: so is the whole body.
        is_untouched: nothing has arrived at all.
        error: why nothing more will come; after what is in `parts`.
        status, reason, headers, http_version: once answered.
    """

    __slots__ = (
        "_is_delimited",
        "_is_dirty",
        "_is_head",
        "_keeps_alive",
        "_n_before",
        "_n_overhead",
        "_parser",
        "_surplus",
        "error",
        "headers",
        "http_version",
        "is_answered",
        "is_complete",
        "is_untouched",
        "on_body",
        "parts",
        "reason",
        "status",
    )

    def __init__(self, method: bytes) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append  # called by the parser, for each HTTP chunk: no Python in between
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.reason = b""
        self.http_version = b""
        self.is_answered = self.is_complete = False
        self.is_untouched = True
        self.error: Exception | None = None
        self._is_head = method == b"HEAD"
        self._keeps_alive = self._is_dirty = self._is_delimited = False
        self._n_overhead = self._n_before = 0
        self._surplus: list[bytes] = []
        self._parser = HttpResponseParser(self)

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.is_complete and self._keeps_alive and not self._is_dirty and len(self._surplus) == self._n_before

    def feed(self, data: bytes | memoryview) -> None:
        """Take what has arrived. It is not retained. Never raises: see `error`."""
        self.is_untouched = False
        if self.is_complete:
            self._is_dirty = True
            return
        n_parts = len(self.parts)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self.is_complete:
                self._is_dirty = True
            else:
                self._refuse(f"a malformed response: {error}")
            return
        if len(self.parts) > n_parts:
            self._n_overhead = 0
            return
        self._n_overhead += len(data)
        if self._n_overhead > MAX_OVERHEAD_BYTES and not self.is_complete:
            self._refuse(f"more than {MAX_OVERHEAD_BYTES} bytes of headers, or of anything else that is no body")

    def feed_eof(self) -> None:
        """Note that the server has closed its side."""
        self._keeps_alive = False
        if self.is_complete or self.error is not None:
            return
        if self.is_answered and not self._is_delimited:
            self.is_complete = True
        elif self.is_answered:
            self.error = httpx2.RemoteProtocolError("the server closed the connection before the end of the body")
        else:
            self.error = httpx2.RemoteProtocolError("the server disconnected without sending a response")

    def fail(self, error: Exception) -> None:
        """Note that nothing more will come, unless that is known already."""
        self._keeps_alive = False
        if not self.is_complete and self.error is None:
            self.error = error

    def fail_to_send(self) -> None:
        """Note that the request was not sent to its end: no other may follow it."""
        self._is_dirty = True

    def take(self) -> bytes:
        """Return what has arrived of the body, and forget it. There must be something."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    # --- called by the parser ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self._is_dirty = True

    def on_status(self, reason: bytes) -> None:
        if not self.is_answered:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_answered:  # else it is a trailer, or follows the end
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self.is_answered:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self.headers, self.reason = [], b""
            return
        version = self._parser.get_http_version()
        if status == 101:
            self._refuse("an upgrade that nobody asked for")
        elif version not in ("1.1", "1.0"):
            self._refuse(f"HTTP version {version}")
        elif self._find_framing():
            self.status = status
            self.http_version = b"HTTP/" + version.encode()
            self._keeps_alive = self._parser.should_keep_alive()
            self.is_answered = True
            if self._is_head:
                self._complete()

    def on_message_complete(self) -> None:
        if self.is_answered and not self.is_complete:
            self._complete()

    def _complete(self) -> None:
        self.is_complete = True
        self._surplus, self.parts = self.parts, self.parts.copy()  # the parser goes on to fill the old list
        self._n_before = len(self.parts)

    def _refuse(self, reason: object) -> None:
        if self.error is None:
            self.error = httpx2.RemoteProtocolError(f"the server sent {reason}")

    def _find_framing(self) -> bool:
        for name, value in self.headers:
            name = name.lower()
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                self._refuse("a transfer coding other than chunked")
                return False
            if name in (b"transfer-encoding", b"content-length"):
                self._is_delimited = True
        return True
