# What the parsers of this floor have in common: the frame around feed, close and reset.


cdef class Parser:
    cdef bint _busy, _closed
    cdef readonly object error
    cdef list take(self, object data, bint text)
    cdef list finish(self)
    cdef int renew(self) except -1
    cdef int enter(self) except -1
    cdef int run(self, const char *p, size_t n, list out) except -1
    # For the subclass:
    cdef int parse(self, const char *p, size_t n, list out) except -1
    cdef int end(self, list out) except -1
    cdef int restart(self) except -1
