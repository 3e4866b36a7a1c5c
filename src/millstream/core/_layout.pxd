# Events from matched frames: the text, and a copy of an event with it. Inline: it is done for each of them.
cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from millstream.core._buffer cimport Buffer, buffer_reserve
from millstream.core.kernels cimport ms_shape_text, ms_shape_unescape


cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize
        unsigned long tp_flags

    PyObject *_PyObject_New(PyTypeObject *type) except NULL
    object PyUnicode_New(Py_ssize_t size, unsigned maxchar)
    void *PyUnicode_DATA(object text)
    object PyDict_Copy(object it)
    void _DECREF "Py_DECREF" (PyObject *it)


cdef enum:
    MAX_FIELDS = 12


cdef inline object text_of(ms_shape_text *text, Buffer *scratch):
    """The str that a payload is. It was found well-formed."""
    cdef const char *p = text.p
    cdef size_t n = text.n
    if text.escaped:
        scratch.n = 0
        buffer_reserve(scratch, n)
        n = ms_shape_unescape(text, scratch.p)
        p = scratch.p
    if text.wide or n == 1:
        return PyUnicode_DecodeUTF8(p, n, NULL)  # which shares the one-character strings
    made = PyUnicode_New(n, 127)
    memcpy(PyUnicode_DATA(made), p, n)
    return made


@cython.final
cdef class Layout:
    cdef PyTypeObject *type
    cdef Py_ssize_t at[MAX_FIELDS]
    cdef Py_ssize_t n, payload, meta
    cdef readonly bint sound
    cdef bint whole  # the payload is a whole message
    cdef readonly object plain  # an instance without anything, as rules make them; None: there is none

    cdef inline object payload_of(self, object event):
        return <object>(<PyObject **>(<char *><PyObject *>event + self.at[self.payload]))[0]

    cdef inline object copy(self, object pattern, object text):
        """A new instance with the fields of `pattern`, but another payload."""
        cdef PyObject *made = _PyObject_New(self.type)
        cdef char *to = <char *>made
        cdef char *source = <char *><PyObject *>pattern
        cdef PyObject *value
        cdef Py_ssize_t k
        for k in range(self.n):
            value = <PyObject *>text if k == self.payload else (<PyObject **>(source + self.at[k]))[0]
            Py_INCREF(<object>value)
            (<PyObject **>(to + self.at[k]))[0] = value
        event = <object>made
        _DECREF(made)
        return event

    cdef inline object copy_with_meta(self, object pattern, object text):
        """The same, and with a `_meta` of its own: no two events share one."""
        event = self.copy(pattern, text)
        cdef PyObject **slot = <PyObject **>(<char *><PyObject *>event + self.at[self.meta])
        meta = PyDict_Copy(<object>slot[0])
        _DECREF(slot[0])
        Py_INCREF(meta)
        slot[0] = <PyObject *>meta
        return event
