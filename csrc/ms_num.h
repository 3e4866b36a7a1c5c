/* ms_num.h: the value of a JSON number whose grammar was already checked (ms_json.h does that).
 *
 * Contract: pure functions over p[0..n), which must be one whole JSON number. Each returns false when the number is
 * outside its fast path; the caller then uses its slow, general one. No allocation, no globals, no Python.
 * Cost: one pass over n bytes.
 * Source: RFC 8259 section 6; the first fast path for doubles is W. D. Clinger's, "How to Read Floating Point Numbers
 * Accurately" (1990): a whole number up to 2^53 and a power of ten up to 10^22 are exact doubles, so that one
 * multiplication or division of the two is correctly rounded. The second divides whole numbers, for the 16 or 17 digits
 * that a double prints as: the remainder tells how to round.
 */
#ifndef MS_NUM_H
#define MS_NUM_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MS_NUM_INT64_DIGITS = 18, MS_NUM_UINT64_DIGITS = 19, MS_NUM_EXACT_POWER = 22, MS_NUM_DIVIDE_POWER = 19 };

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

#ifdef __SIZEOF_INT128__
#define MS_NUM_DIVIDES 1

/* v / 10^k, correctly rounded, for v > 0 and k from 1 to 19. */
static inline double ms_num_divide(uint64_t v, int k) {
    static const uint64_t powers[] = {
        1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u,
        100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u,
        100000000000000000u, 1000000000000000000u, 10000000000000000000u,
    };
    /* Both with their highest bit in place, so that their quotient q / 2^55 is from 1/2 to 2. */
    int up = __builtin_clzll(v), down = __builtin_clzll(powers[k]);
    uint64_t divisor = powers[k] << down, q, half, bits;
    unsigned __int128 dividend = (unsigned __int128)(v << up) << 55;
    bool inexact;
    int drop, exponent;
    double d;
    q = (uint64_t)(dividend / divisor);
    inexact = dividend % divisor != 0;
    drop = q >> 55 ? 3 : 2; /* all but 53 bits */
    half = (uint64_t)1 << (drop - 1);
    bits = q >> drop;
    q &= 2 * half - 1;
    if (q > half || (q == half && (inexact || (bits & 1)))) bits++; /* 2^53 is a double, too */
    exponent = drop - 55 - up + down;
    q = (uint64_t)(exponent + 1023) << 52;
    memcpy(&d, &q, sizeof(d));
    return (double)bits * d;
}
#endif

/* A number with a fraction or an exponent, if it has at most 19 digits and its power of ten is small. */
static inline bool ms_num_double(const char *p, size_t n, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    size_t i = 0;
    uint64_t v = 0;
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
        /* Counted before v grows: the twentieth digit could make it 2^64, which is 0. */
        if ((v != 0 || p[i] != '0') && ++digits > MS_NUM_UINT64_DIGITS) return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
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
    if (v <= (uint64_t)1 << DBL_MANT_DIG) {
        if (power < -MS_NUM_EXACT_POWER || power > MS_NUM_EXACT_POWER) return false;
        d = (double)v;
        d = power < 0 ? d / powers[-power] : d * powers[power];
    } else {
#ifdef MS_NUM_DIVIDES
        if (power >= 0 || power < -MS_NUM_DIVIDE_POWER) return false;
        d = ms_num_divide(v, -power);
#else
        return false;
#endif
    }
    *out = negative ? -d : d;
    return true;
}

#endif
