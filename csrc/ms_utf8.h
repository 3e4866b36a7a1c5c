/* ms_utf8.h: validate UTF-8, also when a sequence is cut anywhere.
 *
 * Contract: ms_utf8_check consumes p[0..n) and carries its state (0 at the start and between characters) from call to
 * call; MS_UTF8_OK, or MS_UTF8_BAD with *off at the first byte that cannot stand there. The ill-formed sequence began
 * ms_utf8_pending(state) bytes earlier, which may lie in an earlier call. At the end of input a state other than 0
 * means a sequence that was cut off. No allocation, no Python, no reads outside p[0..n).
 * Cost: 8 ASCII bytes per step, else one byte.
 * Source: Unicode 15 table 3-7 (well-formed UTF-8); the same maximal subparts as the Encoding Standard's decoder.
 */
#ifndef MS_UTF8_H
#define MS_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MS_UTF8_OK = 0, MS_UTF8_BAD = -1 };

/* state = seen << 24 | need << 16 | low << 8 | high: bytes of this sequence already seen, bytes still needed,
 * and the range allowed for the next one (narrower than 80..BF only for the second byte). */
static inline uint32_t ms_utf8_pack(uint32_t seen, uint32_t need, uint32_t low, uint32_t high) {
    return seen << 24 | need << 16 | low << 8 | high;
}

static inline uint32_t ms_utf8_pending(uint32_t state) { return state >> 24; }

static inline uint32_t ms_utf8_lead(unsigned char c) {
    if (c >= 0xC2 && c <= 0xDF) return ms_utf8_pack(1, 1, 0x80, 0xBF);
    if (c == 0xE0) return ms_utf8_pack(1, 2, 0xA0, 0xBF); /* no overlong form */
    if (c == 0xED) return ms_utf8_pack(1, 2, 0x80, 0x9F); /* no surrogates */
    if (c >= 0xE1 && c <= 0xEF) return ms_utf8_pack(1, 2, 0x80, 0xBF);
    if (c == 0xF0) return ms_utf8_pack(1, 3, 0x90, 0xBF); /* no overlong form */
    if (c >= 0xF1 && c <= 0xF3) return ms_utf8_pack(1, 3, 0x80, 0xBF);
    if (c == 0xF4) return ms_utf8_pack(1, 3, 0x80, 0x8F); /* nothing above U+10FFFF */
    return 0;
}

static inline int ms_utf8_check(uint32_t *state, const char *p, size_t n, size_t *off) {
    uint32_t s = *state;
    size_t i = 0;
    while (i < n) {
        unsigned char c = (unsigned char)p[i];
        if (s == 0) {
            if (n - i >= 8) {
                uint64_t word;
                memcpy(&word, p + i, 8);
                if (!(word & UINT64_C(0x8080808080808080))) {
                    i += 8;
                    continue;
                }
            }
            if (c >= 0x80 && (s = ms_utf8_lead(c)) == 0) goto bad;
        } else {
            uint32_t need = (s >> 16) & 0xFF;
            if (c < ((s >> 8) & 0xFF) || c > (s & 0xFF)) goto bad;
            s = need == 1 ? 0 : ms_utf8_pack((s >> 24) + 1, need - 1, 0x80, 0xBF);
        }
        i++;
    }
    *state = s;
    *off = n;
    return MS_UTF8_OK;
bad:
    *state = s;
    *off = i;
    return MS_UTF8_BAD;
}

#endif
