"""Incremental JSON: pieces of a document -> a live value and the deltas that lead to it, whatever the cuts.

Theory of operation. `csrc/ms_json.h` gives tokens; this file builds objects from them, on a stack in place of
recursion. A token that is whole inside the chunk becomes an object at once. `_m.text` keeps the token that is cut; of
an open string value it keeps the whole, and what is new is put into its container only when `value` is read: then the
container owns the only reference and CPython can grow the str in place. If the slot no longer holds what was put there
(the user changed the live value, or keeps the string), a fresh str is built instead.

Knows nothing of schemas, fences or I/O. Cost: O(bytes) in all, for any feeds. Source: RFC 8259.
"""

cimport cython
from cpython.dict cimport PyDict_Contains, PyDict_SetItem
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport isinf
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from millstream.core._buffer cimport buffer_append, buffer_clear, buffer_free, buffer_reserve
from millstream.core._delta cimport APPEND, END, SET, SET_ARRAY, SET_OBJECT, Delta, Op
from millstream.core._gil cimport GIL
from millstream.core._json_value cimport (
    KEYS, float_value, int_value, known_value, literal_value, strings_clear, strings_init, text_value
)
from millstream.core._parser cimport Parser
from millstream.core.kernels cimport (
    MS_JSON_ARRAY, MS_JSON_E_DEPTH, MS_JSON_E_DIGITS, MS_JSON_E_INCOMPLETE, MS_JSON_END, MS_JSON_GROW_STACK,
    MS_JSON_GROW_TEXT, MS_JSON_KEY, MS_JSON_LITERAL, MS_JSON_MORE, MS_JSON_NUMBER, MS_JSON_NUMBER_PART, MS_JSON_OBJECT,
    MS_JSON_S_NUMBER, MS_JSON_S_ROOT, MS_JSON_S_TRAILING, MS_JSON_STRING, ms_json, ms_json_event, ms_json_finish,
    ms_json_in_string, ms_json_number_is_whole, ms_json_step, ms_json_token, ms_scan_is_ascii,
)

from millstream.core._delta import MISSING
from millstream.errors import ConcurrentUseError, IncompleteJSON, InvalidJSON, LimitExceeded

cdef extern from "Python.h":
    bint PyDict_CheckExact(object o)
    bint PyUnicode_CheckExact(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_ASCII(object text)
    void *PyUnicode_DATA(object text)
    int PyUnicode_Resize(PyObject **text, Py_ssize_t length) noexcept
    void PyUnicode_Append(PyObject **left, object right)
    PyObject *PyDict_GetItemWithError(object d, object key) except? NULL
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t i)
    void PyList_SET_ITEM(object list, Py_ssize_t i, PyObject *item)
    int PyList_Append(object list, object item) except -1
    void Py_XDECREF(PyObject *o)

__all__ = ["JSONParser"]

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
    ("escape", "invalid escape in a string"),
    ("surrogate", "lone surrogate in a string"),
    ("utf8", "invalid UTF-8"),
    ("number", "malformed number"),
    ("literal", "malformed literal"),
)

cdef object _MISSING = MISSING

cdef enum:
    SHORT = 256  # bytes


@cython.final
cdef class JSONParser(Parser):
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
        self.restart()

    def __dealloc__(self):
        self._drop_levels()
        strings_clear(&self._keys)
        PyMem_Free(self._keys.slots)
        buffer_free(&self._levels)
        buffer_free(&self._m.stack)
        buffer_free(&self._m.text)

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
        with cython.critical_section(self):
            self._show()
            return self._root

    @cython.critical_section
    def snapshot(self):
        """A copy of the value that later feeds leave as it is.

        Returns: the value. Containers that are complete are shared with the live value, not copied.
        Cost: O(width) of each container that is still open.
        """
        self._show()
        self._busy = True  # comparing keys may run code of the user's, if they put keys of their own there
        try:
            return self._copy()
        finally:
            self._busy = False

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
        return self.take(data, True)

    @cython.critical_section
    def close(self):
        """Say that the input has ended.

        Returns: list with the delta of a number at the root, which only the end completes; else empty. Calling it
            again returns an empty list.
        Raises: IncompleteJSON: the document is not complete. The pending error of an earlier `feed`. ParserClosed:
            after an error that was raised already.
        """
        return self.finish()

    @cython.critical_section
    def reset(self):
        """Forget everything and be ready for a new document. A value that was read stays as it is."""
        self.renew()

    def __reduce__(self):
        raise TypeError("JSONParser cannot be pickled")

    cdef int feed_ptr(self, const char *p, Py_ssize_t n) except -1:
        self.run(p, n, [])
        if self.error is not None:
            self._closed = True
            raise self.error
        return 0

    cdef int restart(self) except -1:
        # Freed only when all is as at the start: a __del__ of the user's may feed this parser.
        _old = self._root, self._container, self._containers, self._replaced
        self._drop_levels()
        buffer_clear(&self._m.text)
        self._m.depth = 0
        self._m.in_object = self._m.in_key = False
        self._m.state = MS_JSON_S_ROOT
        self._m.base = self._m.start = self._m.line = self._m.line_start = self._m.n_tail = 0
        self._m.high = 0
        self._containers = []
        self._root = _MISSING
        self._container = self._key = self._piece = self._provisional = self._replaced = None
        self._shown = NULL
        self._index = 0
        self._reported = self._folded = 0
        self._open = self._told = False
        return 0

    cdef int _drop_levels(self) except -1:
        while self._levels.n:
            self._levels.n -= sizeof(Level)
            self._drop_level(<Level *>(self._levels.p + self._levels.n))
        buffer_clear(&self._levels)
        return 0

    cdef inline void _drop_level(self, Level *level) noexcept:
        Py_XDECREF(level.key)
        Py_XDECREF(level.path)

    cdef int end(self, list out) except -1:
        cdef ms_json_token token
        self._hide()
        if ms_json_finish(&self._m, &token) == MS_JSON_NUMBER:
            self._number(&token, out)
        if self.error is None and ms_json_finish(&self._m, &token) == MS_JSON_E_INCOMPLETE:
            empty = self._m.state == MS_JSON_S_ROOT
            self.error = IncompleteJSON(
                f"the input ended at byte {self._m.base} " + ("before any value" if empty else "inside the document"),
                offset=self._m.base, reason="empty" if empty else "incomplete",
            )
        return 0

    cdef int parse(self, const char *p, size_t n, list out) except -1:
        cdef ms_json *m = &self._m
        cdef ms_json_token token
        cdef ms_json_event event
        cdef size_t off = 0
        if self._provisional is not None:
            self._hide()
        while self.error is None:
            event = ms_json_step(m, p, n, &off, &token)
            if event == MS_JSON_KEY:
                if self._keys.slots == NULL:
                    self._cache_keys()
                self._key = known_value(&self._keys, token.p, token.n, token.ascii)
                if self._unique:
                    self._check_key(p, n, off)
            elif event == MS_JSON_STRING:
                if self._open:
                    self._end_string(m.base + off, out)
                else:
                    self._atom(text_value(token.p, token.n, token.ascii), out)
            elif event == MS_JSON_NUMBER:
                self._number(&token, out)
            elif event == MS_JSON_MORE:
                break
            elif event == MS_JSON_OBJECT or event == MS_JSON_ARRAY:
                self._begin_container(event == MS_JSON_OBJECT, out)
            elif event == MS_JSON_END:
                self._end_container(m.base + off, out)
            elif event == MS_JSON_LITERAL:
                self._atom(literal_value(token.n), out)
            elif event == MS_JSON_NUMBER_PART:
                buffer_append(&m.text, token.p, token.n)
            elif event == MS_JSON_GROW_TEXT:
                # Enough for the rest of the chunk: memory that is not written to costs nothing.
                buffer_reserve(&m.text, n - off + 16)
            elif event == MS_JSON_GROW_STACK:
                m.stack.n = m.depth
                buffer_reserve(&m.stack, 1)
            else:
                self._fail(event, p, n, off)
        if ms_json_in_string(m):
            # All the text before an error counts, as it would if it had come in a feed of its own.
            if not self._open:
                self._begin_string()
            if self._deltas:
                self._report(False, out)
        elif m.state != MS_JSON_S_NUMBER and not m.in_key:
            buffer_clear(&m.text)
        m.base += off
        return 0

    cdef int _cache_keys(self) except -1:
        cdef PyObject **slots = <PyObject **>PyMem_Calloc(KEYS, sizeof(PyObject *))
        if slots == NULL:
            raise MemoryError()
        return strings_init(&self._keys, slots, 8)

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
        if self._m.text.n:
            buffer_append(&self._m.text, p, n)
            p = self._m.text.p
            n = self._m.text.n
        value = self._convert(p, n)
        if value is not None:
            self._atom(value, out)
        return 0

    cdef object _convert(self, const char *p, size_t n):
        """The value of a number; None if it is out of range, with the error set."""
        cdef double d
        if not self._m.is_float:
            try:
                return int_value(p, n)
            except ValueError as error:
                import sys
                self.error = LimitExceeded(
                    f"the number at byte {self._m.start} is longer than this interpreter converts: {error}",
                    offset=self._m.start, reason="too_many_digits", option="max_digits",
                    limit=sys.get_int_max_str_digits(),
                )
                return None
        d = float_value(p, n)
        if isinf(d) and not self._m.allow_nan:
            self.error = InvalidJSON(
                f"the number at byte {self._m.start} is too large for a float",
                offset=self._m.start, reason="number_range", line=self._m.line + 1,
                column=self._column(self._m.start), snippet=p[:min(n, <size_t>40)],
            )
            return None
        return d

    cdef int _begin_container(self, bint is_object, list out) except -1:
        cdef object container = {} if is_object else []
        cdef Level level
        # The machine is one level deeper already.
        level.key = level.path = NULL
        level.index = self._index
        level.start = self._m.start
        buffer_reserve(&self._levels, sizeof(Level))
        self._containers.append(container)
        if self._container is None:
            self._root = container
        elif PyDict_CheckExact(self._container):
            PyDict_SetItem(self._container, self._key, container)
            level.key = <PyObject *>self._key
            Py_INCREF(self._key)
        else:
            PyList_Append(self._container, container)
        buffer_append(&self._levels, <const char *>&level, sizeof(Level))
        self._container = container
        self._index = 0
        if self._deltas:
            self._delta_at(PyList_GET_SIZE(self._containers) - 1, SET_OBJECT if is_object else SET_ARRAY, out)
        return 0

    cdef int _end_container(self, uint64_t end, list out) except -1:
        cdef Py_ssize_t last = PyList_GET_SIZE(self._containers) - 1
        cdef Level *level = self._level(last)
        cdef Delta delta
        if self._deltas:
            delta = self._delta_at(last, END, out)
            delta._start = level.start
            delta._end = end
            delta.complete = True
        self._index = level.index + 1
        self._levels.n -= sizeof(Level)
        self._drop_level(level)
        self._containers.pop()
        self._container = self._containers[last - 1] if last else None
        return 0

    cdef inline Level *_level(self, Py_ssize_t i) noexcept:
        return <Level *>self._levels.p + i

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
        return 0

    cdef inline object _text_from(self, size_t start):
        cdef const char *p = self._m.text.p + start
        cdef size_t n = self._m.text.n - start
        return text_value(p, n, self._m.ascii or ms_scan_is_ascii(p, n))

    cdef int _report(self, bint complete, list out) except -1:
        """Tell what is new of the open string."""
        if self._told and self._reported == self._m.text.n:
            return 0
        self._piece_from = self._reported
        self._piece_to = self._reported = self._m.text.n
        self._piece = self._text_from(self._piece_from)
        self._delta(APPEND if self._told else SET, self._piece, complete, out)
        self._told = True
        return 0

    cdef int _fold(self) except -1:
        """Put what is new of the open string into its container."""
        cdef object text
        if self._shown == NULL:
            text = self._piece
            if text is None or self._piece_from != 0 or self._piece_to != self._m.text.n:
                text = self._text_from(0)
            self._put(text)
            self._shown = <PyObject *>text
            if self._container is not None and not self._m.in_object:
                self._shown_at = PyList_GET_SIZE(self._container) - 1
        elif self._folded == self._m.text.n:
            return 0
        else:
            self._grow()
        self._piece = None
        self._shown_length = PyUnicode_GET_LENGTH(<object>self._shown)
        self._folded = self._m.text.n
        return 0

    cdef int _grow(self) except -1:
        """Append to the str in the slot, in place if nobody else holds it. No code of the user's runs on the way,
        unless they put keys of their own into the live value."""
        cdef PyObject *s
        cdef PyObject *none = <PyObject *>None
        if self._m.text.n <= SHORT or not GIL:
            pass  # a new str is cheaper than taking the old one out, or another thread may be about to take it
        elif self._container is None:
            s = <PyObject *>self._root
            if self._is_shown(s):
                Py_INCREF(<object>s)
                self._root = None
                return self._extend(s)
        elif self._m.in_object:
            s = PyDict_GetItemWithError(self._container, self._key)
            if self._is_shown(s):
                Py_INCREF(<object>s)
                try:
                    PyDict_SetItem(self._container, self._key, None)
                except BaseException:
                    Py_XDECREF(s)
                    raise
                return self._extend(s)
        elif self._shown_at < PyList_GET_SIZE(self._container):
            s = PyList_GET_ITEM(self._container, self._shown_at)
            if self._is_shown(s):
                Py_INCREF(None)
                PyList_SET_ITEM(self._container, self._shown_at, none)
                return self._extend(s)
        # Or the user has changed the slot: give it the whole text again.
        return self._set_open(self._text_from(0))

    cdef int _extend(self, PyObject *s) except -1:
        """Append what is new to `s`, an owned reference, and put it back into the slot it came from."""
        cdef Py_ssize_t old = PyUnicode_GET_LENGTH(<object>s), new = self._m.text.n - self._folded
        cdef object text
        if self._m.ascii and PyUnicode_IS_ASCII(<object>s):
            # A copy of bytes into its own memory, if CPython can grow that in place: no object for the piece.
            if PyUnicode_Resize(&s, old + new) < 0:
                Py_XDECREF(s)
                s = NULL
            else:
                memcpy(<char *>PyUnicode_DATA(<object>s) + old, self._m.text.p + self._folded, new)
        else:
            PyUnicode_Append(&s, self._text_from(self._folded))
        if s == NULL:
            self._shown = <PyObject *>_MISSING
            raise MemoryError()
        text = <object>s
        Py_DECREF(text)
        return self._set_open(text)

    cdef inline bint _is_shown(self, PyObject *s) noexcept:
        # The length guards against another str at the address of ours. Should both agree, the user's own replacement
        # is continued: wrong text in a slot that they overwrote, but never memory that is not ours.
        return (
            s != NULL and s == self._shown and PyUnicode_CheckExact(<object>s)
            and PyUnicode_GET_LENGTH(<object>s) == self._shown_length
        )

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
        cdef Level *level
        cdef object child, key, parent, below = None
        if not self._containers:
            return self._root
        for i in range(PyList_GET_SIZE(self._containers) - 1, -1, -1):
            parent = self._containers[i].copy()
            if below is not None:
                # Unless the user has put something else there.
                level = self._level(i + 1)
                child = self._containers[i + 1]
                if level.key != NULL:
                    key = <object>level.key
                    if (<dict>parent).get(key) is child:
                        (<dict>parent)[key] = below
                elif level.index < PyList_GET_SIZE(parent) and (<list>parent)[level.index] is child:
                    (<list>parent)[level.index] = below
            below = parent
        return below

    # --- the open number, if numbers="eager" ---

    cdef int _show_number(self) except -1:
        cdef object value
        if self._m.state != MS_JSON_S_NUMBER or not ms_json_number_is_whole(&self._m):
            return 0
        value = self._convert(self._m.text.p, self._m.text.n)
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

    cdef tuple _path(self, Py_ssize_t last):
        """Path of an open container."""
        cdef Py_ssize_t i = last
        cdef Level *level
        cdef tuple path
        while i and self._level(i).path == NULL:
            i -= 1
        path = <tuple>self._level(i).path if i else ()
        while i < last:
            i += 1
            level = self._level(i)
            path = (*path, level.index if level.key == NULL else <object>level.key)
            Py_INCREF(path)
            level.path = <PyObject *>path
        return path

    cdef Delta _delta(self, Op op, object value, bint complete, list out):
        """A delta of the value that is being read, inside the innermost container."""
        cdef Delta delta = Delta.__new__(Delta)
        if self._container is not None:
            delta._parent = self._path(PyList_GET_SIZE(self._containers) - 1)
            delta._index = self._index
            if self._m.in_object:
                delta._key = self._key
        delta._op = op
        delta._value = value
        delta.complete = complete
        PyList_Append(out, delta)
        return delta

    cdef Delta _delta_at(self, Py_ssize_t i, Op op, list out):
        """A delta of an open container itself."""
        cdef Delta delta = Delta.__new__(Delta)
        cdef Level *level
        if i:
            delta._parent = self._path(i - 1)
            level = self._level(i)
            delta._index = level.index
            if level.key != NULL:
                delta._key = <object>level.key
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
