# JSON tokens -> Python objects: text, keys, numbers, literals. Inline only: a .pxd needs no module.
# Shared by _json.pyx (incremental) and _partial.pyx (one-shot). Source of the number conversion: ms_num.h.
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from millstream.core.kernels cimport (
    MS_JSON_FALSE, MS_JSON_NAN, MS_JSON_NEG_INF, MS_JSON_NULL, ms_num_double, ms_num_int64
)

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, unsigned maxchar)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyLong_FromString(const char *text, char **end, int base)
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0
    void Py_XDECREF(PyObject *o)


cdef enum:
    KEY_BYTES = 63
    KEYS = 256


# Strings seen before, by a hash of their bytes: owned references to ASCII str, in 1 << bits slots, or no slots.
cdef struct Strings:
    PyObject **slots
    int bits
    uint64_t seed


cdef inline int strings_init(Strings *seen, PyObject **slots, int bits) except -1:
    """`slots` are all NULL."""
    seen.slots = slots
    seen.bits = bits
    seen.seed = <uint64_t>hash("millstream") | 1  # random per process, so that collisions cannot be prepared
    return 0


cdef inline void strings_clear(Strings *seen) noexcept:
    cdef Py_ssize_t i
    if seen.slots != NULL:
        for i in range(<Py_ssize_t>1 << seen.bits):
            Py_XDECREF(seen.slots[i])
            seen.slots[i] = NULL


cdef inline object text_value(const char *p, size_t n, bint ascii):
    """A str of p[0..n), which is well-formed UTF-8. A copy of ASCII is half the price of decoding it."""
    cdef object text
    if not ascii or n < 2:
        return PyUnicode_DecodeUTF8(p, n, NULL)  # which shares the one-character strings
    text = PyUnicode_New(n, 127)
    memcpy(PyUnicode_DATA(text), p, n)
    return text


cdef inline object known_value(Strings *seen, const char *p, size_t n, bint ascii):
    """The same, from the cache if it is there. Most documents have few different keys; a known one knows its hash."""
    cdef uint64_t h = 0, tail = 0
    cdef PyObject *old
    cdef object text
    if not ascii or n > KEY_BYTES or n < 2 or seen.slots == NULL:
        return text_value(p, n, ascii)
    if n >= 8:
        memcpy(&h, p, 8)
        memcpy(&tail, p + n - 8, 8)
    else:
        memcpy(&h, p, n)
    h = (h ^ seen.seed ^ (tail * 31) ^ n) * <uint64_t>0x9E3779B97F4A7C15
    h >>= 64 - seen.bits
    old = seen.slots[h]
    if (
        old != NULL and <size_t>PyUnicode_GET_LENGTH(<object>old) == n
        and memcmp(PyUnicode_DATA(<object>old), p, n) == 0
    ):
        return <object>old
    text = text_value(p, n, True)
    Py_INCREF(text)
    seen.slots[h] = <PyObject *>text
    Py_XDECREF(old)
    return text


cdef inline object literal_value(size_t which):
    if which == MS_JSON_NULL:
        return None
    if which <= MS_JSON_FALSE:
        return which < MS_JSON_FALSE
    return NAN if which == MS_JSON_NAN else -INFINITY if which == MS_JSON_NEG_INF else INFINITY


cdef inline object int_value(const char *p, size_t n):
    """Raises ValueError: more digits than this interpreter converts."""
    cdef int64_t i
    if ms_num_int64(p, n, &i):
        return i
    return PyLong_FromString(p[:n], NULL, 10)


cdef inline double float_value(const char *p, size_t n) except? -1.0:
    """Infinite if it is too large."""
    cdef double d
    if ms_num_double(p, n, &d):
        return d
    return PyOS_string_to_double(p[:n], NULL, NULL)
