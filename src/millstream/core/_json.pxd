from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from millstream.core._buffer cimport Buffer
from millstream.core._delta cimport Delta, Op
from millstream.core._json_value cimport Strings
from millstream.core._parser cimport Parser
from millstream.core.kernels cimport ms_json, ms_json_event, ms_json_token


# Where an open container stands.
cdef struct Level:
    PyObject *key     # in its parent, owned; NULL if that is an array, or if there is none
    PyObject *path    # owned tuple; NULL if nobody has asked yet
    Py_ssize_t index  # in its parent, if that is an array
    uint64_t start    # offset of its first byte


cdef class JSONParser(Parser):
    cdef ms_json _m
    cdef Buffer _levels      # Level: open containers, the innermost last
    cdef Strings _keys       # those seen before; slots only from the first key on
    cdef list _containers    # the same containers; a list, so that the garbage collector sees them
    cdef object _root
    cdef object _container   # the innermost one
    cdef object _key         # where the next value goes, in an object
    cdef Py_ssize_t _index   # and in an array
    # An open string value. Its text so far is _m.text.
    cdef bint _open
    cdef bint _told          # a delta has set it
    cdef size_t _reported    # bytes of it that deltas have told
    cdef size_t _folded      # bytes of it that the value shows
    cdef size_t _piece_from, _piece_to
    cdef object _piece       # the last text made for a delta: text[_piece_from:_piece_to]
    cdef PyObject *_shown    # the str in its slot; borrowed, only compared
    cdef Py_ssize_t _shown_length, _shown_at
    cdef object _provisional, _replaced  # eager number shown in the value, and what it hides
    cdef bint _eager, _unique, _deltas

    # For other compiled modules: what `feed` does, with no object between. Deltas go nowhere: use deltas=False.
    cdef int feed_ptr(self, const char *p, Py_ssize_t n) except -1

    cdef int _cache_keys(self) except -1
    cdef int _atom(self, object value, list out) except -1
    cdef int _put(self, object value) except -1
    cdef int _number(self, ms_json_token *token, list out) except -1
    cdef object _convert(self, const char *p, size_t n)
    cdef int _begin_container(self, bint is_object, list out) except -1
    cdef int _end_container(self, uint64_t end, list out) except -1
    cdef Level *_level(self, Py_ssize_t i) noexcept
    cdef void _drop_level(self, Level *level) noexcept
    cdef int _drop_levels(self) except -1
    cdef int _check_key(self, const char *p, size_t n, size_t off) except -1
    cdef int _begin_string(self) except -1
    cdef int _end_string(self, uint64_t end, list out) except -1
    cdef object _text_from(self, size_t start)
    cdef int _report(self, bint complete, list out) except -1
    cdef int _fold(self) except -1
    cdef int _grow(self) except -1
    cdef int _extend(self, PyObject *s) except -1
    cdef bint _is_shown(self, PyObject *s) noexcept
    cdef int _set_open(self, object text) except -1
    cdef int _show(self) except -1
    cdef object _copy(self)
    cdef int _show_number(self) except -1
    cdef int _hide(self) except -1
    cdef tuple _path(self, Py_ssize_t last)
    cdef Delta _delta(self, Op op, object value, bint complete, list out)
    cdef Delta _delta_at(self, Py_ssize_t i, Op op, list out)
    cdef object _column(self, uint64_t offset)
    cdef int _fail(self, ms_json_event event, const char *p, size_t n, size_t off) except -1
    cdef int _invalid(self, str reason, str text, const char *p, size_t n, size_t off) except -1
