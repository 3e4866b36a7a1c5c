/* ms_json.h: bytes -> JSON tokens, resumable at every byte.
 *
 * Theory of operation. One switch over `state`, which is named for what comes next; strings and numbers have files of
 * their own. A token that lies whole in the chunk is given as a span of it; s->text keeps what is known of one that is
 * cut, and a string with escapes. The memory of the stack and of the text is the caller's (core/_json.pyx): GROW_STACK
 * and GROW_TEXT ask for more. All that is known before a bad byte is given before the error, and the error stands at
 * the first byte that no continuation can mend: both are therefore the same under all cuts.
 *
 * Contract: reads only p[*off..n), writes only through its pointers; no allocation, recursion, globals or Python.
 * Cost: each byte is looked at once, of a string with escapes its beginning twice; plain runs 16 bytes per step.
 * Source: RFC 8259, strictly. Change with this file: kernels.pxd, REASONS in core/_json_value.pxd.
 */
#ifndef MS_JSON_H
#define MS_JSON_H

#include "ms_json_number.h"
#include "ms_json_state.h"
#include "ms_json_string.h"

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
            *off = i;
            event = ms_json_string(s, p, n, off, token);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case MS_JSON_S_NUMBER:
            event = ms_json_digits(s, p, n, i, off, token);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case MS_JSON_S_CHARACTER:
        case MS_JSON_S_ESCAPE:
        case MS_JSON_S_HEX:
        case MS_JSON_S_LOW:
        case MS_JSON_S_LOW_U:
            *off = i;
            event = ms_json_string_resume(s, c, i, off);
            if (event != MS_JSON_MORE) return event;
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
            event = ms_json_string_begin(s, p, n, i + 1, off, token);
            if (event != MS_JSON_MORE) return event;
            i = *off;
            continue;
        case '{':
        case '[':
            *off = i;
            if (s->depth == s->max_depth) return MS_JSON_E_DEPTH;
            if (s->depth == s->stack.cap) return MS_JSON_GROW_STACK;
            s->start = s->base + i;
            s->in_object = c == '{';
            s->stack.p[s->depth++] = s->in_object;
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
            event = ms_json_number_begin(s, p, n, i, off, token);
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
        s->in_object = s->depth && s->stack.p[s->depth - 1];
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
        token->p = s->text.p;
        token->n = 0;
        token->ascii = true;
        ms_json_value_done(s, true);
        return MS_JSON_NUMBER;
    }
    if (s->state == MS_JSON_S_TRAILING || (s->multiple && s->state == MS_JSON_S_ROOT)) return MS_JSON_DONE;
    return MS_JSON_E_INCOMPLETE;
}

#endif
