/* ms_json_string.h: the strings of the JSON machine: where they end, their escapes, their UTF-8.
 *
 * Theory of operation. A string that is whole in the chunk and has no escapes is a span of it. Any other is unescaped
 * into s->text, scanned and copied in one go, and stays there from chunk to chunk until its closing quote. What a cut
 * has broken apart (an escape, a character, a surrogate pair) is resumed byte by byte in states of its own.
 *
 * Contract: that of ms_json.h; writes s->text.p[s->text.n..s->text.cap) and asks for more with GROW_TEXT.
 * Source: RFC 8259 section 7; Unicode 15 table 3-7 (well-formed UTF-8).
 */
#ifndef MS_JSON_STRING_H
#define MS_JSON_STRING_H

#include "ms_json_state.h"
#include "ms_scan.h"
#include "ms_utf8.h"

enum { MS_JSON_CHARACTER_BYTES = 4, MS_JSON_BLOCK = 64, MS_JSON_STEP = 16, MS_JSON_SLACK = 3 + MS_JSON_STEP };

/* The length of the well-formed UTF-8 sequence at p[0..n), n > 0; 0 if it is ill-formed or cut off. */
static inline size_t ms_json_sequence(const char *p, size_t n) {
    uint32_t lead;
    size_t need, i;
    if (n >= 3) {
        /* Most are of three bytes; the bits of the first two that may not all be 0 (overlong) or D (surrogates). */
        uint32_t w = (uint32_t)(unsigned char)p[0] << 16 | (uint32_t)(unsigned char)p[1] << 8 | (unsigned char)p[2];
        uint32_t high = w & 0x0F2000;
        if ((w & 0xF0C0C0) == 0xE08080 && high != 0 && high != 0x0D2000) return 3;
    }
    lead = ms_utf8_lead((unsigned char)p[0]);
    need = (lead >> 16) & 0xFF;
    if (lead == 0 || n <= need) return 0;
    if ((unsigned char)p[1] < ((lead >> 8) & 0xFF) || (unsigned char)p[1] > (lead & 0xFF)) return 0;
    for (i = 2; i <= need; i++)
        if (((unsigned char)p[i] & 0xC0) != 0x80) return 0;
    return need + 1;
}

/* Code point c as UTF-8, which takes one to four bytes; how many. */
static inline size_t ms_json_encode(uint32_t c, char *out) {
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

/* What the escape \c stands for; 0 if it is none, or \u. */
static inline char ms_json_unescape(char c) {
    static const char table[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t',
    };
    return table[(unsigned char)c];
}

/* The value of a hexadecimal digit; 16 if it is none. */
static inline uint32_t ms_json_hex(char c) {
    char lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9') return (uint32_t)(c - '0');
    if (lower >= 'a' && lower <= 'f') return (uint32_t)(lower - 'a') + 10;
    return 16;
}

static inline uint32_t ms_json_pair(uint32_t high, uint32_t low) {
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* The value of four hexadecimal digits; more than FFFF if they are not. */
static inline uint32_t ms_json_hex4(const char *p) {
    uint32_t a = ms_json_hex(p[0]), b = ms_json_hex(p[1]), c = ms_json_hex(p[2]), d = ms_json_hex(p[3]);
    return (a | b | c | d) > 15 ? 0x10000 : a << 12 | b << 8 | c << 4 | d;
}

/* The code point of the escape at p, of which 12 bytes can be read, and its length; 0 if it is not well-formed. */
static inline size_t ms_json_escape(const char *p, uint32_t *code) {
    uint32_t low;
    *code = (unsigned char)ms_json_unescape(p[1]);
    if (*code) return 2;
    if (p[1] != 'u' || (*code = ms_json_hex4(p + 2)) > 0xFFFF) return 0;
    if (*code < 0xD800 || *code > 0xDFFF) return 6;
    if (*code > 0xDBFF || p[6] != '\\' || p[7] != 'u') return 0;
    low = ms_json_hex4(p + 8);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    *code = ms_json_pair(*code, low);
    return 12;
}

static inline ms_json_event ms_json_string_done(ms_json *s, size_t end, size_t *off) {
    *off = end;
    if (s->in_key) {
        s->state = MS_JSON_S_COLON;
        return MS_JSON_KEY;
    }
    ms_json_value_done(s, false);
    return MS_JSON_STRING;
}

/* The string whose first byte is p[i]. MORE: it is not plain and whole; its state is set, and nothing is consumed. */
static inline ms_json_event ms_json_string_begin(
    ms_json *s, const char *p, size_t n, size_t i, size_t *off, ms_json_token *token
) {
    size_t run = i, length, n_tail = 0;
    token->ascii = true;
    for (;;) {
        i += ms_scan_string(p + i, n - i);
        if (i < n && p[i] == '"') {
            token->p = p + run;
            token->n = i - run;
            s->n_tail += n_tail;
            return ms_json_string_done(s, i + 1, off);
        }
        if (i == n || (unsigned char)p[i] < 0x80) break;
        token->ascii = false;
        do { /* characters that are not ASCII come in groups */
            length = ms_json_sequence(p + i, n - i);
            if (length == 0) goto cut;
            n_tail += length - 1;
            i += length;
        } while (i < n && (unsigned char)p[i] >= 0x80);
    }
cut:
    s->state = MS_JSON_S_STRING;
    s->text.n = 0;
    s->ascii = true;
    *off = run;
    return MS_JSON_MORE;
}

/* The next 64 bytes of a string, p[*i..), or as many as are plain, escapes, or whole characters. At least MS_JSON_SLACK
 * more can be read, and as many written to out; the new end of out is returned.
 * All 64 are looked at before any is copied, so that one run does not wait for the end of the one before it. */
static inline char *ms_json_string_block(ms_json *s, const char *p, size_t n, size_t *i, char *out) {
    uint64_t hits = ms_scan_string_mask(p + *i);
    size_t from = 0, at, length, j; /* p[from..at) is to be copied */
    uint32_t code = 0;
    p += *i;
    n -= *i;
    for (;;) {
        at = hits ? ms_ctz64(hits) : MS_JSON_BLOCK;
        if (at < MS_JSON_BLOCK && (unsigned char)p[at] >= 0x80 && (length = ms_json_sequence(p + at, n - at)) != 0) {
            s->ascii = false;
            s->n_tail += length - 1;
            at += length;
            if (at < MS_JSON_BLOCK) {
                hits &= UINT64_MAX << at;
                continue;
            }
        }
        for (j = from; j < at; j += MS_JSON_STEP) memcpy(out + (j - from), p + j, MS_JSON_STEP);
        out += at - from;
        if (at >= MS_JSON_BLOCK || p[at] != '\\' || (length = ms_json_escape(p + at, &code)) == 0) break;
        if (code > 0x7F) s->ascii = false;
        out += ms_json_encode(code, out);
        at = from = at + length;
        if (at >= MS_JSON_BLOCK) break;
        hits &= UINT64_MAX << at;
    }
    *i += at;
    return out;
}

/* More of a string, in state STRING. MORE: the chunk is used up, or another state has to look at p[*off]. */
static inline ms_json_event ms_json_string(ms_json *s, const char *p, size_t n, size_t *off, ms_json_token *token) {
    size_t i = *off, room = s->text.cap - s->text.n, length;
    size_t limit = n - i <= room ? n : i + room; /* up to here it fits: no byte becomes more than one */
    char *out; /* a copy, which the compiler need not read again after each byte that is written */
    ms_json_event event = MS_JSON_MORE;
    if (s->text.cap == 0) return MS_JSON_GROW_TEXT;
    out = s->text.p + s->text.n;
    while (i < limit) {
        char c, plain;
        size_t block = i;
        while (limit - i >= MS_JSON_BLOCK + MS_JSON_SLACK) {
            out = ms_json_string_block(s, p, n, &i, out);
            if (i - block < MS_JSON_BLOCK) break;
            block = i;
        }
        length = ms_scan_string_copy(p + i, limit - i, out);
        out += length;
        i += length;
        if (i == limit) break;
        c = p[i];
        if (c == '\\') {
            plain = i + 1 < n ? ms_json_unescape(p[i + 1]) : (char)0;
            if (plain == 0) {
                s->state = MS_JSON_S_ESCAPE;
                i++;
                break;
            }
            *out++ = plain;
            i += 2;
        } else if (c == '"') {
            token->p = s->text.p;
            token->n = (size_t)(out - s->text.p);
            token->ascii = s->ascii;
            event = ms_json_string_done(s, i + 1, &i);
            break;
        } else if ((unsigned char)c < 0x20) {
            event = ms_json_bad(s, i, &i, MS_JSON_R_CONTROL);
            break;
        } else if (limit < n && limit - i < MS_JSON_CHARACTER_BYTES) {
            event = MS_JSON_GROW_TEXT;
            break;
        } else if ((length = ms_json_sequence(p + i, n - i)) != 0) {
            memcpy(out, p + i, length);
            out += length;
            i += length;
            s->ascii = false;
            s->n_tail += length - 1;
        } else {
            s->utf8 = ms_utf8_lead((unsigned char)c);
            if (s->utf8 == 0) {
                event = ms_json_bad(s, i, &i, MS_JSON_R_UTF8);
            } else {
                s->held[0] = c;
                s->n_held = 1;
                s->state = MS_JSON_S_CHARACTER;
                i++;
            }
            break;
        }
    }
    if (event == MS_JSON_MORE && s->state == MS_JSON_S_STRING && i < n) event = MS_JSON_GROW_TEXT;
    s->text.n = (size_t)(out - s->text.p);
    *off = i;
    return event;
}

/* One byte, in one of the states from CHARACTER to LOW_U. MORE: it is consumed. */
static inline ms_json_event ms_json_string_resume(ms_json *s, char c, size_t i, size_t *off) {
    uint32_t digit, code;
    if (s->text.cap - s->text.n < MS_JSON_CHARACTER_BYTES) return MS_JSON_GROW_TEXT;
    switch (s->state) {
    case MS_JSON_S_CHARACTER: {
        uint32_t need = (s->utf8 >> 16) & 0xFF;
        if ((unsigned char)c < ((s->utf8 >> 8) & 0xFF) || (unsigned char)c > (s->utf8 & 0xFF))
            return ms_json_bad(s, i, off, MS_JSON_R_UTF8);
        s->held[s->n_held++ & 3] = c;
        s->n_tail++;
        if (need > 1) {
            s->utf8 = ms_utf8_pack((s->utf8 >> 24) + 1, need - 1, 0x80, 0xBF);
            break;
        }
        memcpy(s->text.p + s->text.n, s->held, s->n_held);
        s->text.n += s->n_held;
        s->ascii = false;
        s->utf8 = 0;
        s->state = MS_JSON_S_STRING;
        break;
    }
    case MS_JSON_S_ESCAPE:
        if (c == 'u') {
            s->code = s->n_hex = 0;
            s->state = MS_JSON_S_HEX;
            break;
        }
        c = ms_json_unescape(c);
        if (c == 0) return ms_json_bad(s, i, off, MS_JSON_R_ESCAPE);
        s->text.p[s->text.n++] = c;
        s->state = MS_JSON_S_STRING;
        break;
    case MS_JSON_S_HEX:
        digit = ms_json_hex(c);
        if (digit > 15) return ms_json_bad(s, i, off, MS_JSON_R_HEX);
        code = s->code << 4 | digit;
        if (s->n_hex < 3) {
            s->code = code;
            s->n_hex++;
            break;
        }
        /* Checked before anything is changed, so that the error repeats if it is asked for again. */
        if ((code >= 0xDC00 && code <= 0xDFFF) != (s->high != 0)) return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
        if (code >= 0xD800 && code <= 0xDBFF) {
            s->high = code;
            s->state = MS_JSON_S_LOW;
            break;
        }
        if (s->high) code = ms_json_pair(s->high, code);
        if (code > 0x7F) s->ascii = false;
        s->text.n += ms_json_encode(code, s->text.p + s->text.n);
        s->high = 0;
        s->state = MS_JSON_S_STRING;
        break;
    case MS_JSON_S_LOW:
        if (c != '\\') return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
        s->state = MS_JSON_S_LOW_U;
        break;
    default: /* LOW_U */
        if (c != 'u') return ms_json_bad(s, i, off, MS_JSON_R_SURROGATE);
        s->code = s->n_hex = 0;
        s->state = MS_JSON_S_HEX;
        break;
    }
    *off = i + 1;
    return MS_JSON_MORE;
}

static inline bool ms_json_in_string(const ms_json *s) {
    return s->state >= MS_JSON_S_STRING && s->state <= MS_JSON_S_LOW_U && !s->in_key;
}

#endif
