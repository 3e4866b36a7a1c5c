"""Incremental JSON: pieces of a document -> a live value and the deltas that lead to it, whatever the cuts.

Theory of operation. `csrc/ms_json.h` gives tokens; this file builds objects from them, on lists in place of recursion.
A token that is whole inside the chunk becomes an object at once. `_text` keeps the token that is cut; for an open
string value it keeps the whole of it, and what is new is put into its container only when `value` is read: then the
container owns the only reference and CPython can grow the str in place. If the slot no longer holds what was put there
(the user changed the live value, or keeps the string), a fresh str is built instead.

Knows nothing of schemas, fences or I/O. Cost: O(bytes) in all, for any feeds. Source: RFC 8259.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_SetItem
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isinf
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from millstream.core._buffer cimport Buffer, buffer_append, buffer_clear, buffer_free
from millstream.core.kernels cimport (
    MS_JSON_ARRAY, MS_JSON_E_DEPTH, MS_JSON_E_DIGITS, MS_JSON_E_INCOMPLETE, MS_JSON_END, MS_JSON_GROW, MS_JSON_KEY,
    MS_JSON_LITERAL, MS_JSON_MORE, MS_JSON_NUMBER, MS_JSON_NUMBER_PART,
    MS_JSON_OBJECT, MS_JSON_S_NUMBER, MS_JSON_S_ROOT, MS_JSON_S_TRAILING, MS_JSON_STRING, MS_JSON_STRING_END,
    MS_JSON_TEXT, ms_json, ms_json_event, ms_json_finish, ms_json_in_string, ms_json_number_is_whole, ms_json_step,
    ms_json_token, ms_num_double, ms_num_int64,
)

from millstream.errors import ConcurrentUseError, IncompleteJSON, InvalidJSON, LimitExceeded, ParserClosed

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, unsigned maxchar)
    void *PyUnicode_DATA(object text)
    bint PyUnicode_CheckExact(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    void PyUnicode_Append(PyObject **left, object right)
    object PyLong_FromString(const char *text, char **end, int base)
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0
    PyObject *PyDict_GetItemWithError(object d, object key) except? NULL
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t i)
    void PyList_SET_ITEM(object list, Py_ssize_t i, PyObject *item)
    int PyList_Append(object list, object item) except -1
    void Py_XDECREF(PyObject *o)

__all__ = ["MISSING", "Delta", "JSONParser"]

# Nesting beyond this helps nobody: printing or comparing such a value overflows Python's own stack.
MAX_DEPTH = 10_000
MAX_DIGITS = 2**31 - 1

# ms_json_reason -> (reason, what the message says)
REASONS = (
    ("value", "expected a value"),
    ("key", "expected a key in double quotes"),
    ("colon", "expected ':'"),
    ("comma", "expected ',' or the end of the container"),
    ("trailing", "unexpected data after the document"),
    ("control", "control character in a string"),
    ("escape", "invalid escape in a string"),
    ("surrogate", "lone surrogate in a string"),
    ("utf8", "invalid UTF-8"),
    ("number", "malformed number"),
    ("literal", "malformed literal"),
)

cdef enum:
    KEYS = 256
    KEY_BYTES = 64

cdef enum Op:
    SET
    SET_OBJECT
    SET_ARRAY
    APPEND
    END

cdef str _SET = "set", _APPEND = "append", _END = "end"
cdef double _NAN = float("nan"), _INF = float("inf")


@cython.final
cdef class _Missing:
    """The type of `MISSING`: no value has begun yet. False as a condition."""

    def __bool__(self):
        return False

    def __repr__(self):
        return "MISSING"

    def __reduce__(self):
        return "MISSING"


MISSING = _Missing()
cdef object _MISSING = MISSING


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Delta:
    """One step of a document's growth. Made by `JSONParser`, immutable, unpacks as `(path, op, value)`.

    Attributes:
        path: keys and indices from the root, () for the root itself.
        op: "set" puts `value` at `path`; "append" adds text to the string there; "end" says that what stands there is
            complete: a container, or a string that had been given in part by an earlier feed.
        value: what to set (a fresh [] or {} for a container); the text to append; for "end", the byte span
            (start, end) of the container or string in the input.
        complete: whether the value at `path` is complete after this delta.
    """

    cdef tuple _parent
    cdef object _key
    cdef object _value
    cdef uint64_t _start, _end
    cdef Op _op
    cdef readonly bint complete

    def __init__(self):
        raise TypeError("Delta is made by JSONParser.feed")

    @property
    def path(self):
        return () if self._parent is None else (*self._parent, self._key)

    @property
    def op(self):
        return _END if self._op == END else _APPEND if self._op == APPEND else _SET

    @property
    def value(self):
        if self._op == SET_OBJECT:
            return {}
        if self._op == SET_ARRAY:
            return []
        if self._op == END:
            return (self._start, self._end)
        return self._value

    def __iter__(self):
        return iter((self.path, self.op, self.value))

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return (self.path, self.op, self.value)[index]

    def __eq__(self, other):
        if isinstance(other, Delta):
            return tuple(self) == tuple(other)
        if isinstance(other, tuple):
            return tuple(self) == other
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"Delta({self.path!r}, {self.op!r}, {self.value!r})"

    def __reduce__(self):
        raise TypeError("Delta cannot be pickled; keep tuple(delta)")


@cython.final
cdef class JSONParser:
    """Parse a JSON text, fed in pieces of any size. Sans-IO.

    Args:
        max_depth: how many containers may be open at once, 1 to 10,000.
        max_digits: how many digits one number may have, 1 or more.
        numbers: "atomic": a number appears once it is complete. "eager": `value` and `snapshot` also show what a
            number is so far, as jiter does; it may change or vanish with the next feed. Deltas are always atomic.
        duplicate_keys: "last" one wins, in the place of the first; or "error".
        allow_nan: accept NaN, Infinity and -Infinity, and numbers too large for a float, which become infinite.
        multiple: accept several documents after one another; `value` is the present or last one.
        deltas: return deltas from `feed`. False saves their cost; the lists are then empty.

    Unfinished keys, literals and escapes are not shown; unfinished strings are shown up to their last whole character.
    The value and the deltas (appends to one string joined) do not depend on how the input was cut, nor do the class
    and the offset of an error. After an error `value` stays readable, and the parser refuses input until `reset`.
    Not for use from two threads at once: that raises ConcurrentUseError. Source: RFC 8259, strictly.
    """

    cdef ms_json _m
    cdef Buffer _levels  # memory of _m.stack
    cdef Buffer _starts  # uint64_t: where each open container began
    cdef Buffer _text    # the unfinished token; of an open string value, all of it
    cdef PyObject *_cache[KEYS]  # keys seen before, by a hash of their bytes; owned references to str
    cdef uint64_t _seed
    cdef list _containers  # open containers, the innermost last
    cdef list _keys        # key or index of each in its parent (None for the root)
    cdef list _paths       # path of each, or None if nobody asked yet
    cdef list _lengths     # of the arrays among the parents: how many items they were given
    cdef object _root
    cdef object _container  # the innermost one
    cdef object _key        # where the next value goes, in an object
    cdef Py_ssize_t _index  # and in an array
    cdef size_t _reported   # bytes of _text that deltas have told
    cdef size_t _folded     # bytes of _text that the value shows
    cdef size_t _piece_from, _piece_to
    cdef object _piece      # the last text made for a delta: _text[_piece_from:_piece_to]
    cdef PyObject *_shown   # the str in the slot of the open string; borrowed, only compared
    cdef Py_ssize_t _shown_length, _shown_at
    cdef bint _open         # a string value has begun, but is not complete
    cdef bint _told         # a delta has set it
    cdef object _provisional, _replaced  # eager number shown in the value, and what it hides
    cdef bint _eager, _unique, _deltas, _busy, _closed
    cdef readonly object error

    def __cinit__(
        self, *, max_depth=128, max_digits=4300, numbers="atomic", duplicate_keys="last", allow_nan=False,
        multiple=False, deltas=True,
    ):
        if not 1 <= max_depth <= MAX_DEPTH:
            raise ValueError(f"max_depth must be from 1 to {MAX_DEPTH}, not {max_depth!r}")
        if not 1 <= max_digits <= MAX_DIGITS:
            raise ValueError(f"max_digits must be from 1 to {MAX_DIGITS}, not {max_digits!r}")
        if numbers not in ("atomic", "eager"):
            raise ValueError(f"numbers must be 'atomic' or 'eager', not {numbers!r}")
        if duplicate_keys not in ("last", "error"):
            raise ValueError(f"duplicate_keys must be 'last' or 'error', not {duplicate_keys!r}")
        self._m.max_depth = max_depth
        self._m.max_digits = max_digits
        self._m.allow_nan = allow_nan
        self._m.multiple = multiple
        self._eager = numbers == "eager"
        self._unique = duplicate_keys == "error"
        self._deltas = deltas
        self._seed = <uint64_t>hash("millstream") | 1  # random per process, so that collisions cannot be prepared
        self._restart()

    def __dealloc__(self):
        cdef int i
        for i in range(KEYS):
            Py_XDECREF(self._cache[i])
        buffer_free(&self._levels)
        buffer_free(&self._starts)
        buffer_free(&self._text)

    @property
    def offset(self):
        """Bytes read since the start of the input; after an error, where it is."""
        return self._m.base

    @property
    def complete(self):
        """Whether a document is complete, and none is open. A number at the root is so after white space or `close`."""
        return self._m.state == MS_JSON_S_TRAILING

    @property
    def value(self):
        """The live value: the same growing object each time, `MISSING` before it begins.

        It is yours to read; changes to it cannot harm the parser, but are not undone. Keeping a string that is still
        open costs a copy of it at each later read. For a value to keep, see `snapshot`.
        Cost: O(1), and the text of the open string that is new since the last read.
        """
        self._show()
        return self._root

    @cython.critical_section
    def snapshot(self):
        """A copy of the value that later feeds leave as it is.

        Returns: the value. Containers that are complete are shared with the live value, not copied.
        Cost: O(width) of each container that is still open.
        """
        return self._copy()

    @cython.critical_section
    def feed(self, data):
        """Feed a piece of the document and return the deltas it caused.

        Args: data: str, or contiguous bytes-like with UTF-8, of any length, 0 included; not kept after the return.
        Returns: list of Delta in document order, at most one "append" for each string; replayed they give `value`.
        Raises: InvalidJSON: malformed at `offset` (`line`, `column`, `reason`). LimitExceeded: deeper than `max_depth`
            or a number longer than `max_digits` (`option`). ParserClosed: used after close or after an error.
            ConcurrentUseError.
            Deltas before the error are returned first; the error is then in `error` at once, and is raised by the next
            call of `feed` or `close`.
        Cost: O(len(data)).
        """
        cdef Py_buffer view
        cdef Py_ssize_t n
        cdef const char *p
        cdef list out = []
        if PyBytes_CheckExact(data):
            self._feed(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
        elif isinstance(data, str):
            try:
                p = PyUnicode_AsUTF8AndSize(data, &n)
            except UnicodeEncodeError:
                # A lone surrogate: as bytes it is the error that bytes would be, with the same offset.
                data = _as_bytes(data)
                p = PyBytes_AS_STRING(data)
                n = PyBytes_GET_SIZE(data)
            self._feed(p, n, out)
        else:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            try:
                self._feed(<const char *>view.buf, view.len, out)
            finally:
                PyBuffer_Release(&view)
        if self.error is not None and not out:
            self._closed = True
            raise self.error
        return out

    @cython.critical_section
    def close(self):
        """Say that the input has ended.

        Returns: list with the delta of a number at the root, which only the end completes; else empty. Calling it
            again returns an empty list.
        Raises: IncompleteJSON: the document is not complete. The pending error of an earlier `feed`. ParserClosed:
            after an error that was raised already.
        """
        cdef list out = []
        cdef ms_json_token token
        if self._closed and self.error is None:
            return out
        self._enter()
        try:
            self._hide()
            if ms_json_finish(&self._m, &token) == MS_JSON_NUMBER:
                self._number(&token, out)
            if self.error is None and ms_json_finish(&self._m, &token) == MS_JSON_E_INCOMPLETE:
                empty = self._m.state == MS_JSON_S_ROOT
                self.error = IncompleteJSON(
                    f"the input ended at byte {self._m.base} "
                    + ("before any value" if empty else "inside the document"),
                    offset=self._m.base, reason="empty" if empty else "incomplete",
                )
        finally:
            self._busy = False
        self._closed = True
        if self.error is not None:
            raise self.error
        return out

    @cython.critical_section
    def reset(self):
        """Forget everything and be ready for a new document. A value that was read stays as it is."""
        if self._busy:
            raise ConcurrentUseError("JSONParser.reset was called while a call on this parser was running")
        self._restart()

    def __reduce__(self):
        raise TypeError("JSONParser cannot be pickled")

    cdef int _restart(self) except -1:
        buffer_clear(&self._text)
        buffer_clear(&self._starts)
        self._m.depth = 0
        self._m.in_object = self._m.in_key = False
        self._m.state = MS_JSON_S_ROOT
        self._m.base = self._m.start = self._m.line = self._m.line_start = self._m.n_tail = 0
        self._containers = []
        self._keys = []
        self._paths = []
        self._lengths = []
        self._root = _MISSING
        self._container = self._key = self._piece = self._provisional = self._replaced = None
        self._shown = NULL
        self._index = 0
        self._reported = self._folded = 0
        self._open = self._told = self._closed = False
        self.error = None
        return 0

    cdef inline int _enter(self) except -1:
        if self._busy:
            raise ConcurrentUseError("one JSONParser was used from two places at once; give each stream its own parser")
        if self._closed:
            raise ParserClosed("this JSONParser has ended; call reset() to start a new document") from self.error
        if self.error is not None:
            self._closed = True
            raise self.error
        self._busy = True
        return 0

    cdef int _feed(self, const char *p, size_t n, list out) except -1:
        self._enter()
        try:
            self._parse(p, n, out)
        except BaseException as error:
            # Only MemoryError, or what code of the user's raised (a key of theirs in the live value). The state is in
            # between two tokens: no going on from here.
            self.error = error
            self._closed = True
            raise
        finally:
            self._busy = False
        return 0

    cdef int _parse(self, const char *p, size_t n, list out) except -1:
        cdef ms_json *m = &self._m
        cdef ms_json_token token
        cdef ms_json_event event
        cdef size_t off = 0
        if self._provisional is not None:
            self._hide()
        while self.error is None:
            event = ms_json_step(m, p, n, &off, &token)
            if event == MS_JSON_KEY:
                self._key = self._make_key(token.p, token.n, token.ascii)
                if self._unique:
                    self._check_key(p, n, off)
            elif event == MS_JSON_STRING:
                self._atom(_text(token.p, token.n, token.ascii), out)
            elif event == MS_JSON_NUMBER:
                self._number(&token, out)
            elif event == MS_JSON_TEXT:
                if not m.in_key and not self._open:
                    self._begin_string()
                buffer_append(&self._text, token.p, token.n)
            elif event == MS_JSON_MORE:
                break
            elif event == MS_JSON_STRING_END:
                if m.in_key:
                    self._key = self._make_key(self._text.p, self._text.n, False)
                    buffer_clear(&self._text)
                    if self._unique:
                        self._check_key(p, n, off)
                else:
                    self._end_string(m.base + off, out)
            elif event == MS_JSON_OBJECT or event == MS_JSON_ARRAY:
                self._begin_container(event == MS_JSON_OBJECT, out)
            elif event == MS_JSON_END:
                self._end_container(m.base + off, out)
            elif event == MS_JSON_LITERAL:
                buffer_clear(&self._text)
                self._atom(_literal(token.n), out)
            elif event == MS_JSON_NUMBER_PART:
                buffer_append(&self._text, token.p, token.n)
            elif event == MS_JSON_GROW:
                buffer_append(&self._levels, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16)
                m.stack = <uint8_t *>self._levels.p
                m.capacity = self._levels.n
            else:
                self._fail(event, p, n, off)
        if ms_json_in_string(m):
            # All the text before an error counts, as it would if it had come in a feed of its own.
            if not self._open:
                self._begin_string()
            if self._deltas:
                self._report(False, out)
        m.base += off
        return 0

    # --- values ---

    cdef inline int _put(self, object value) except -1:
        if self._container is None:
            self._root = value
        elif self._m.in_object:
            PyDict_SetItem(self._container, self._key, value)
        else:
            PyList_Append(self._container, value)
        return 0

    cdef inline int _atom(self, object value, list out) except -1:
        self._put(value)
        if self._deltas:
            self._delta(SET, value, True, out)
        self._index += 1
        return 0

    cdef int _number(self, ms_json_token *token, list out) except -1:
        cdef const char *p = token.p
        cdef size_t n = token.n
        cdef object value
        if self._text.n:
            buffer_append(&self._text, p, n)
            p = self._text.p
            n = self._text.n
        value = self._convert(p, n)
        buffer_clear(&self._text)
        if value is not None:
            self._atom(value, out)
        return 0

    cdef object _convert(self, const char *p, size_t n):
        """The value of a number; None if it is out of range, with the error set unless it was set before."""
        cdef int64_t i
        cdef double d
        cdef bytes copy
        if not self._m.is_float:
            if ms_num_int64(p, n, &i):
                return i
            try:
                return PyLong_FromString(p[:n], NULL, 10)
            except ValueError as error:
                import sys
                self.error = LimitExceeded(
                    f"the number at byte {self._m.start} is longer than this interpreter converts: {error}",
                    offset=self._m.start, reason="too_many_digits", option="max_digits",
                    limit=sys.get_int_max_str_digits(),
                )
                return None
        if not ms_num_double(p, n, &d):
            copy = p[:n]
            d = PyOS_string_to_double(copy, NULL, NULL)
            if isinf(d) and not self._m.allow_nan:
                self.error = InvalidJSON(
                    f"the number at byte {self._m.start} is too large for a float",
                    offset=self._m.start, reason="number_range", line=self._m.line + 1,
                    column=self._column(self._m.start), snippet=copy[:40],
                )
                return None
        return d

    cdef int _begin_container(self, bint is_object, list out) except -1:
        cdef object container = {} if is_object else []
        cdef uint64_t start = self._m.start
        # The machine is one level deeper already.
        if self._container is None:
            self._root = container
            self._keys.append(None)
        elif isinstance(self._container, dict):
            PyDict_SetItem(self._container, self._key, container)
            self._keys.append(self._key)
        else:
            PyList_Append(self._container, container)
            self._keys.append(self._index)
        self._lengths.append(self._index)
        self._containers.append(container)
        self._paths.append(() if self._container is None else None)
        buffer_append(&self._starts, <const char *>&start, sizeof(start))
        self._container = container
        self._index = 0
        if self._deltas:
            self._delta_at(len(self._paths) - 1, SET_OBJECT if is_object else SET_ARRAY, out)
        return 0

    cdef int _end_container(self, uint64_t end, list out) except -1:
        cdef Py_ssize_t last = PyList_GET_SIZE(self._containers) - 1
        cdef Delta delta
        if self._deltas:
            delta = self._delta_at(last, END, out)
            memcpy(&delta._start, self._starts.p + self._starts.n - sizeof(uint64_t), sizeof(uint64_t))
            delta._end = end
            delta.complete = True
        self._starts.n -= sizeof(uint64_t)
        self._containers.pop()
        self._keys.pop()
        self._paths.pop()
        self._index = <Py_ssize_t>self._lengths.pop() + 1
        self._container = self._containers[last - 1] if last else None
        return 0

    # --- keys ---

    cdef object _make_key(self, const char *p, size_t n, bint ascii):
        cdef uint64_t h = 0, tail = 0
        cdef PyObject *seen
        cdef object key
        if not ascii or n > KEY_BYTES:
            return PyUnicode_DecodeUTF8(p, n, NULL)
        if n >= 8:
            memcpy(&h, p, 8)
            memcpy(&tail, p + n - 8, 8)
        else:
            memcpy(&h, p, n)
        h = (h ^ self._seed ^ (tail * 31) ^ n) * <uint64_t>0x9E3779B97F4A7C15
        h >>= 56
        seen = self._cache[h]
        if (
            seen != NULL and <size_t>PyUnicode_GET_LENGTH(<object>seen) == n
            and memcmp(PyUnicode_DATA(<object>seen), p, n) == 0
        ):
            return <object>seen
        key = _text(p, n, True)
        Py_INCREF(key)
        self._cache[h] = <PyObject *>key
        Py_XDECREF(seen)
        return key

    cdef int _check_key(self, const char *p, size_t n, size_t off) except -1:
        """Duplicate keys are an error of the last byte of the second one."""
        if PyDict_Contains(self._container, self._key):
            self._invalid("duplicate_key", "duplicate key", p, n, off - 1)
        return 0

    # --- the open string ---

    cdef int _begin_string(self) except -1:
        self._open = True
        self._told = False
        self._reported = self._folded = 0
        self._piece = None
        self._shown = NULL
        return 0

    cdef int _end_string(self, uint64_t end, list out) except -1:
        cdef bint told = self._told
        cdef Delta delta
        if not self._open:
            self._begin_string()
        if self._deltas:
            self._report(not told, out)
        self._fold()
        if self._deltas and told:
            delta = self._delta(END, None, True, out)
            delta._start = self._m.start
            delta._end = end
        self._open = False
        self._piece = None
        self._shown = NULL
        self._index += 1
        buffer_clear(&self._text)
        return 0

    cdef int _report(self, bint complete, list out) except -1:
        """Tell what is new of the open string."""
        if self._told and self._reported == self._text.n:
            return 0
        self._piece_from = self._reported
        self._piece_to = self._reported = self._text.n
        self._piece = PyUnicode_DecodeUTF8(self._text.p + self._piece_from, self._piece_to - self._piece_from, NULL)
        self._delta(APPEND if self._told else SET, self._piece, complete, out)
        self._told = True
        return 0

    cdef int _fold(self) except -1:
        """Put what is new of the open string into its container."""
        cdef object tail
        if self._shown != NULL and self._folded == self._text.n:
            return 0
        if self._piece is not None and self._piece_from == self._folded and self._piece_to == self._text.n:
            tail = self._piece
            self._piece = None
        else:
            tail = PyUnicode_DecodeUTF8(self._text.p + self._folded, self._text.n - self._folded, NULL)
        if self._shown == NULL:
            self._put(tail)
            self._shown = <PyObject *>tail
            if self._container is not None and not self._m.in_object:
                self._shown_at = PyList_GET_SIZE(self._container) - 1
        else:
            self._grow(tail)
        self._shown_length = PyUnicode_GET_LENGTH(<object>self._shown)
        self._folded = self._text.n
        return 0

    cdef int _grow(self, object tail) except -1:
        """Append to the str in the slot, in place if nobody else holds it. No code of the user's runs on the way,
        unless they put keys of their own into the live value."""
        cdef PyObject *s
        cdef PyObject *none = <PyObject *>None
        if self._container is None:
            s = <PyObject *>self._root
            if self._is_shown(s):
                Py_INCREF(<object>s)
                self._root = None
                PyUnicode_Append(&s, tail)
                return self._take(s)
        elif self._m.in_object:
            s = PyDict_GetItemWithError(self._container, self._key)
            if self._is_shown(s):
                Py_INCREF(<object>s)
                try:
                    PyDict_SetItem(self._container, self._key, None)
                except BaseException:
                    Py_XDECREF(s)
                    raise
                PyUnicode_Append(&s, tail)
                return self._take(s)
        elif self._shown_at < PyList_GET_SIZE(self._container):
            s = PyList_GET_ITEM(self._container, self._shown_at)
            if self._is_shown(s):
                Py_INCREF(None)
                PyList_SET_ITEM(self._container, self._shown_at, none)
                PyUnicode_Append(&s, tail)
                return self._take(s)
        # The user has changed the slot: give it the whole text again.
        self._set_open(PyUnicode_DecodeUTF8(self._text.p, self._text.n, NULL))
        return 0

    cdef inline bint _is_shown(self, PyObject *s) noexcept:
        # The length guards against another str at the address of ours. Should both agree, the user's own replacement
        # is continued: wrong text in a slot that they overwrote, but never memory that is not ours.
        return (
            s != NULL and s == self._shown and PyUnicode_CheckExact(<object>s)
            and PyUnicode_GET_LENGTH(<object>s) == self._shown_length
        )

    cdef int _take(self, PyObject *s) except -1:
        """Put an owned reference back into the slot it came from. NULL: PyUnicode_Append has raised MemoryError."""
        cdef object text
        if s == NULL:
            self._shown = <PyObject *>_MISSING
            raise MemoryError()
        text = <object>s
        Py_DECREF(text)
        return self._set_open(text)

    cdef int _set_open(self, object text) except -1:
        self._shown = <PyObject *>text
        if self._container is None:
            self._root = text
        elif self._m.in_object:
            PyDict_SetItem(self._container, self._key, text)
        elif self._shown_at < PyList_GET_SIZE(self._container):
            (<list>self._container)[self._shown_at] = text
        else:
            PyList_Append(self._container, text)
            self._shown_at = PyList_GET_SIZE(self._container) - 1
        return 0

    cdef int _show(self) except -1:
        if self._busy:
            raise ConcurrentUseError("the value of a JSONParser was read while a call on this parser was running")
        self._busy = True
        try:
            if self._open:
                self._fold()
            elif self._eager and self._provisional is None and self.error is None:
                self._show_number()
        finally:
            self._busy = False
        return 0

    cdef object _copy(self):
        cdef Py_ssize_t i
        cdef object child, parent, key, below = None
        self._show()
        if not self._containers:
            return self._root
        for i in range(len(self._containers) - 1, -1, -1):
            parent = self._containers[i].copy()
            if below is not None:
                # Unless the user has put something else there.
                key = self._keys[i + 1]
                child = self._containers[i + 1]
                if isinstance(parent, dict):
                    if (<dict>parent).get(key) is child:
                        (<dict>parent)[key] = below
                elif key < len(parent) and parent[key] is child:
                    parent[key] = below
            below = parent
        return below

    # --- the open number, if numbers="eager" ---

    cdef int _show_number(self) except -1:
        cdef object value
        if self._m.state != MS_JSON_S_NUMBER or not ms_json_number_is_whole(&self._m):
            return 0
        value = self._convert(self._text.p, self._text.n)
        if value is None:
            self.error = None  # its time comes when the number is complete
            return 0
        self._replaced = _MISSING
        if self._container is None:
            self._replaced = self._root
        elif self._m.in_object:
            self._replaced = (<dict>self._container).get(self._key, _MISSING)
        self._put(value)
        self._provisional = value
        return 0

    cdef int _hide(self) except -1:
        cdef object shown = self._provisional, old = self._replaced, c = self._container
        self._provisional = self._replaced = None
        if shown is None:
            return 0
        if c is None:
            self._root = old
        elif self._m.in_object:
            if (<dict>c).get(self._key) is shown:
                if old is _MISSING:
                    del (<dict>c)[self._key]
                else:
                    (<dict>c)[self._key] = old
        elif PyList_GET_SIZE(c) and (<list>c)[PyList_GET_SIZE(c) - 1] is shown:
            (<list>c).pop()
        return 0

    # --- deltas ---

    cdef tuple _path(self, Py_ssize_t level):
        """Path of an open container."""
        cdef Py_ssize_t i = level
        cdef tuple path
        while self._paths[i] is None:
            i -= 1
        path = self._paths[i]
        while i < level:
            i += 1
            path = (*path, self._keys[i])
            self._paths[i] = path
        return path

    cdef Delta _delta(self, Op op, object value, bint complete, list out):
        """A delta of the value that is being read, inside the innermost container."""
        cdef Delta delta = Delta.__new__(Delta)
        if self._container is not None:
            delta._parent = self._path(PyList_GET_SIZE(self._paths) - 1)
            delta._key = self._key if self._m.in_object else self._index
        delta._op = op
        delta._value = value
        delta.complete = complete
        PyList_Append(out, delta)
        return delta

    cdef Delta _delta_at(self, Py_ssize_t level, Op op, list out):
        """A delta of an open container itself."""
        cdef Delta delta = Delta.__new__(Delta)
        if level:
            delta._parent = self._path(level - 1)
            delta._key = self._keys[level]
        delta._op = op
        PyList_Append(out, delta)
        return delta

    # --- errors ---

    cdef object _column(self, uint64_t offset):
        return offset - self._m.line_start - self._m.n_tail + 1

    cdef int _fail(self, ms_json_event event, const char *p, size_t n, size_t off) except -1:
        cdef uint64_t at = self._m.base + off
        if event == MS_JSON_E_DEPTH:
            self.error = LimitExceeded(
                f"more than max_depth={self._m.max_depth} containers are open at byte {at}",
                offset=at, reason="too_deep", option="max_depth", limit=self._m.max_depth,
            )
        elif event == MS_JSON_E_DIGITS:
            self.error = LimitExceeded(
                f"a number has more than max_digits={self._m.max_digits} digits at byte {at}",
                offset=at, reason="too_many_digits", option="max_digits", limit=self._m.max_digits,
            )
        else:
            reason, text = REASONS[self._m.reason]
            self._invalid(reason, text, p, n, off)
        return 0

    cdef int _invalid(self, str reason, str text, const char *p, size_t n, size_t off) except -1:
        cdef uint64_t at = self._m.base + off
        line = self._m.line + 1
        column = self._column(at)
        self.error = InvalidJSON(
            f"{text} at line {line}, column {column} (byte {at})",
            offset=at, reason=reason, line=line, column=column, snippet=p[off:min(n, off + 40)],
        )
        return 0


cdef inline object _text(const char *p, size_t n, bint ascii):
    cdef object text
    if not ascii or n < 2:
        return PyUnicode_DecodeUTF8(p, n, NULL)  # which shares the one-character strings
    text = PyUnicode_New(n, 127)
    memcpy(PyUnicode_DATA(text), p, n)
    return text


cdef bytes _as_bytes(str text):
    return text.encode("utf-8", "surrogatepass")


cdef object _literal(size_t which):
    if which == 0:
        return None
    if which < 3:
        return which == 1
    return _NAN if which == 3 else _INF if which == 4 else -_INF
