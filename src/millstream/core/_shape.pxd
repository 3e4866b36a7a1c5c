# What _frames.pyx matches, and _reader.pyx makes. `match` is inline: it is called for each frame.
cimport cython
from libc.stdint cimport uint32_t

from millstream.core._buffer cimport Buffer
from millstream.core._layout cimport Layout
from millstream.core.kernels cimport (
    MS_SHAPE_HIT, MS_SHAPE_HOLES, MS_SHAPE_MISS, MS_SHAPE_PATHS, ms_shape, ms_shape_cut, ms_shape_match, ms_shape_path,
    ms_shape_step, ms_shape_text,
)


cdef enum:
    MAX_LOOSE = 4     # hits on the loose list, after which the tight one is not tried any more


@cython.final
cdef class Shapes:
    cdef ms_shape_path paths[MS_SHAPE_PATHS]
    cdef ms_shape_step *steps
    cdef uint32_t n
    cdef bint padded
    cdef frozenset meta
    cdef list names  # keeps the keys alive
    cdef dict _declared


@cython.final
cdef class Shape:
    cdef ms_shape at
    cdef char *bytes
    cdef object pattern        # the event of the frame that it was made of
    cdef Layout layout
    cdef list sink             # gets each payload too, None: nobody wants it
    cdef bint deferred         # the message sets values of which the latest counts
    cdef bint has_meta
    cdef bint whole            # the event has the whole message
    cdef size_t head, tail     # what of a frame stands before and after the message
    cdef int n_loose
    cdef Py_ssize_t next       # the shape that came after this one the last time

    cdef int make(self, const char *p, size_t n, const ms_shape_cut *cuts, size_t n_cuts) except -1

    cdef inline int match(self, const char *p, size_t n, size_t *end, ms_shape_text *text) except -1:
        cdef ms_shape_cut cuts[MS_SHAPE_HOLES]
        cdef int found = MS_SHAPE_MISS
        cdef size_t k
        if self.n_loose < MAX_LOOSE:
            found = ms_shape_match(&self.at.tight, self.bytes, p, n, end, text, NULL)
        if found != MS_SHAPE_MISS or not self.at.cold:
            return found
        found = ms_shape_match(&self.at.loose, self.bytes, p, n, end, text, cuts)
        if found == MS_SHAPE_HIT and self.n_loose < MAX_LOOSE:
            self.n_loose += 1
            for k in range(self.at.loose.n):
                cuts[k].kind = self.at.loose.hole[k]
                cuts[k].cold = self.at.cold >> k & 1
            if not self.make(p, end[0], cuts, self.at.loose.n):
                self.n_loose = MAX_LOOSE
        return found


cdef Shape shape_of(
    Shapes declared, Layout layout, payload, list sink, const char *frame, size_t n, bint lines, Buffer *scratch,
    bint *pure
)
