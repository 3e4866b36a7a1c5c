/* ms_json_state.h: what the parts of the JSON machine share: its state, its tokens, its errors.
 *
 * Theory of operation: ms_json.h. Here is only what its three parts (structure, strings, numbers) all need.
 * Change with this file: kernels.pxd, the table of reasons in core/_json.pyx.
 */
#ifndef MS_JSON_STATE_H
#define MS_JSON_STATE_H

#include "ms_grow.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    MS_JSON_MORE, /* the chunk is used up */
    MS_JSON_KEY,
    MS_JSON_STRING,
    MS_JSON_NUMBER,
    MS_JSON_NUMBER_PART, /* the chunk ends in a number: the caller appends the token to s->text */
    MS_JSON_LITERAL,     /* token.n is an ms_json_literal */
    MS_JSON_OBJECT,
    MS_JSON_ARRAY,
    MS_JSON_END,        /* of a container; depth is already that of its parent */
    MS_JSON_GROW_STACK, /* s->stack must hold more than it does; then call again */
    MS_JSON_GROW_TEXT,  /* so must s->text */
    MS_JSON_DONE,       /* ms_json_finish only */
    MS_JSON_E_INVALID,
    MS_JSON_E_INCOMPLETE, /* ms_json_finish only */
    MS_JSON_E_DEPTH,
    MS_JSON_E_DIGITS
} ms_json_event;

typedef enum { MS_JSON_NULL, MS_JSON_TRUE, MS_JSON_FALSE, MS_JSON_NAN, MS_JSON_INF, MS_JSON_NEG_INF } ms_json_literal;

typedef enum {
    MS_JSON_R_VALUE,
    MS_JSON_R_KEY,
    MS_JSON_R_COLON,
    MS_JSON_R_COMMA,
    MS_JSON_R_TRAILING,
    MS_JSON_R_CONTROL,
    MS_JSON_R_ESCAPE,
    MS_JSON_R_HEX,
    MS_JSON_R_SURROGATE,
    MS_JSON_R_UTF8,
    MS_JSON_R_NUMBER,
    MS_JSON_R_LITERAL
} ms_json_reason;

enum {
    MS_JSON_S_ROOT,      /* the value of the document */
    MS_JSON_S_VALUE,     /* a value, after a colon or a comma */
    MS_JSON_S_ITEM_END,  /* a value or ], after [ */
    MS_JSON_S_KEY,       /* a key, after a comma */
    MS_JSON_S_KEY_END,   /* a key or }, after { */
    MS_JSON_S_COLON,
    MS_JSON_S_COMMA,     /* a comma or the end of the container, after a value in it */
    MS_JSON_S_TRAILING,  /* white space, after the document */
    MS_JSON_S_STRING,
    MS_JSON_S_CHARACTER, /* the rest of a UTF-8 sequence that was cut */
    MS_JSON_S_ESCAPE,    /* the character after a backslash */
    MS_JSON_S_HEX,
    MS_JSON_S_LOW,       /* the backslash of the low surrogate */
    MS_JSON_S_LOW_U,     /* its u */
    MS_JSON_S_NUMBER,
    MS_JSON_S_LITERAL
};

enum {
    MS_JSON_N_INT, /* the first digit of the number */
    MS_JSON_N_ZERO,
    MS_JSON_N_DIGIT,
    MS_JSON_N_POINT,
    MS_JSON_N_FRACTION,
    MS_JSON_N_E,
    MS_JSON_N_SIGN,
    MS_JSON_N_EXPONENT
};

/* Bytes of the chunk, or of s->text; valid until the next call. */
typedef struct {
    const char *p;
    size_t n;
    bool ascii;
} ms_json_token;

/* All zero at the start, but for the options. */
typedef struct {
    ms_buffer stack; /* one byte for each open container, 1 for an object */
    ms_buffer text;  /* what is known of a string or number that is not a span of the chunk */
    uint32_t depth, max_depth;
    uint32_t n_digits, max_digits;
    uint32_t utf8; /* state of ms_utf8.h */
    uint32_t code; /* \u digits so far */
    uint32_t high; /* high surrogate that waits for its low one, or 0 */
    bool allow_nan, multiple; /* options */
    bool in_key, in_object;
    bool ascii;    /* whether all of s->text is */
    bool is_float; /* of the present number */
    bool bare;     /* the last document was a number or a literal, which does not end by itself */
    uint8_t state, number, literal, n_literal, n_hex, n_held, reason;
    char held[4];        /* a character that was cut */
    uint64_t base;       /* offset of p[0]; the caller adds n after MORE */
    uint64_t start;      /* offset of the present or last token */
    uint64_t line;       /* line feeds seen */
    uint64_t line_start; /* offset */
    uint64_t n_tail;     /* bytes of this line that continue a character */
} ms_json;

static inline void ms_json_value_done(ms_json *s, bool bare) {
    if (s->depth) {
        s->state = MS_JSON_S_COMMA;
    } else {
        s->state = MS_JSON_S_TRAILING;
        s->bare = bare;
    }
}

static inline ms_json_event ms_json_bad(ms_json *s, size_t i, size_t *off, ms_json_reason reason) {
    s->reason = (uint8_t)reason;
    *off = i;
    return MS_JSON_E_INVALID;
}

#endif
