/* fuzz_num.c: the values of numbers, against strtod and strtoll; how a buffer grows.
 *
 * The input is read three ways: its longest beginning that is a JSON number; its first eight bytes as a double, printed
 * with 15 to 17 digits; its first sixteen as a capacity and a need. */
#include "fuzz.h"
#include "ms_grow.h"
#include "ms_num.h"

#include <errno.h>
#include <math.h>

static bool digit(const char *p, size_t n, size_t i) { return i < n && p[i] >= '0' && p[i] <= '9'; }

/* The length of the longest JSON number at the beginning, or 0. */
static size_t number(const char *p, size_t n, bool *is_float) {
    size_t i = n > 0 && p[0] == '-', j;
    *is_float = false;
    if (!digit(p, n, i)) return 0;
    if (p[i] == '0') i++;
    else while (digit(p, n, i)) i++;
    if (i < n && p[i] == '.' && digit(p, n, i + 1)) {
        *is_float = true;
        for (i++; digit(p, n, i);) i++;
    }
    if (i < n && (p[i] == 'e' || p[i] == 'E')) {
        j = i + 1;
        if (j < n && (p[j] == '+' || p[j] == '-')) j++;
        if (digit(p, n, j)) {
            *is_float = true;
            for (i = j; digit(p, n, i);) i++;
        }
    }
    return i;
}

static void check(const char *text, size_t n, bool is_float) {
    char *exact = fuzz_copy(text, n), *ended = malloc(n + 1);
    int64_t whole = 77;
    double d = 77, want;
    CHECK(ended != NULL);
    memcpy(ended, text, n);
    ended[n] = 0;
    if (!is_float) {
        bool ok = ms_num_int64(exact, n, &whole);
        CHECK(ok == (n - (text[0] == '-') <= 18));
        errno = 0;
        CHECK(ok ? whole == strtoll(ended, NULL, 10) && errno == 0 : whole == 77);
    }
    if (ms_num_double(exact, n, &d)) {
        want = strtod(ended, NULL);
        CHECK(isfinite(d) && memcmp(&d, &want, sizeof d) == 0); /* -0.0 is not 0.0 */
    } else {
        CHECK(d == 77);
    }
    free(ended);
    fuzz_give(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char text[64];
    bool is_float;
    size_t length;
    uint64_t cap, need;
    double d;
    if (n > 1 << 12) return 0;
    if ((length = number((const char *)data, n, &is_float)) != 0) check((const char *)data, length, is_float);
    if (n < 16) return 0;
    memcpy(&d, data, 8);
    if (isfinite(d)) {
        static const char *const formats[] = {"%.15g", "%.16g", "%.17g", "%.3e", "%.2f"};
        int k;
        for (k = 0; k < 5; k++) {
            int size = snprintf(text, sizeof text, formats[k], d);
            if (size > 0 && (size_t)size < sizeof text && number(text, (size_t)size, &is_float) == (size_t)size)
                check(text, (size_t)size, is_float);
        }
    }
    memcpy(&cap, data, 8);
    memcpy(&need, data + 8, 8);
    cap >>= data[0] & 63;
    need >>= data[8] & 63;
    length = ms_grow((size_t)cap, (size_t)need);
    if (need <= cap) CHECK(length == cap);
    else CHECK(length == 0 ? need > SIZE_MAX / 4 : length >= need && (length == 256 || length / 2 < need));
    return 0;
}
