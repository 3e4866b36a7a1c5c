# The only place that declares C. Kernels live in csrc/ and know nothing of Python.
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "ms_grow.h" nogil:
    size_t ms_grow(size_t cap, size_t need)


cdef extern from "ms_scan.h" nogil:
    size_t ms_scan_eol(const char *p, size_t n)
    bint ms_scan_is_ascii(const char *p, size_t n)


cdef extern from "ms_utf8.h" nogil:
    int MS_UTF8_OK
    int ms_utf8_check(uint32_t *state, const char *p, size_t n, size_t *off)
    uint32_t ms_utf8_pending(uint32_t state)


cdef extern from "ms_sse.h" nogil:
    ctypedef struct ms_span:
        const char *p
        size_t n

    ctypedef struct ms_sse_state:
        uint8_t bom
        uint8_t after_cr

    ctypedef enum ms_sse_kind:
        MS_SSE_BLANK
        MS_SSE_COMMENT
        MS_SSE_DATA
        MS_SSE_EVENT
        MS_SSE_ID
        MS_SSE_RETRY
        MS_SSE_UNKNOWN

    int MS_SSE_BOM_DONE
    int MS_SSE_LINE
    bint ms_sse_bom(ms_sse_state *s, const char *p, size_t n, size_t *off, unsigned *held)
    int ms_sse_line(ms_sse_state *s, const char *p, size_t n, size_t *off, ms_span *line)
    ms_sse_kind ms_sse_field(ms_span line, ms_span *value)
    bint ms_sse_retry(ms_span value, uint64_t max, uint64_t *out)
