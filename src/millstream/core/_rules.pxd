# What _reader.pyx calls of the rules.
cimport cython
from libc.stdint cimport uint8_t

from millstream.core.kernels cimport ms_pick_node, ms_shape_text


cdef enum:
    NODES = 96   # MS_PICK_NODES, as the length of an array must be known here


cdef struct Found:
    uint8_t kind[NODES]
    ms_shape_text text[NODES]


@cython.final
cdef class Rule:
    cdef readonly dict when, unless, text
    cdef readonly tuple reads, needs, latest, given
    cdef readonly str index, choice, finish, call
    cdef readonly object names
    cdef readonly bint begins, heard
    cdef readonly object raw
    # By place:
    cdef list _wanted, _unwanted
    cdef uint8_t _when[8]
    cdef uint8_t _unless[8]
    cdef uint8_t _reads[NODES]
    cdef uint8_t _needs[8]
    cdef uint8_t _texts[NODES]
    cdef uint8_t _latest[8]
    cdef uint8_t _given[8]
    cdef int _n_when, _n_unless, _n_reads, _n_needs, _n_texts, _n_latest, _n_given
    cdef list _classes
    cdef uint8_t _index, _choice, _finish, _model, _id
    cdef bint _index_optional, _choice_optional

    cdef Rule _again(self)
    cdef bint fits(self, Found *found) noexcept


@cython.final
cdef class Rules:
    cdef ms_pick_node nodes[NODES]
    cdef int n
    cdef readonly tuple rules
    cdef list _keys

    cdef uint8_t _place(self, str path) except? 255
    cdef size_t read(self, const char *p, size_t n, bint lines, Found *found) noexcept
    cdef Rule which(self, Found *found, Rule after)


cdef long number_at(Found *found, uint8_t place) noexcept
