/* ms_sse.h: bytes -> lines -> fields of a server-sent event stream.
 *
 * Theory of operation. A stream is an optional BOM, then lines. ms_sse_bom eats the BOM, ms_sse_line gives one complete
 * line after another, ms_sse_field says what a line is. Assembling fields into events needs memory and is the
 * caller's work (core/_sse.pyx); so is a line cut by the end of a chunk: ms_sse_line then leaves *off at its first byte
 * and returns MS_SSE_MORE. The only state is one byte each for the BOM and for "a CR ended the last line": the line is
 * given at the CR at once, and an LF that follows, perhaps chunks later, is swallowed.
 *
 * Contract: reads only p[*off..n), writes only through its pointers; no allocation, no globals, no Python.
 * Cost: one scan of each line (ms_scan.h) and a switch on its first byte.
 * Source: WHATWG HTML 9.2.5 (grammar) and 9.2.6 (interpretation).
 */
#ifndef MS_SSE_H
#define MS_SSE_H

#include "ms_scan.h"

#include <stdbool.h>
#include <string.h>

typedef struct {
    const char *p;
    size_t n;
} ms_span;

typedef struct {
    uint8_t bom;      /* bytes of the BOM seen so far; MS_SSE_BOM_DONE when it is settled */
    uint8_t after_cr; /* the last line ended with CR: swallow one LF */
} ms_sse_state;

enum { MS_SSE_BOM_DONE = 4 };
enum { MS_SSE_MORE = 0, MS_SSE_LINE = 1 };

typedef enum {
    MS_SSE_BLANK,
    MS_SSE_COMMENT,
    MS_SSE_DATA,
    MS_SSE_EVENT,
    MS_SSE_ID,
    MS_SSE_RETRY,
    MS_SSE_UNKNOWN
} ms_sse_kind;

/* "Strip one leading BOM", also if it is cut. Advances *off past the BOM bytes it matched. Returns true when settled.
 * When settled with 0 < *held < 3, that many bytes EF [BB] seen in earlier calls were not a BOM after all, and belong
 * in front of p[*off]. */
static inline bool ms_sse_bom(ms_sse_state *s, const char *p, size_t n, size_t *off, unsigned *held) {
    static const unsigned char bom[3] = {0xEF, 0xBB, 0xBF};
    *held = 0;
    while (s->bom < 3) {
        if (*off == n) return false;
        if ((unsigned char)p[*off] != bom[s->bom]) {
            *held = s->bom;
            break;
        }
        s->bom++;
        (*off)++;
    }
    s->bom = MS_SSE_BOM_DONE;
    return true;
}

/* The next complete line of p[*off..n), without its terminator; *off moves behind it. */
static inline int ms_sse_line(ms_sse_state *s, const char *p, size_t n, size_t *off, ms_span *line) {
    size_t i = *off, end;
    if (i < n && s->after_cr) {
        s->after_cr = 0;
        if (p[i] == '\n') *off = ++i;
    }
    end = i + ms_scan_eol(p + i, n - i);
    if (end == n) return MS_SSE_MORE;
    line->p = p + i;
    line->n = end - i;
    if (p[end++] == '\r') {
        if (end == n) s->after_cr = 1;
        else if (p[end] == '\n') end++;
    }
    *off = end;
    return MS_SSE_LINE;
}

static inline bool ms_sse_is(const char *name, size_t n, const char *p, size_t end) {
    return n == end && memcmp(name, p, n) == 0;
}

/* "If the line contains a U+003A COLON character (:): collect the characters before it as field, those after it as
 * value. If value starts with a U+0020 SPACE character, remove it. Otherwise use the whole line as the field name, and
 * the empty string as the field value." Names are compared by byte: they are case-sensitive. */
static inline ms_sse_kind ms_sse_field(ms_span line, ms_span *value) {
    const char *p = line.p;
    const char *colon;
    size_t name;
    if (line.n == 0) return MS_SSE_BLANK;
    if (p[0] == ':') return MS_SSE_COMMENT;
    /* Nearly every line of an AI stream: decided without a search. */
    if (line.n >= 6 && memcmp(p, "data: ", 6) == 0) {
        value->p = p + 6;
        value->n = line.n - 6;
        return MS_SSE_DATA;
    }
    colon = (const char *)memchr(p, ':', line.n);
    name = colon ? (size_t)(colon - p) : line.n;
    value->p = colon ? colon + 1 : p + line.n;
    value->n = colon ? line.n - name - 1 : 0;
    if (value->n > 0 && value->p[0] == ' ') {
        value->p++;
        value->n--;
    }
    if (ms_sse_is("data", 4, p, name)) return MS_SSE_DATA;
    if (ms_sse_is("event", 5, p, name)) return MS_SSE_EVENT;
    if (ms_sse_is("id", 2, p, name)) return MS_SSE_ID;
    if (ms_sse_is("retry", 5, p, name)) return MS_SSE_RETRY;
    return MS_SSE_UNKNOWN;
}

/* "If the field value consists of only ASCII digits, then interpret the field value as an integer in base ten."
 * False for anything else, and for no digits at all. The standard sets no bound; values above `max` become `max`. */
static inline bool ms_sse_retry(ms_span value, uint64_t max, uint64_t *out) {
    uint64_t v = 0;
    size_t i;
    if (value.n == 0) return false;
    for (i = 0; i < value.n; i++) {
        unsigned d = (unsigned)((unsigned char)value.p[i]) - '0';
        if (d > 9) return false;
        if (v <= max) v = v * 10 + d; /* max is far below 2^60: cannot wrap */
    }
    *out = v < max ? v : max;
    return true;
}

#endif
