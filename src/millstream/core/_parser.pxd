# What the parsers of this floor have in common: the frame around feed, close and reset.
cimport cython


cdef class Parser:
    cdef bint _busy, _closed
    cdef bint _broken  # by an exception that was not the input's fault
    cdef readonly object error

    @cython.final
    cdef list take(self, object data, bint text)

    @cython.final
    cdef list finish(self)

    @cython.final
    cdef int renew(self) except -1

    @cython.final
    cdef int enter(self) except -1

    @cython.final
    cdef int run(self, const char *p, size_t n, list out) except -1

    # For the subclass:
    cdef int parse(self, const char *p, size_t n, list out) except -1
    cdef int end(self, list out) except -1
    cdef int restart(self) except -1

    # For who reads frame by frame (_reader.pyx), between `enter` and the end of its work:
    cdef void begin(self, char first) noexcept
    cdef bint resting(self) noexcept
    cdef bint step(self, const char *p, size_t n, size_t *off, list out) except -1
    cdef void pass_over(self, size_t n) noexcept
    cdef void hand_back(self, size_t n) noexcept
    cdef void count_frames(self, size_t n) noexcept
