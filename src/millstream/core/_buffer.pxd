# A growable byte buffer that belongs to one parser. Inline only: a .pxd needs no module.
# Appending in any pieces copies O(total) bytes; a buffer that once held a huge event is given back, not kept.
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy

from millstream.core.kernels cimport ms_buffer, ms_grow

ctypedef ms_buffer Buffer


cdef enum:
    KEEP_BYTES = 65536


cdef inline int buffer_reserve(Buffer *b, size_t n) except -1:
    """Make room for n more bytes. Raises MemoryError and leaves the buffer as it was."""
    cdef size_t cap
    cdef void *grown
    if n > b.cap - b.n:
        cap = ms_grow(b.cap, b.n + n)
        grown = PyMem_Realloc(b.p, cap) if cap else NULL
        if grown == NULL:
            raise MemoryError()
        b.p = <char *>grown
        b.cap = cap
    return 0


cdef inline int buffer_append(Buffer *b, const char *p, size_t n) except -1:
    """Add p[0..n), which must not lie inside the buffer. Raises MemoryError and leaves the buffer as it was."""
    if n == 0:
        return 0
    buffer_reserve(b, n)
    memcpy(b.p + b.n, p, n)
    b.n += n
    return 0


cdef inline void buffer_clear(Buffer *b) noexcept:
    b.n = 0
    if b.cap > KEEP_BYTES:
        buffer_free(b)


cdef inline void buffer_free(Buffer *b) noexcept:
    PyMem_Free(b.p)
    b.p = NULL
    b.n = b.cap = 0
