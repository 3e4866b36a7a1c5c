# What _reader.pyx reads of a message.
from libc.stdint cimport uint64_t


cdef class SSEMessage:
    cdef readonly str event
    cdef readonly str data
    cdef readonly str id
    cdef readonly object retry
    cdef readonly bint named
    cdef readonly uint64_t offset
    cdef readonly bint unterminated
    cdef readonly str unknown

    cdef tuple _key(self)
