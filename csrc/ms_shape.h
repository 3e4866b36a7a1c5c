/* ms_shape.h: match a frame of a stream against a shape, without building anything.
 *
 * Theory of operation. A frame is an event of a stream with its line ends. Consecutive frames repeat each other but for
 * some tokens. A shape is such a frame cut at these tokens: literals L0 .. Lk, and between them holes of a kind. A frame
 * matches if it is L0 U1 L1 .. Uk Lk with the same literals, and each U is one token of its hole's kind. A token ends
 * where the literal behind it begins with the byte that ended the token in the shape, so the cut is the only one.
 * Holes take a subset of what JSON allows: what matches is valid if the frame was that the shape was made of.
 *
 * Holes that are cold (an id, a time stamp) seldom change. A shape has two lists of literals over the same bytes: in the
 * tight one cold holes are part of the literals. The bytes are the frame without the tokens of the other holes.
 *
 * Contract: reads p[0..n) only; no allocation, no globals, no Python. MORE means that all of p[0..n) fits so far and the
 * frame is not complete; it is never said once a reader of lines would have ended the event (the CR of a last CRLF).
 * Cost: a memcmp for each literal, a scan (ms_scan.h) of each hole.
 * Source: SHAPES.md sections 2 to 4; RFC 8259 sections 6 and 7. How a shape is made: ms_shape_make.h.
 */
#ifndef MS_SHAPE_H
#define MS_SHAPE_H

#include "ms_json_string.h"

enum { MS_SHAPE_HOLES = 24 };
enum { MS_SHAPE_MISS = 0, MS_SHAPE_HIT = 1, MS_SHAPE_MORE = 2 };

/* What a hole takes. A string's token is what stands between its quotes. */
typedef enum {
    MS_SHAPE_PAYLOAD, /* a string that is not empty: the answer */
    MS_SHAPE_ECHO,    /* the bytes of the payload once more */
    MS_SHAPE_STRING,
    MS_SHAPE_NUMBER,
    MS_SHAPE_SPACES   /* any number of spaces, none too */
} ms_shape_kind;

typedef struct {
    uint16_t off[MS_SHAPE_HOLES + 1], len[MS_SHAPE_HOLES + 1]; /* the literals, in the bytes of the shape */
    uint8_t hole[MS_SHAPE_HOLES];
    uint8_t n; /* holes */
} ms_shape_list;

typedef struct {
    ms_shape_list tight, loose;
    uint32_t cold; /* a bit for each hole of `loose` that is cold */
    uint32_t n_bytes;
} ms_shape;

/* A token that was found: where it is in the frame. */
typedef struct {
    size_t start, end;
    uint8_t kind;
    bool cold;
} ms_shape_cut;

typedef struct {
    const char *p; /* between the quotes */
    size_t n;
    bool escaped, wide; /* whether it has escapes; bytes above 7F */
} ms_shape_text;

/* Whether p[0..n), n > 0 bytes after a backslash's own, can be the beginning of an escape: its length with the
 * backslash, 0 if it cannot, 1 if it is cut off. `p` is at the backslash. */
static inline size_t ms_shape_escape(const char *p, size_t n) {
    uint32_t code = 0, digit;
    size_t i;
    if (n < 2) return 1;
    if (ms_json_unescape(p[1])) return 2;
    if (p[1] != 'u') return 0;
    for (i = 2; i < 6; i++) {
        if (i == n) return 1;
        if ((digit = ms_json_hex(p[i])) > 15) return 0;
        code = code << 4 | digit;
    }
    if (code < 0xD800 || code > 0xDFFF) return 6;
    if (code > 0xDBFF) return 0;
    if (n == 6) return 1;
    if (p[6] != '\\') return 0;
    if (n == 7) return 1;
    if (p[7] != 'u') return 0;
    for (i = 8, code = 0; i < 12; i++) {
        if (i == n) return 1;
        if ((digit = ms_json_hex(p[i])) > 15) return 0;
        code = code << 4 | digit;
    }
    return code >= 0xDC00 && code <= 0xDFFF ? 12 : 0;
}

/* The rest of a string that begins at p[begin], from p[at], where its first plain run has ended. */
static int ms_shape_string_on(const char *p, size_t n, size_t begin, size_t at, size_t *i, ms_shape_text *text) {
    size_t length;
    for (;; at += ms_scan_string(p + at, n - at)) {
        if (at == n) return MS_SHAPE_MORE;
        if (p[at] == '"') break;
        if (p[at] == '\\') {
            length = ms_shape_escape(p + at, n - at);
            if (length < 2) return length ? MS_SHAPE_MORE : MS_SHAPE_MISS;
            text->escaped = true;
            at += length;
        } else if ((unsigned char)p[at] < 0x20) {
            return MS_SHAPE_MISS;
        } else {
            text->wide = true;
            do {
                length = ms_json_sequence(p + at, n - at);
                if (length == 0) {
                    size_t k = at + 1;
                    while (k < n && k < at + 4 && (unsigned char)p[k] >= 0x80) k++;
                    return k == n && k < at + 4 ? MS_SHAPE_MORE : MS_SHAPE_MISS; /* ill-formed, or cut off */
                }
                at += length;
            } while (at < n && (unsigned char)p[at] >= 0x80);
        }
    }
    text->n = at - begin;
    *i = at;
    return MS_SHAPE_HIT;
}

/* From p[*i], inside a string, to its closing quote. Most strings are one plain run: that much is inline. */
static inline int ms_shape_string(const char *p, size_t n, size_t *i, ms_shape_text *text) {
    size_t begin = *i, at = begin + ms_scan_string(p + begin, n - begin);
    text->p = p + begin;
    text->escaped = text->wide = false;
    if (at == n || p[at] != '"') return ms_shape_string_on(p, n, begin, at, i, text);
    text->n = at - begin;
    *i = at;
    return MS_SHAPE_HIT;
}

/* Past up to `max` digits, at least one. */
static inline int ms_shape_digits(const char *p, size_t n, size_t *i, size_t max) {
    size_t at = *i, end = at + max;
    while (at < n && at < end && (unsigned)(unsigned char)p[at] - '0' <= 9) at++;
    if (at == n) return MS_SHAPE_MORE;
    if (at == *i || (unsigned)(unsigned char)p[at] - '0' <= 9) return MS_SHAPE_MISS;
    *i = at;
    return MS_SHAPE_HIT;
}

/* A number that every reader takes: at most 18 integer digits, 32 of the fraction, 2 of the exponent. */
static inline int ms_shape_number(const char *p, size_t n, size_t *i) {
    size_t at = *i;
    int found;
    if (at < n && p[at] == '-') at++;
    if (at == n) return MS_SHAPE_MORE;
    found = ms_shape_digits(p, n, &at, p[at] == '0' ? 1 : 18);
    if (found == MS_SHAPE_HIT && p[at] == '.') {
        at++;
        found = ms_shape_digits(p, n, &at, 32);
    }
    if (found == MS_SHAPE_HIT && (p[at] | 0x20) == 'e') {
        if (++at < n && (p[at] == '+' || p[at] == '-')) at++;
        found = ms_shape_digits(p, n, &at, 2);
    }
    *i = at;
    return found;
}

/* Match the frame at p. HIT: *end is behind it, and `text` its payload; its tokens are in `cuts` unless that is NULL. */
static inline int ms_shape_match(
    const ms_shape_list *list, const char *bytes, const char *p, size_t n, size_t *end, ms_shape_text *text,
    ms_shape_cut *cuts
) {
    size_t i = 0, k, start, length;
    int found = MS_SHAPE_HIT;
    ms_shape_text other;
    for (k = 0;; k++) {
        const char *literal = bytes + list->off[k];
        length = list->len[k];
        if (n - i < length) {
            if (memcmp(p + i, literal, n - i) != 0) return MS_SHAPE_MISS;
            /* The CR ends the event, for a reader of lines: the LF that is still to come does not. */
            if (k == list->n && n - i == length - 1 && length > 1 && literal[length - 2] == '\r') return MS_SHAPE_MISS;
            return MS_SHAPE_MORE;
        }
        if (memcmp(p + i, literal, length) != 0) return MS_SHAPE_MISS;
        i += length;
        if (k == list->n) break;
        start = i;
        switch (list->hole[k]) {
        case MS_SHAPE_PAYLOAD:
            found = ms_shape_string(p, n, &i, text);
            if (found == MS_SHAPE_HIT && text->n == 0) return MS_SHAPE_MISS;
            break;
        case MS_SHAPE_ECHO:
            if (n - i < text->n) return memcmp(p + i, text->p, n - i) == 0 ? MS_SHAPE_MORE : MS_SHAPE_MISS;
            if (memcmp(p + i, text->p, text->n) != 0) return MS_SHAPE_MISS;
            i += text->n;
            break;
        case MS_SHAPE_STRING:
            found = ms_shape_string(p, n, &i, &other);
            break;
        case MS_SHAPE_NUMBER:
            found = ms_shape_number(p, n, &i);
            break;
        default:
            while (i < n && p[i] == ' ') i++;
            break;
        }
        if (found != MS_SHAPE_HIT) return found;
        if (cuts) {
            cuts[k].start = start;
            cuts[k].end = i;
        }
    }
    *end = i;
    return MS_SHAPE_HIT;
}

/* The text of a payload with escapes, as UTF-8, to out[0..text->n): how many bytes. Sets text->wide if any is above 7F.
 * The text is one that ms_shape_string found. */
static inline size_t ms_shape_unescape(ms_shape_text *text, char *out) {
    const char *p = text->p, *end = p + text->n;
    char *begin = out;
    uint32_t code = 0;
    for (;;) {
        const char *at = (const char *)memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((at ? at : end) - p);
        memcpy(out, p, run);
        out += run;
        if (at == NULL) break;
        p = at + ms_json_escape(at, &code); /* reads only what it takes, as the string is well-formed */
        if (code > 0x7F) text->wide = true;
        out += ms_json_encode(code, out);
    }
    return (size_t)(out - begin);
}

#endif
