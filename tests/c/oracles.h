/* oracles.h: what the kernels answer, found byte by byte. For test_kernels.c and for the fuzz targets.
 *
 * The UTF-8 oracle knows code points and arithmetic, and not the byte ranges of table 3-7.
 */
#ifndef ORACLES_H
#define ORACLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t naive_eol(const char *p, size_t n) {
    size_t i = 0;
    for (; i < n; i++)
        if (p[i] == '\r' || p[i] == '\n') return i;
    return n;
}

static inline int naive_ascii(const char *p, size_t n) {
    size_t i = 0;
    for (; i < n; i++)
        if ((unsigned char)p[i] > 0x7F) return 0;
    return 1;
}

static inline size_t naive_string(const char *p, size_t n) {
    size_t i = 0;
    for (; i < n; i++)
        if (p[i] == '"' || p[i] == '\\' || (unsigned char)p[i] < 32 || (unsigned char)p[i] > 127) return i;
    return n;
}

typedef struct {
    bool ok;
    size_t off;     /* of the first byte that cannot stand there, or n */
    size_t pending; /* bytes of the sequence that is unfinished there */
} utf8_verdict;

/* k bytes of a sequence fix the high bits of its code point; it can go on as long as one scalar value of its length
 * has those bits. */
static inline bool can_be(uint32_t high, unsigned missing, unsigned length) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t low = high << (6 * missing), top = low + ((UINT32_C(1) << (6 * missing)) - 1);
    return top >= least[length] && low <= 0x10FFFF && !(low >= 0xD800 && top <= 0xDFFF);
}

static inline utf8_verdict naive_utf8(const unsigned char *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        size_t start = i;
        unsigned c = p[i], length, k;
        uint32_t value;
        if (c < 0x80) {
            i++;
            continue;
        }
        length = c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
        value = c & (0x7Fu >> length);
        if (!length || !can_be(value, length - 1, length)) return (utf8_verdict){false, i, 0};
        for (k = 1, i++; k < length; k++, i++) {
            if (i == n) return (utf8_verdict){true, n, i - start};
            value = value << 6 | (p[i] & 0x3Fu);
            if (p[i] >> 6 != 2 || !can_be(value, length - k - 1, length)) return (utf8_verdict){false, i, i - start};
        }
    }
    return (utf8_verdict){true, n, 0};
}

#endif
