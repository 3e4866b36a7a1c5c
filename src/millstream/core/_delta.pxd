from libc.stdint cimport uint64_t


cdef enum Op:
    SET
    SET_OBJECT
    SET_ARRAY
    APPEND
    END


cdef class Delta:
    cdef tuple _parent       # path of the container; None for the root
    cdef object _key         # None: _index counts
    cdef Py_ssize_t _index
    cdef object _value
    cdef uint64_t _start, _end
    cdef Op _op
    cdef readonly bint complete
