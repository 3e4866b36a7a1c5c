/* ms_json.h: bytes -> JSON tokens, resumable at every byte.
 *
 * Theory of operation. One switch over `state`, which is named for what comes next. A token that lies whole in the
 * chunk is given as a span of it (KEY, STRING, NUMBER). A string that is cut, or has escapes, comes as TEXT pieces (of
 * the chunk, or of s->held for an escape or a cut character) and then STRING_END; a number that is cut as NUMBER_PART
 * pieces and then NUMBER with the rest, perhaps empty. Joining the pieces needs memory and is the caller's work
 * (core/_json.pyx), as is the memory of the stack: one byte for each open container, 1 for an object; GROW asks for it.
 * All that is known before a bad byte is given before the error, and the error stands at the first byte that no
 * continuation can mend: both are therefore the same under all cuts.
 *
 * Contract: reads only p[*off..n), writes only through its pointers; no allocation, recursion, globals or Python.
 * Cost: each byte is looked at once; plain runs in strings 16 bytes per step (ms_scan.h).
 * Source: RFC 8259, strictly; Unicode 15 table 3-7. Change with this file: kernels.pxd, REASONS in core/_json.pyx.
 */
#ifndef MS_JSON_H
#define MS_JSON_H

#include "ms_scan.h"
#include "ms_utf8.h"

#include <stdbool.h>

typedef enum {
    MS_JSON_MORE, /* the chunk is used up */
    MS_JSON_KEY,
    MS_JSON_STRING,
    MS_JSON_TEXT,
    MS_JSON_STRING_END,
    MS_JSON_NUMBER,
    MS_JSON_NUMBER_PART,
    MS_JSON_LITERAL, /* token.n is an ms_json_literal */
    MS_JSON_OBJECT,
    MS_JSON_ARRAY,
    MS_JSON_END, /* of a container; depth is already that of its parent */
    MS_JSON_GROW, /* s->stack must hold more than s->capacity levels; then call again */
    MS_JSON_DONE, /* ms_json_finish only */
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

typedef struct {
    const char *p;
    size_t n;
    bool ascii;
} ms_json_token;

/* All zero at the start, but for the options and the stack. */
typedef struct {
    uint8_t *stack; /* the caller's; capacity bytes */
    uint32_t capacity, depth, max_depth;
    uint32_t n_digits, max_digits;
    uint32_t utf8;  /* state of ms_utf8.h */
    uint32_t code;  /* \u digits so far */
    uint32_t high;  /* high surrogate that waits for its low one, or 0 */
    bool allow_nan, multiple; /* options */
    bool in_key, in_object;
    bool is_float; /* of the present number */
    bool bare;     /* the last document was a number or a literal, which does not end by itself */
    uint8_t state, number, literal, n_literal, n_hex, n_held, reason;
    char held[4];
    uint64_t base;       /* offset of p[0]; the caller adds n after MORE */
    uint64_t start;      /* offset of the present or last token */
    uint64_t line;       /* line feeds seen */
    uint64_t line_start; /* offset */
    uint64_t n_tail;     /* bytes of this line that continue a character */
} ms_json;

static inline bool ms_json_in_string(const ms_json *s) {
    return s->state >= MS_JSON_S_STRING && s->state <= MS_JSON_S_LOW_U && !s->in_key;
}

static inline bool ms_json_number_is_whole(const ms_json *s) {
    return s->number == MS_JSON_N_ZERO || s->number == MS_JSON_N_DIGIT || s->number == MS_JSON_N_FRACTION ||
           s->number == MS_JSON_N_EXPONENT;
}

static inline bool ms_json_is_digit(char c) { return c >= '0' && c <= '9'; }

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

static inline ms_json_event ms_json_text(ms_json_token *token, const char *p, size_t n, bool ascii) {
    token->p = p;
    token->n = n;
    token->ascii = ascii;
    return MS_JSON_TEXT;
}

/* The length of the well-formed UTF-8 sequence at p[0..n), n > 0; 0 if it is ill-formed or cut off. */
static inline size_t ms_json_sequence(const char *p, size_t n) {
    uint32_t lead = ms_utf8_lead((unsigned char)p[0]);
    size_t need = (lead >> 16) & 0xFF, i;
    if (lead == 0 || n <= need) return 0;
    if ((unsigned char)p[1] < ((lead >> 8) & 0xFF) || (unsigned char)p[1] > (lead & 0xFF)) return 0;
    for (i = 2; i <= need; i++)
        if (((unsigned char)p[i] & 0xC0) != 0x80) return 0;
    return need + 1;
}

static inline uint8_t ms_json_encode(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* A plain run of the string from p[i]. `whole`: its opening quote is p[i - 1], and nothing was given of it yet. */
static inline ms_json_event ms_json_string(
    ms_json *s, const char *p, size_t n, size_t i, size_t *off, ms_json_token *token, bool whole
) {
    size_t run = i, length;
    bool ascii = true;
    for (;;) {
        unsigned char c;
        i += ms_scan_string(p + i, n - i);
        if (i == n) break;
        c = (unsigned char)p[i];
        if (c >= 0x80 && (length = ms_json_sequence(p + i, n - i)) != 0) {
            ascii = false;
            s->n_tail += length - 1;
            i += length;
            continue;
        }
        if (c == '"' && (whole || i == run)) {
            token->p = p + run;
            token->n = i - run;
            token->ascii = ascii;
            *off = i + 1;
            if (!s->in_key) {
                ms_json_value_done(s, false);
                return whole ? MS_JSON_STRING : MS_JSON_STRING_END;
            }
            s->state = MS_JSON_S_COLON;
            return whole ? MS_JSON_KEY : MS_JSON_STRING_END;
        }
        if (i > run) break; /* give the text first, then see what p[i] is */
        if (c == '\\') {
            s->state = MS_JSON_S_ESCAPE;
            *off = i + 1;
            return MS_JSON_MORE;
        }
        if (c < 0x20) return ms_json_bad(s, i, off, MS_JSON_R_CONTROL);
        s->utf8 = ms_utf8_lead(c);
        if (s->utf8 == 0) return ms_json_bad(s, i, off, MS_JSON_R_UTF8);
        s->held[0] = (char)c;
        s->n_held = 1;
        s->state = MS_JSON_S_CHARACTER;
        *off = i + 1;
        return MS_JSON_MORE;
    }
    *off = i;
    if (i == run) return MS_JSON_MORE;
    return ms_json_text(token, p + run, i - run, ascii);
}

static inline ms_json_event ms_json_digits(
    ms_json *s, const char *p, size_t n, size_t i, size_t *off, ms_json_token *token
) {
    size_t run = i, j;
    token->p = p + run;
    token->ascii = true;
    while (i < n) {
        char c = p[i];
        if (ms_json_is_digit(c)) {
            if (s->number == MS_JSON_N_ZERO) return ms_json_bad(s, i, off, MS_JSON_R_NUMBER);
            j = i + 1;
            if (s->number == MS_JSON_N_INT && c == '0') {
                s->number = MS_JSON_N_ZERO;
            } else {
                if (s->number == MS_JSON_N_INT) s->number = MS_JSON_N_DIGIT;
                else if (s->number == MS_JSON_N_POINT) s->number = MS_JSON_N_FRACTION;
                else if (s->number == MS_JSON_N_E || s->number == MS_JSON_N_SIGN) s->number = MS_JSON_N_EXPONENT;
                while (j < n && ms_json_is_digit(p[j])) j++;
            }
            if (j - i > s->max_digits - s->n_digits) {
                *off = i + (s->max_digits - s->n_digits);
                return MS_JSON_E_DIGITS;
            }
            s->n_digits += (uint32_t)(j - i);
            i = j;
            continue;
        }
        if (c == '.' && (s->number == MS_JSON_N_ZERO || s->number == MS_JSON_N_DIGIT)) {
            s->number = MS_JSON_N_POINT;
            s->is_float = true;
        } else if ((c == 'e' || c == 'E') && ms_json_number_is_whole(s) && s->number != MS_JSON_N_EXPONENT) {
            s->number = MS_JSON_N_E;
            s->is_float = true;
        } else if ((c == '+' || c == '-') && s->number == MS_JSON_N_E) {
            s->number = MS_JSON_N_SIGN;
        } else if (c == 'I' && s->number == MS_JSON_N_INT && s->allow_nan) {
            /* Only "-" was before it: a number never begins in this state with anything but a digit or "-". */
            s->state = MS_JSON_S_LITERAL;
            s->literal = MS_JSON_NEG_INF;
            s->n_literal = 1;
            *off = i;
            return MS_JSON_MORE;
        } else if (!ms_json_number_is_whole(s)) {
            return ms_json_bad(s, i, off, MS_JSON_R_NUMBER);
        } else {
            token->n = i - run;
            *off = i;
            ms_json_value_done(s, true);
            return MS_JSON_NUMBER;
        }
        i++;
    }
    *off = i;
    token->n = i - run;
    return i > run ? MS_JSON_NUMBER_PART : MS_JSON_MORE;
}

static inline const char *ms_json_spelling(unsigned literal) {
    static const char *const spelling[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    return spelling[literal];
}

/* The next token. MORE only when p[0..n) is used up. */
static inline ms_json_event ms_json_step(ms_json *s, const char *p, size_t n, size_t *off, ms_json_token *token) {
    size_t i = *off;
    ms_json_event event;
    while (i < n) {
        char c = p[i];
        switch (s->state) {
        case MS_JSON_S_STRING:
            event = ms_json_string(s, p, n, i, off, token, false);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case MS_JSON_S_NUMBER:
            event = ms_json_digits(s, p, n, i, off, token);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case MS_JSON_S_CHARACTER: {
            uint32_t need = (s->utf8 >> 16) & 0xFF;
            if ((unsigned char)c < ((s->utf8 >> 8) & 0xFF) || (unsigned char)c > (s->utf8 & 0xFF))
                return ms_json_bad(s, i, off, MS_JSON_R_UTF8);
            s->held[s->n_held++ & 3] = c;
            s->n_tail++;
            i++;
            if (need > 1) {
                s->utf8 = ms_utf8_pack((s->utf8 >> 24) + 1, need - 1, 0x80, 0xBF);
                continue;
            }
            s->utf8 = 0;
            s->state = MS_JSON_S_STRING;
            *off = i;
            return ms_json_text(token, s->held, s->n_held, false);
        }
        case MS_JSON_S_ESCAPE:
            switch (c) {
            case '"': case '\\': case '/': s->held[0] = c; break;
            case 'b': s->held[0] = '\b'; break;
            case 'f': s->held[0] = '\f'; break;
            case 'n': s->held[0] = '\n'; break;
            case 'r': s->held[0] = '\r'; break;
            case 't': s->held[0] = '\t'; break;
            case 'u':
                s->code = 0;
                s->n_hex = 0;
                s->state = MS_JSON_S_HEX;
                i++;
                continue;
            default: return ms_json_bad(s, i, off, MS_JSON_R_ESCAPE);
            }
            s->state = MS_JSON_S_STRING;
            *off = i + 1;
            return ms_json_text(token, s->held, 1, true);
        case MS_JSON_S_HEX: {
            char lower = (char)(c | 0x20);
            uint32_t digit;
            if (ms_json_is_digit(c)) digit = (uint32_t)(c - '0');
            else if (lower >= 'a' && lower <= 'f') digit = (uint32_t)(lower - 'a') + 10;
            else return ms_json_bad(s, i, off, MS_JSON_R_ESCAPE);
            if (s->n_hex == 3) {
                /* Checked before anything is changed, so that the error repeats if it is asked for again. */
                uint32_t code = s->code << 4 | digit;
                bool low = code >= 0xDC00 && code <= 0xDFFF;
                if (low != (s->high != 0)) return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
                i++;
                if (code >= 0xD800 && code <= 0xDBFF) {
                    s->high = code;
                    s->state = MS_JSON_S_LOW;
                    continue;
                }
                if (low) code = 0x10000 + ((s->high - 0xD800) << 10) + (code - 0xDC00);
                s->high = 0;
                s->n_held = ms_json_encode(code, s->held);
                s->state = MS_JSON_S_STRING;
                *off = i;
                return ms_json_text(token, s->held, s->n_held, code < 0x80);
            }
            s->code = s->code << 4 | digit;
            s->n_hex++;
            i++;
            continue;
        }
        case MS_JSON_S_LOW:
            if (c != '\\') return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
            s->state = MS_JSON_S_LOW_U;
            i++;
            continue;
        case MS_JSON_S_LOW_U:
            if (c != 'u') return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
            s->code = 0;
            s->n_hex = 0;
            s->state = MS_JSON_S_HEX;
            i++;
            continue;
        case MS_JSON_S_LITERAL: {
            const char *spelling = ms_json_spelling(s->literal);
            if (c != spelling[s->n_literal]) return ms_json_bad(s, i, off, MS_JSON_R_LITERAL);
            s->n_literal++;
            i++;
            if (spelling[s->n_literal]) continue;
            *off = i;
            token->n = s->literal;
            ms_json_value_done(s, true);
            return MS_JSON_LITERAL;
        }
        default: break;
        }
        if (c == ' ' || c == '\t' || c == '\r') {
            s->bare = false;
            i++;
            continue;
        }
        if (c == '\n') {
            s->bare = false;
            i++;
            s->line++;
            s->line_start = s->base + i;
            s->n_tail = 0;
            continue;
        }
        switch (s->state) {
        case MS_JSON_S_COLON:
            if (c != ':') return ms_json_bad(s, i, off, MS_JSON_R_COLON);
            s->state = MS_JSON_S_VALUE;
            i++;
            continue;
        case MS_JSON_S_COMMA:
            if (c == ',') {
                s->state = s->in_object ? MS_JSON_S_KEY : MS_JSON_S_VALUE;
                i++;
                continue;
            }
            if (c != (s->in_object ? '}' : ']')) return ms_json_bad(s, i, off, MS_JSON_R_COMMA);
            goto close;
        case MS_JSON_S_KEY_END:
            if (c == '}') goto close;
            /* fall through */
        case MS_JSON_S_KEY:
            if (c != '"') return ms_json_bad(s, i, off, MS_JSON_R_KEY);
            s->in_key = true;
            break;
        case MS_JSON_S_ITEM_END:
            if (c == ']') goto close;
            s->in_key = false;
            break;
        case MS_JSON_S_TRAILING:
            if (!s->multiple || (s->bare && c != '{' && c != '[' && c != '"'))
                return ms_json_bad(s, i, off, MS_JSON_R_TRAILING);
            /* Not before the value is known to begin: an error here leaves the last document complete. */
            s->in_key = false;
            break;
        default: s->in_key = false; break;
        }
        /* A value begins here, or a key. */
        switch (c) {
        case '"':
            s->start = s->base + i;
            s->state = MS_JSON_S_STRING;
            event = ms_json_string(s, p, n, i + 1, off, token, true);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case '{':
        case '[':
            *off = i;
            if (s->depth == s->max_depth) return MS_JSON_E_DEPTH;
            if (s->depth == s->capacity) return MS_JSON_GROW;
            s->start = s->base + i;
            s->in_object = c == '{';
            s->stack[s->depth++] = s->in_object;
            s->state = s->in_object ? MS_JSON_S_KEY_END : MS_JSON_S_ITEM_END;
            *off = i + 1;
            return s->in_object ? MS_JSON_OBJECT : MS_JSON_ARRAY;
        case 't': s->literal = MS_JSON_TRUE; break;
        case 'f': s->literal = MS_JSON_FALSE; break;
        case 'n': s->literal = MS_JSON_NULL; break;
        case 'N':
        case 'I':
            if (!s->allow_nan) return ms_json_bad(s, i, off, MS_JSON_R_VALUE);
            s->literal = c == 'N' ? MS_JSON_NAN : MS_JSON_INF;
            break;
        default:
            if (c != '-' && !ms_json_is_digit(c)) {
                bool trailing = s->state == MS_JSON_S_TRAILING;
                return ms_json_bad(s, i, off, trailing ? MS_JSON_R_TRAILING : MS_JSON_R_VALUE);
            }
            s->start = s->base + i;
            s->state = MS_JSON_S_NUMBER;
            s->number = MS_JSON_N_INT;
            s->n_digits = 0;
            s->is_float = false;
            event = ms_json_digits(s, p, n, i + (c == '-'), off, token);
            if (c == '-') {
                /* The sign belongs to the token. */
                if (event == MS_JSON_NUMBER || event == MS_JSON_NUMBER_PART) {
                    token->p--;
                    token->n++;
                } else if (event == MS_JSON_MORE && s->state == MS_JSON_S_NUMBER) {
                    token->p = p + i;
                    token->n = 1;
                    return MS_JSON_NUMBER_PART;
                }
            }
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        }
        s->start = s->base + i;
        s->n_literal = 1;
        s->state = MS_JSON_S_LITERAL;
        i++;
        continue;
    close:
        s->depth--;
        s->in_object = s->depth && s->stack[s->depth - 1];
        ms_json_value_done(s, false);
        *off = i + 1;
        return MS_JSON_END;
    }
    *off = n;
    return MS_JSON_MORE;
}

/* The end of the input: NUMBER (with no rest) if it ends one, then DONE; else E_INCOMPLETE. */
static inline ms_json_event ms_json_finish(ms_json *s, ms_json_token *token) {
    if (s->state == MS_JSON_S_NUMBER && s->depth == 0 && ms_json_number_is_whole(s)) {
        token->p = s->held;
        token->n = 0;
        token->ascii = true;
        ms_json_value_done(s, true);
        return MS_JSON_NUMBER;
    }
    if (s->state == MS_JSON_S_TRAILING || (s->multiple && s->state == MS_JSON_S_ROOT)) return MS_JSON_DONE;
    return MS_JSON_E_INCOMPLETE;
}

#endif
