"""NDJSON (JSON Lines): bytes -> values, whatever the cuts.

Theory of operation. A line that is complete inside the chunk is read in place; the unfinished line is kept between two
calls in `_tail`, and only new bytes are searched for LF. Decoding is orjson's, on a view of the line.

A line ends at LF or CRLF. A lone CR is JSON white space and ends nothing. Lines of white space only are skipped.
Knows nothing of events, providers or I/O. Cost: O(bytes), with one copy of a line that spans chunks.
Source: https://github.com/ndjson/ndjson-spec (3.1 to 3.3); RFC 8259 section 2 for the white space.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint64_t
from libc.string cimport memchr

from millstream.core._buffer cimport Buffer, buffer_append, buffer_clear, buffer_free
from millstream.core._parser cimport Parser
from millstream.core.kernels cimport MS_SSE_BOM_DONE, ms_sse_bom, ms_sse_state

from orjson import JSONDecodeError, loads

from millstream.errors import InvalidJSON, LimitExceeded
from millstream.limits import DEFAULT_LIMITS

__all__ = ["NDJSONParser"]

cdef enum OnError:
    RAISE
    SKIP
    YIELD


@cython.final
cdef class NDJSONParser(Parser):
    """Parse newline-delimited JSON, fed in pieces of any size. Sans-IO.

    Args:
        decode: True gives the decoded values, False the lines as bytes, without their terminator and not checked.
        on_error: what a line that is not JSON, or that is too long, does. "raise" ends the stream with the error;
            "yield" puts the exception in the list, in the place of the value; "skip" counts it in `skipped`.
        max_line_bytes: cap on one line, LF not counted, 1 or more. The rest of a line that passes it is dropped unread.

    Attributes:
        error: the error that ended the stream, at once when it is found; else None.
        line: how many lines were completed, blank and bad ones too.
        skipped: how many bad lines `on_error="skip"` passed over.

    One leading byte order mark is dropped. The values do not depend on how the input was cut. After an error the
    parser refuses input until `reset`. Not for use from two threads at once: that raises ConcurrentUseError.
    """

    cdef ms_sse_state _start     # progress through the BOM
    cdef Buffer _tail            # the unfinished line
    cdef uint64_t _base          # stream offset of the first byte of the present chunk
    cdef uint64_t _tail_offset   # stream offset of the first byte of _tail
    cdef uint64_t _max_line_bytes
    cdef OnError _on_error
    cdef bint _decode
    cdef bint _discarding        # inside a line that was too long
    cdef readonly uint64_t line
    cdef readonly uint64_t skipped

    def __cinit__(self, *, decode=True, on_error="raise", max_line_bytes=DEFAULT_LIMITS.max_line_bytes):
        if on_error not in ("raise", "skip", "yield"):
            raise ValueError(f"on_error must be 'raise', 'skip' or 'yield', not {on_error!r}")
        if not 1 <= max_line_bytes <= 2**40:
            raise ValueError(f"max_line_bytes must be from 1 to 2**40, not {max_line_bytes!r}")
        self._decode = decode
        self._on_error = RAISE if on_error == "raise" else SKIP if on_error == "skip" else YIELD
        self._max_line_bytes = max_line_bytes
        self.restart()

    def __dealloc__(self):
        buffer_free(&self._tail)

    @property
    def offset(self):
        """Bytes fed since the start of the stream."""
        return self._base

    @cython.critical_section
    def feed(self, data):
        """Feed a chunk and return the values of the lines it completed.

        Args: data: contiguous bytes-like of any length, 0 included; not kept after the return.
        Returns: list in stream order: decoded values, or bytes with `decode=False`; with on_error="yield" also
            InvalidJSON and LimitExceeded instances. Empty means that more input is needed.
        Raises: InvalidJSON: a line is not JSON (`line` and `offset` say which). LimitExceeded: a line passes
            `max_line_bytes`. ParserClosed: used after close or after an error. ConcurrentUseError.
            Values completed before the error are returned first; the error is then in `error` at once, and is raised
            by the next call of `feed` or `close`.
        Cost: O(len(data)); one copy of the unfinished tail.
        """
        return self.take(data, False)

    @cython.critical_section
    def close(self):
        """Say that the input has ended.

        Returns: list with the value of the last line, if no newline ended it; else empty. Calling it again returns an
            empty list.
        Raises: InvalidJSON: that line is not JSON; `reason` is "incomplete", as it may have been cut off.
            LimitExceeded. The pending error of an earlier `feed`. ParserClosed: after an error that was raised already.
        """
        return self.finish()

    @cython.critical_section
    def reset(self):
        """Forget everything, the counts too, and be ready for a new stream."""
        self.renew()

    def __reduce__(self):
        raise TypeError("NDJSONParser cannot be pickled")

    cdef int restart(self) except -1:
        buffer_clear(&self._tail)
        self._start.bom = self._start.after_cr = 0
        self._base = self._tail_offset = 0
        self._discarding = False
        self.line = self.skipped = 0
        return 0

    cdef int end(self, list out) except -1:
        if 0 < self._start.bom < 3:
            self._keep_bom(self._start.bom, out)
        if self.error is None and (self._tail.n or self._discarding):
            self.line += 1
        if self._tail.n:
            self._line(self._tail.p, self._tail.n, self._tail_offset, True, out)
            buffer_clear(&self._tail)
        return 0

    cdef int parse(self, const char *p, size_t n, list out) except -1:
        cdef size_t off = 0
        while self.step(p, n, &off, out):
            pass
        return 0

    cdef bint step(self, const char *p, size_t n, size_t *off, list out) except -1:
        cdef size_t start, end
        cdef unsigned held
        cdef const char *lf
        if n == 0:
            return False
        if self._start.bom != MS_SSE_BOM_DONE:
            if not ms_sse_bom(&self._start, p, n, off, &held):
                self._base += n
                return False
            if held:
                self._keep_bom(held, out)
        start = off[0]
        if start < n and self.error is None:
            lf = <const char *>memchr(p + start, c"\n", n - start)
            end = <size_t>(lf - p) if lf != NULL else n
            if self._discarding:
                pass
            elif self._tail.n or lf == NULL:
                self._save(p + start, end - start, self._base + start, out)
            elif end - start > self._max_line_bytes:
                self._too_long(self._base + start, out)
            if lf != NULL and self.error is None:
                self.line += 1
                if self._discarding:
                    self._discarding = False
                elif self._tail.n:
                    self._line(self._tail.p, self._tail.n, self._tail_offset, False, out)
                    buffer_clear(&self._tail)
                else:
                    self._line(p + start, end - start, self._base + start, False, out)
                off[0] = end + 1
                return True
        self._base += n
        return False

    cdef void begin(self, char first) noexcept:
        if self._start.bom == 0 and <unsigned char>first != 0xEF:
            self._start.bom = MS_SSE_BOM_DONE

    cdef bint resting(self) noexcept:
        return (
            self._start.bom == MS_SSE_BOM_DONE and self._tail.n == 0 and not self._discarding and self.error is None
        )

    cdef void pass_over(self, size_t n) noexcept:
        self._base += n

    cdef void hand_back(self, size_t n) noexcept:
        self._base -= n

    cdef void count_frames(self, size_t n) noexcept:
        self.line += n

    cdef int _keep_bom(self, unsigned held, list out) except -1:
        """Bytes that began like a BOM but were none are the beginning of the first line."""
        self._start.bom = MS_SSE_BOM_DONE
        return self._save(b"\xef\xbb", held, 0, out)

    cdef int _save(self, const char *p, size_t n, uint64_t offset, list out) except -1:
        """Keep p[0..n) as (more of) the unfinished line, unless that is too long now."""
        if self._tail.n == 0:
            self._tail_offset = offset
        if self._tail.n + n > self._max_line_bytes:
            buffer_clear(&self._tail)
            return self._too_long(self._tail_offset, out)
        return buffer_append(&self._tail, p, n)

    cdef int _too_long(self, uint64_t line_offset, list out) except -1:
        offset = line_offset + self._max_line_bytes
        self._discarding = True
        return self._bad(LimitExceeded(
            f"line {self.line + 1} is longer than max_line_bytes={self._max_line_bytes} (at byte {offset} of the "
            "stream); raise the limit if such lines are expected",
            offset=offset, reason="line_too_long", option="max_line_bytes", limit=self._max_line_bytes,
        ), out)

    cdef int _line(self, const char *p, size_t n, uint64_t offset, bint unterminated, list out) except -1:
        """Give the value of the complete line number `self.line`."""
        cdef size_t i = 0
        if n and not unterminated and p[n - 1] == c"\r":
            n -= 1
        while i < n and (p[i] == c" " or p[i] == c"\t" or p[i] == c"\r"):
            i += 1
        if i == n:
            return 0
        if not self._decode:
            out.append(PyBytes_FromStringAndSize(p, n))
            return 0
        try:
            out.append(loads(PyMemoryView_FromMemory(<char *>p, n, PyBUF_READ)))
            return 0
        except JSONDecodeError as error:
            text = str(error)
        return self._bad(InvalidJSON(
            f"line {self.line} (at byte {offset} of the stream) is not JSON: {text}"
            + ("; no newline ended it, so it may have been cut off" if unterminated else ""),
            line=self.line, offset=offset, reason="incomplete" if unterminated else "json",
            snippet=PyBytes_FromStringAndSize(p, min(n, <size_t>40)),
        ), out)

    cdef int _bad(self, error, list out) except -1:
        if self._on_error == RAISE:
            self.error = error
        elif self._on_error == SKIP:
            self.skipped += 1
        else:
            out.append(error)
        return 0
