"""Server-sent events: bytes -> messages, whatever the cuts.

Theory of operation. `csrc/ms_sse.h` gives lines and fields; this file assembles fields into messages. A line that is
complete inside the chunk is read in place. Between two calls the parser keeps the unfinished line (`_tail`) and the
data of the unfinished block (`_data`), each copied once. The data of a block is a span of the chunk (or of the tail)
as long as it is a single line of this call; a second `data:` line, or the end of the call, copies it to `_data`.

Knows nothing of JSON events, providers or I/O. Source: WHATWG HTML 9.2.5 and 9.2.6, quoted at the line that obeys it.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_DecodeUTF8, PyUnicode_New
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from millstream.core._buffer cimport Buffer, buffer_append, buffer_clear, buffer_free
from millstream.core._parser cimport Parser
from millstream.core.kernels cimport (
    MS_SSE_BLANK, MS_SSE_BOM_DONE, MS_SSE_COMMENT, MS_SSE_DATA, MS_SSE_EVENT, MS_SSE_ID, MS_SSE_LINE, MS_SSE_RETRY,
    MS_UTF8_OK, ms_scan_eol, ms_scan_is_ascii, ms_span, ms_sse_bom, ms_sse_field, ms_sse_kind, ms_sse_line,
    ms_sse_retry, ms_sse_state, ms_utf8_check, ms_utf8_pending,
)

from orjson import JSONDecodeError, loads

from millstream.errors import InvalidJSON, InvalidUTF8, LimitExceeded
from millstream.limits import DEFAULT_LIMITS

__all__ = ["MAX_RETRY_MS", "SSEMessage", "SSEParser"]

# The standard sets no bound for `retry`. Larger values become this one: the longest delay a browser's timer takes.
MAX_RETRY_MS = 2**31 - 1

cdef uint64_t _MAX_RETRY_MS = MAX_RETRY_MS
cdef Py_ssize_t REPR_CHARS = 80


cdef inline str _decode(const char *p, size_t n):
    """Decode UTF-8 as the Encoding Standard does. Most data is ASCII: a copy saves a tenth of the cost of a message."""
    if not ms_scan_is_ascii(p, n):
        return PyUnicode_DecodeUTF8(p, n, "replace")
    text = PyUnicode_New(n, 127)
    memcpy(PyUnicode_DATA(text), p, n)
    return text


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class SSEMessage:
    """One dispatched event. Made by `SSEParser`, immutable, safe to keep.

    Attributes:
        event: the event type, "message" if the block named none.
        data: the data lines joined with LF, decoded from UTF-8 (ill-formed sequences became U+FFFD).
        id: the last event id at this point of the stream; it persists from block to block.
        retry: the reconnection time in milliseconds that this block set, else None.
        named: whether the block had a non-empty `event` field of its own.
        offset: where the block's first line (comments aside) begins, in bytes since the start of the stream.
        unterminated: the stream ended before the blank line that should have followed.
        unknown: lines with unknown field names, joined with LF ("" unless `keep_unknown=True`).
    """

    def __init__(self):
        raise TypeError("SSEMessage is made by SSEParser.feed")

    def json(self):
        """The data decoded as JSON, by orjson.

        Returns: dict, list, str, int, float, bool or None.
        Raises: InvalidJSON: not valid JSON; `offset` is where the message begins.
        Cost: one orjson.loads; not cached.
        """
        try:
            return loads(self.data)
        except JSONDecodeError as error:
            raise InvalidJSON(
                f"the data of the event at byte {self.offset} is not JSON: {error}",
                offset=self.offset, reason="json", snippet=self.data[:40].encode(),
            ) from None

    def __eq__(self, other):
        if not isinstance(other, SSEMessage):
            return NotImplemented
        return self._key() == (<SSEMessage>other)._key()

    def __hash__(self):
        return hash(self._key())

    cdef tuple _key(self):
        return (self.event, self.data, self.id, self.retry, self.unterminated, self.unknown)

    def __repr__(self):
        shown = self.data if len(self.data) <= REPR_CHARS else self.data[:REPR_CHARS - 1] + "…"
        parts = [f"event={self.event[:REPR_CHARS]!r}", f"data={shown!r}"]
        if self.id:
            parts.append(f"id={self.id[:REPR_CHARS]!r}")
        if self.retry is not None:
            parts.append(f"retry={self.retry}")
        if self.unterminated:
            parts.append("unterminated=True")
        return f"SSEMessage({', '.join(parts)})"

    def __reduce__(self):
        raise TypeError("SSEMessage cannot be pickled; keep the bytes and parse them again")


@cython.final
cdef class SSEParser(Parser):
    """Parse server-sent events, fed in pieces of any size. Sans-IO.

    Args:
        mode: "spec" follows the HTML standard to the letter: a block without data gives no message. "compat" gives one
            for each block that set `event`, `id` or `retry` itself, as httpx2 does and the AI SDKs expect.
        max_event_bytes: cap on what one unfinished event may hold: line, data, name and id together, 1 or more.
        at_eof: what `close` does with a block that no blank line ended: "discard" (the standard) or "deliver", flagged
            `unterminated`. Default: "discard" in spec mode, "deliver" in compat mode.
        utf8: "replace" ill-formed UTF-8 with U+FFFD (the standard), or "strict": raise InvalidUTF8. Comments are
            not looked at.
        keep_unknown: keep lines with unknown field names in `message.unknown`, and give a message for a block that has
            nothing else. Some AI servers report errors in such lines.

    The messages do not depend on how the input was cut. After an error the parser refuses input until `reset`.
    Not for use from two threads at once: that raises ConcurrentUseError.
    Source: WHATWG HTML 9.2.6. `retry` values above `MAX_RETRY_MS` become that value.
    """

    cdef ms_sse_state _lines
    cdef Buffer _tail           # the unfinished line
    cdef Buffer _data           # data of the unfinished block, if _owned
    cdef Buffer _unknown        # unknown lines of the unfinished block
    cdef Buffer _name           # raw bytes of _event_name: a stream repeats few event names
    cdef uint64_t _base         # stream offset of the first byte of the present chunk
    cdef uint64_t _tail_offset  # stream offset of the first byte of _tail
    cdef uint64_t _block_offset
    cdef uint64_t _max_event_bytes
    cdef ms_span _span          # data of the unfinished block, if not _owned
    cdef size_t _n_data         # data lines in the unfinished block
    cdef size_t _n_event, _n_id  # bytes that event and id of the unfinished block take
    cdef bint _compat, _deliver, _strict, _keep_unknown
    cdef bint _owned, _begun, _set, _skipping
    cdef str _event_name, _event, _id, _committed_id
    cdef object _retry
    cdef readonly object reconnection_time

    def __cinit__(
        self, mode="spec", *, max_event_bytes=DEFAULT_LIMITS.max_event_bytes, at_eof=None, utf8="replace",
        keep_unknown=False,
    ):
        if mode not in ("spec", "compat"):
            raise ValueError(f"mode must be 'spec' or 'compat', not {mode!r}")
        if at_eof not in (None, "discard", "deliver"):
            raise ValueError(f"at_eof must be 'discard' or 'deliver', not {at_eof!r}")
        if utf8 not in ("replace", "strict"):
            raise ValueError(f"utf8 must be 'replace' or 'strict', not {utf8!r}")
        if not 1 <= max_event_bytes <= 2**40:
            raise ValueError(f"max_event_bytes must be from 1 to 2**40, not {max_event_bytes!r}")
        self._compat = mode == "compat"
        self._deliver = self._compat if at_eof is None else at_eof == "deliver"
        self._strict = utf8 == "strict"
        self._keep_unknown = keep_unknown
        self._max_event_bytes = max_event_bytes
        self._event_name = ""
        self.restart()

    def __dealloc__(self):
        buffer_free(&self._tail)
        buffer_free(&self._data)
        buffer_free(&self._unknown)
        buffer_free(&self._name)

    @property
    def last_event_id(self):
        """The id to send as Last-Event-ID on reconnection: that of the last dispatched block, "" if none."""
        with cython.critical_section(self):
            return self._committed_id

    @property
    def offset(self):
        """Bytes fed since the start of the stream."""
        return self._base

    @cython.critical_section
    def feed(self, data):
        """Feed a chunk and return the messages it completed.

        Args: data: contiguous bytes-like of any length, 0 included; not kept after the return.
        Returns: list of SSEMessage in stream order; empty means that more input is needed.
        Raises: LimitExceeded: the unfinished event passes `max_event_bytes` (`offset` set). InvalidUTF8: only with
            utf8="strict". ParserClosed: used after close or after an error. ConcurrentUseError.
            Messages completed before the error are returned first; the error is then in `error` at once, and is raised
            by the next call of `feed` or `close`.
        Cost: O(len(data)); one copy of the unfinished tail, one decoding of each message's data.
        Source: WHATWG HTML 9.2.6.
        """
        return self.take(data, False)

    @cython.critical_section
    def close(self):
        """Say that the input has ended.

        Returns: list with the unfinished block as one message flagged `unterminated`, if `at_eof="deliver"` and it has
            anything to say; else empty. Calling it again returns an empty list.
        Raises: the pending error of an earlier `feed`. ParserClosed: after an error that was raised already.
        Source: WHATWG HTML 9.2.6 ("once the end of the file is reached, any pending data must be discarded").
        """
        return self.finish()

    @cython.critical_section
    def reset(self):
        """Forget everything, also the last event id, and be ready for a new stream."""
        self.renew()

    def __reduce__(self):
        raise TypeError("SSEParser cannot be pickled")

    cdef int restart(self) except -1:
        buffer_clear(&self._tail)
        buffer_clear(&self._data)
        buffer_clear(&self._unknown)
        self._lines.bom = self._lines.after_cr = 0
        self._base = self._tail_offset = self._block_offset = 0
        self._skipping = False
        self._id = self._committed_id = ""
        self.reconnection_time = None
        self._clear_block()
        return 0

    cdef int end(self, list out) except -1:
        cdef ms_span line
        if not self._deliver:
            return 0
        if 0 < self._lines.bom < MS_SSE_BOM_DONE:
            self._keep_bom(self._lines.bom)
        if self._tail.n:
            line.p = self._tail.p
            line.n = self._tail.n
            self._line(line, self._tail_offset, out)
        if self.error is None and self._dispatches():
            self._dispatch(out, True)
        return 0

    cdef int parse(self, const char *p, size_t n, list out) except -1:
        cdef size_t off = 0
        while self.step(p, n, &off, out):
            pass
        return 0

    cdef bint step(self, const char *p, size_t n, size_t *off, list out) except -1:
        cdef size_t end
        cdef unsigned held
        cdef ms_span line
        cdef uint64_t offset
        if n == 0:
            return False
        if self._lines.bom != MS_SSE_BOM_DONE:
            if not ms_sse_bom(&self._lines, p, n, off, &held):
                self._base += n
                return False
            if held:
                self._keep_bom(held)
        if (self._tail.n or self._skipping) and off[0] < n:
            # The first line of this chunk began in an earlier one.
            end = off[0] + ms_scan_eol(p + off[0], n - off[0])
            if not self._skipping:
                self._save(p + off[0], end - off[0], self._base + off[0])
            if end == n or self.error is not None:
                self._base += n
                return False
            off[0] = end
            ms_sse_line(&self._lines, p, n, off, &line)  # only to step over the terminator
            if self._skipping:
                self._skipping = False
            else:
                line.p = self._tail.p
                line.n = self._tail.n
                self._line(line, self._tail_offset, out)
        while self.error is None and ms_sse_line(&self._lines, p, n, off, &line) == MS_SSE_LINE:
            offset = self._base + <size_t>(line.p - p)
            self._line(line, offset, out)
            if line.n == 0 and off[0] < n:
                if self._tail.n:
                    buffer_clear(&self._tail)
                return True
        # The order matters: the data may still be a span of the tail, which _save reuses.
        self._own()
        if not self._skipping:
            buffer_clear(&self._tail)
        if off[0] < n and self.error is None:
            self._save(p + off[0], n - off[0], self._base + off[0])
        self._base += n
        return False

    cdef void begin(self, char first) noexcept:
        if self._lines.bom == 0 and <unsigned char>first != 0xEF:
            self._lines.bom = MS_SSE_BOM_DONE

    cdef bint resting(self) noexcept:
        return (
            self._lines.bom == MS_SSE_BOM_DONE and not self._lines.after_cr and self._tail.n == 0
            and not (self._skipping or self._begun) and self.error is None
        )

    cdef void pass_over(self, size_t n) noexcept:
        self._base += n

    cdef void hand_back(self, size_t n) noexcept:
        self._base -= n

    cdef int _keep_bom(self, unsigned held) except -1:
        """Bytes that began like a BOM but were none are the beginning of the first line."""
        self._lines.bom = MS_SSE_BOM_DONE
        return self._save(b"\xef\xbb", held, 0)

    cdef int _save(self, const char *p, size_t n, uint64_t offset) except -1:
        """Keep p[0..n) as (more of) the unfinished line, unless it is a comment."""
        if n == 0:
            return 0
        if self._tail.n == 0:
            if p[0] == c":":
                self._skipping = True  # a comment takes no memory, however long
                return 0
            self._tail_offset = offset
        if self._tail.n + n > self._room():
            return self._too_large(self._tail_offset)
        return buffer_append(&self._tail, p, n)

    cdef inline uint64_t _room(self) noexcept:
        """How many bytes the next line may have."""
        cdef size_t data = self._data.n if self._owned else self._span.n + 1 if self._n_data else 0
        cdef uint64_t held = data + self._n_event + self._n_id + self._unknown.n
        return self._max_event_bytes - held if held < self._max_event_bytes else 0

    cdef int _too_large(self, uint64_t line_offset) except -1:
        offset = line_offset + self._room()
        self.error = LimitExceeded(
            f"an event is larger than max_event_bytes={self._max_event_bytes} (at byte {offset} of the stream); "
            "raise the limit if such events are expected",
            offset=offset, reason="event_too_large", option="max_event_bytes", limit=self._max_event_bytes,
        )
        return 0

    cdef int _line(self, ms_span line, uint64_t offset, list out) except -1:
        """Process the line according to 9.2.6."""
        cdef ms_span value
        cdef ms_sse_kind kind = ms_sse_field(line, &value)
        cdef uint64_t retry
        if kind == MS_SSE_BLANK:
            if self._dispatches():
                self._dispatch(out, False)
            else:
                # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
                # string and return." The id was committed in the step before that one.
                self._committed_id = self._id
                self._clear_block()
            return 0
        if kind == MS_SSE_COMMENT:
            return 0
        if line.n > self._room():
            return self._too_large(offset)
        if self._strict and self._invalid_utf8(line, offset):
            return 0
        if not self._begun:
            self._begun = True
            self._block_offset = offset
        if kind == MS_SSE_DATA:
            # "Append the field value to the data buffer, then append a single U+000A LINE FEED character."
            if self._n_data == 0:
                self._span = value
            else:
                self._own()
                buffer_append(&self._data, value.p, value.n)
                buffer_append(&self._data, b"\n", 1)
            self._n_data += 1
        elif kind == MS_SSE_EVENT:
            # "Set the event type buffer to the field value."
            self._set_event(value)
            self._n_event = value.n
            self._set = True
        elif kind == MS_SSE_ID:
            # "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field value."
            if value.n == 0 or memchr(value.p, 0, value.n) == NULL:
                self._id = PyUnicode_DecodeUTF8(value.p, value.n, "replace")
                self._n_id = value.n
                self._set = True
        elif kind == MS_SSE_RETRY:
            if ms_sse_retry(value, _MAX_RETRY_MS, &retry):
                self.reconnection_time = self._retry = retry
                self._set = True
        elif self._keep_unknown:
            if self._unknown.n:
                buffer_append(&self._unknown, b"\n", 1)
            buffer_append(&self._unknown, line.p, line.n)
        return 0

    cdef int _set_event(self, ms_span value) except -1:
        # One remembered name: a run of equal events decodes its name once.
        if value.n != self._name.n or value.n == 0 or memcmp(value.p, self._name.p, value.n) != 0:
            buffer_clear(&self._name)
            buffer_append(&self._name, value.p, value.n)
            self._event_name = PyUnicode_DecodeUTF8(value.p, value.n, "replace")
        self._event = self._event_name
        return 0

    cdef int _own(self) except -1:
        """Copy the data that is still a span of the chunk or of the tail."""
        if self._n_data and not self._owned:
            buffer_append(&self._data, self._span.p, self._span.n)
            buffer_append(&self._data, b"\n", 1)
            self._owned = True
        return 0

    cdef inline bint _dispatches(self) noexcept:
        return self._n_data != 0 or self._unknown.n != 0 or self._compat and self._set

    cdef int _dispatch(self, list out, bint unterminated) except -1:
        cdef SSEMessage message = SSEMessage.__new__(SSEMessage)
        # "Set the last event ID string of the event source to the value of the last event ID buffer."
        self._committed_id = self._id
        if self._n_data == 0:
            message.data = ""
        else:
            # "If the data buffer's last character is a U+000A LINE FEED, remove it."
            if self._owned:
                message.data = _decode(self._data.p, self._data.n - 1)
            else:
                message.data = _decode(self._span.p, self._span.n)
        message.named = self._n_event != 0
        message.event = self._event if message.named else "message"
        message.id = self._id
        message.retry = self._retry
        message.offset = self._block_offset
        message.unterminated = unterminated
        if self._unknown.n:
            message.unknown = PyUnicode_DecodeUTF8(self._unknown.p, self._unknown.n, "replace")
        else:
            message.unknown = ""
        out.append(message)
        self._clear_block()
        return 0

    cdef inline void _clear_block(self) noexcept:
        if self._owned:
            buffer_clear(&self._data)
        if self._unknown.n:
            buffer_clear(&self._unknown)
        self._n_data = self._n_event = self._n_id = 0
        self._owned = self._begun = self._set = False
        self._event = None
        self._retry = None

    cdef bint _invalid_utf8(self, ms_span line, uint64_t offset) except -1:
        cdef uint32_t state = 0
        cdef size_t off = 0
        cdef size_t start
        if ms_utf8_check(&state, line.p, line.n, &off) == MS_UTF8_OK and state == 0:
            return False
        start = off - ms_utf8_pending(state)
        self.error = InvalidUTF8(
            f"ill-formed UTF-8 at byte {offset + start} of the stream; utf8='replace' would put U+FFFD there",
            offset=offset + start, reason="utf8",
            snippet=PyBytes_FromStringAndSize(line.p + start, min(line.n - start, <size_t>40)),
        )
        return True
