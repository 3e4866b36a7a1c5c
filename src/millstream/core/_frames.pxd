# The half of a FrameReader that reads no JSON.
cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from millstream.core._buffer cimport Buffer
from millstream.core._parser cimport Parser
from millstream.core._shape cimport Shape
from millstream.core.kernels cimport ms_shape_text


cdef enum:
    MAX_SHAPES = 8


cdef class Frames:
    cdef Parser _parser
    cdef list _messages        # what the parser gives
    cdef list _all             # the shapes
    cdef PyObject *_shape[MAX_SHAPES]  # the same
    cdef Py_ssize_t _n         # how many
    cdef Py_ssize_t _last      # the shape that matched last
    cdef Py_ssize_t _victim    # the shape that is replaced next
    cdef Buffer _part          # a frame that the end of a chunk has cut
    cdef bint _given           # whether the parser has had it
    cdef bint _lost            # the frame that is being read is not in _part: too long, or begun unseen
    cdef Buffer _scratch
    cdef Buffer _later         # the last deferred frame
    cdef const char *_deferred  # the same, still in the chunk; NULL: none
    cdef size_t _n_deferred
    cdef uint64_t _max_frame
    cdef size_t _off           # of the chunk that is fed, what `quick` has read already
    cdef readonly uint64_t hits, misses, compiles
    cdef public bint joins     # only the texts of events are wanted: a run of equal ones may be one event

    @cython.final
    cdef bint quick(self, const char *p, size_t n, list out) except -1

    @cython.final
    cdef int _hits(self, const char *p, size_t n, size_t *off, list out) except -1

    @cython.final
    cdef int _give(
        self, Shape shape, ms_shape_text *texts, Py_ssize_t count, const char *last, size_t n, list out
    ) except -1

    @cython.final
    cdef bint _complete(self, const char *p, size_t n, size_t *off, list out) except -1

    @cython.final
    cdef bint _hold(self, const char *p, size_t n) except -1

    @cython.final
    cdef int _keep(self, const char *p, size_t n) except -1

    @cython.final
    cdef int _give_part(self) except -1

    @cython.final
    cdef int _keep_deferred(self) except -1

    @cython.final
    cdef size_t _max_part(self) noexcept

    @cython.final
    cdef int _add(self, Shape shape) except -1

    @cython.final
    cdef int _drop(self) except -1
