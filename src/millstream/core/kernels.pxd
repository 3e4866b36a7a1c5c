# The only place that declares C. Kernels live in csrc/ and know nothing of Python.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "ms_grow.h" nogil:
    ctypedef struct ms_buffer:
        char *p
        size_t n
        size_t cap

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


cdef extern from "ms_num.h" nogil:
    bint ms_num_int64(const char *p, size_t n, int64_t *out)
    bint ms_num_double(const char *p, size_t n, double *out)


cdef extern from "ms_json.h" nogil:
    ctypedef enum ms_json_event:
        MS_JSON_MORE
        MS_JSON_KEY
        MS_JSON_STRING
        MS_JSON_NUMBER
        MS_JSON_NUMBER_PART
        MS_JSON_LITERAL
        MS_JSON_OBJECT
        MS_JSON_ARRAY
        MS_JSON_END
        MS_JSON_GROW_STACK
        MS_JSON_GROW_TEXT
        MS_JSON_E_INVALID
        MS_JSON_E_INCOMPLETE
        MS_JSON_E_DEPTH
        MS_JSON_E_DIGITS

    ctypedef enum ms_json_reason:
        MS_JSON_R_VALUE
        MS_JSON_R_KEY
        MS_JSON_R_COLON
        MS_JSON_R_COMMA
        MS_JSON_R_TRAILING
        MS_JSON_R_CONTROL
        MS_JSON_R_ESCAPE
        MS_JSON_R_HEX
        MS_JSON_R_SURROGATE
        MS_JSON_R_UTF8
        MS_JSON_R_NUMBER
        MS_JSON_R_LITERAL

    ctypedef enum ms_json_literal:
        MS_JSON_NULL
        MS_JSON_TRUE
        MS_JSON_FALSE
        MS_JSON_NAN
        MS_JSON_INF
        MS_JSON_NEG_INF

    int MS_JSON_S_ROOT
    int MS_JSON_S_VALUE
    int MS_JSON_S_ITEM_END
    int MS_JSON_S_KEY
    int MS_JSON_S_KEY_END
    int MS_JSON_S_COLON
    int MS_JSON_S_COMMA
    int MS_JSON_S_TRAILING
    int MS_JSON_S_STRING
    int MS_JSON_S_CHARACTER
    int MS_JSON_S_ESCAPE
    int MS_JSON_S_HEX
    int MS_JSON_S_LOW
    int MS_JSON_S_LOW_U
    int MS_JSON_S_NUMBER
    int MS_JSON_S_LITERAL

    int MS_JSON_N_INT

    ctypedef struct ms_json_token:
        const char *p
        size_t n
        bint ascii

    ctypedef struct ms_json:
        ms_buffer stack
        ms_buffer text
        uint32_t depth
        uint32_t max_depth
        uint32_t n_digits
        uint32_t max_digits
        uint32_t high
        bint allow_nan
        bint multiple
        bint in_key
        bint in_object
        bint ascii
        bint is_float
        uint8_t state
        uint8_t number
        uint8_t n_hex
        uint8_t reason
        uint64_t base
        uint64_t start
        uint64_t line
        uint64_t line_start
        uint64_t n_tail

    ms_json_event ms_json_step(ms_json *s, const char *p, size_t n, size_t *off, ms_json_token *token)
    ms_json_event ms_json_finish(ms_json *s, ms_json_token *token)
    bint ms_json_in_string(const ms_json *s)
    bint ms_json_number_is_whole(const ms_json *s)
    void ms_json_value_done(ms_json *s, bint bare)


cdef extern from "ms_shape.h" nogil:
    const int MS_SHAPE_HOLES
    int MS_SHAPE_MISS
    int MS_SHAPE_HIT
    int MS_SHAPE_MORE
    int MS_SHAPE_PAYLOAD
    int MS_SHAPE_ECHO

    ctypedef struct ms_shape_list:
        uint8_t *hole
        uint8_t n

    ctypedef struct ms_shape:
        ms_shape_list tight
        ms_shape_list loose
        uint32_t cold
        uint32_t n_bytes

    ctypedef struct ms_shape_cut:
        size_t start
        size_t end
        uint8_t kind
        bint cold

    ctypedef struct ms_shape_text:
        const char *p
        size_t n
        bint escaped
        bint wide

    int ms_shape_string(const char *p, size_t n, size_t *i, ms_shape_text *text)
    int ms_shape_match(
        const ms_shape_list *list, const char *bytes, const char *p, size_t n, size_t *end, ms_shape_text *text,
        ms_shape_cut *cuts
    )
    size_t ms_shape_unescape(ms_shape_text *text, char *out)


cdef extern from "ms_shape_make.h" nogil:
    const int MS_SHAPE_PATHS
    size_t MS_SHAPE_BYTES
    uint32_t MS_SHAPE_ANY
    int MS_SHAPE_ANSWER
    int MS_SHAPE_IGNORED
    int MS_SHAPE_SELDOM
    int MS_SHAPE_LATEST

    ctypedef struct ms_shape_step:
        const char *key
        uint32_t n

    ctypedef struct ms_shape_path:
        const ms_shape_step *step
        uint32_t n
        uint8_t role

    bint ms_shape_sse(const char *p, size_t n, size_t *start, size_t *end)
    bint ms_shape_scan(
        const char *p, size_t start, size_t end, const ms_shape_path *paths, uint32_t n_paths, bint padded,
        ms_shape_cut *cuts, size_t *n_cuts
    )
    size_t ms_shape_size(size_t n, const ms_shape_cut *cuts, size_t n_cuts)
    void ms_shape_cut_up(
        ms_shape *shape, char *bytes, const char *p, size_t n, const ms_shape_cut *cuts, size_t n_cuts
    )


cdef extern from "ms_pick.h" nogil:
    int MS_PICK_NODES
    uint8_t MS_PICK_NOWHERE
    int MS_PICK_NOTHING
    int MS_PICK_NO_TEXT
    int MS_PICK_NULL
    int MS_PICK_FALSE
    int MS_PICK_ZERO
    int MS_PICK_FALSY
    int MS_PICK_TRUE
    int MS_PICK_NUMBER
    int MS_PICK_STRING
    int MS_PICK_OBJECT

    ctypedef struct ms_pick_node:
        const char *key
        uint32_t n
        uint8_t *slot
        uint8_t next
        uint8_t element
        uint8_t any
        bint many
        bint members
        bint scalar
        bint strict
        bint falsy

    unsigned ms_pick_hash(const char *key, size_t n)
    uint8_t ms_pick_member(const ms_pick_node *nodes, uint8_t node, const char *key, size_t n)
    size_t ms_pick_json_line(
        const char *p, size_t n, const ms_pick_node *nodes, uint8_t *kind, ms_shape_text *text
    )
    size_t ms_pick_event(const char *p, size_t n, const ms_pick_node *nodes, uint8_t *kind, ms_shape_text *text)
