/* ms_num.h: the value of a JSON number whose grammar was already checked (ms_json.h does that).
 *
 * Contract: pure functions over p[0..n), which must be one whole JSON number. Each returns false when the number is
 * outside its fast path; the caller then uses its slow, general one. No allocation, no globals, no Python.
 * Cost: one pass over n bytes.
 * Source: RFC 8259 section 6; the fast path for doubles is W. D. Clinger's, "How to Read Floating Point Numbers
 * Accurately" (1990): a whole number below 2^53 and a power of ten up to 10^22 are exact doubles, so that one
 * multiplication or division of the two is correctly rounded.
 */
#ifndef MS_NUM_H
#define MS_NUM_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MS_NUM_INT64_DIGITS = 18, MS_NUM_EXACT_DIGITS = 15, MS_NUM_EXACT_POWER = 22 };

/* An integer of at most 18 digits. */
static inline bool ms_num_int64(const char *p, size_t n, int64_t *out) {
    size_t i = 0;
    int64_t v = 0;
    bool negative = n > 0 && p[0] == '-';
    if (negative) i = 1;
    if (n - i > MS_NUM_INT64_DIGITS) return false;
    for (; i < n; i++) v = v * 10 + (p[i] - '0');
    *out = negative ? -v : v;
    return true;
}

/* A number with a fraction or an exponent, if it has at most 15 digits and its power of ten is at most 10^22. */
static inline bool ms_num_double(const char *p, size_t n, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    size_t i = 0;
    int64_t v = 0;
    int digits = 0, power = 0, exponent = 0;
    bool negative = n > 0 && p[0] == '-', fraction = false;
    double d;
#if FLT_EVAL_METHOD != 0
    return false; /* x87 rounds twice */
#endif
    if (negative) i = 1;
    for (; i < n && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] == '.') {
            fraction = true;
            continue;
        }
        v = v * 10 + (p[i] - '0');
        if (v != 0 && ++digits > MS_NUM_EXACT_DIGITS) return false;
        if (fraction && --power < -2 * MS_NUM_EXACT_POWER) return false;
    }
    if (i < n) {
        bool minus = false;
        i++;
        if (p[i] == '+' || p[i] == '-') minus = p[i++] == '-';
        for (; i < n; i++) {
            exponent = exponent * 10 + (p[i] - '0');
            if (exponent > 1000) return false;
        }
        if (minus) exponent = -exponent;
    }
    power += exponent;
    if (power < -MS_NUM_EXACT_POWER || power > MS_NUM_EXACT_POWER) return false;
    d = (double)v;
    d = power < 0 ? d / powers[-power] : d * powers[power];
    *out = negative ? -d : d;
    return true;
}

#endif
