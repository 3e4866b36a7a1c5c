/* ms_json_number.h: the numbers of the JSON machine: where they end, and their grammar. Their value: ms_num.h.
 *
 * Theory of operation. A number ends where something follows that cannot continue it; until then it is not known. One
 * that is whole in the chunk is a span of it; of one that is cut, each piece is given as NUMBER_PART, and the rest,
 * perhaps empty, as NUMBER: the pieces belong into s->text, which is empty when a number begins.
 *
 * Contract: that of ms_json.h. Source: RFC 8259 section 6.
 */
#ifndef MS_JSON_NUMBER_H
#define MS_JSON_NUMBER_H

#include "ms_json_state.h"

static inline bool ms_json_number_is_whole(const ms_json *s) {
    return s->number == MS_JSON_N_ZERO || s->number == MS_JSON_N_DIGIT || s->number == MS_JSON_N_FRACTION ||
           s->number == MS_JSON_N_EXPONENT;
}

static inline bool ms_json_is_digit(char c) { return c >= '0' && c <= '9'; }

/* More of a number, in state NUMBER. MORE: it is a literal now (-Infinity), or p[i..n) was empty. */
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

/* The number whose first byte is p[i]: a digit or a minus sign. */
static inline ms_json_event ms_json_number_begin(
    ms_json *s, const char *p, size_t n, size_t i, size_t *off, ms_json_token *token
) {
    ms_json_event event;
    s->state = MS_JSON_S_NUMBER;
    s->number = MS_JSON_N_INT;
    s->text.n = 0;
    s->n_digits = 0;
    s->is_float = false;
    if (p[i] != '-') return ms_json_digits(s, p, n, i, off, token);
    event = ms_json_digits(s, p, n, i + 1, off, token);
    /* The sign belongs to the token. */
    if (event == MS_JSON_NUMBER || event == MS_JSON_NUMBER_PART) {
        token->p--;
        token->n++;
    } else if (event == MS_JSON_MORE && s->state == MS_JSON_S_NUMBER) {
        token->p = p + i;
        token->n = 1;
        return MS_JSON_NUMBER_PART;
    }
    return event;
}

#endif
