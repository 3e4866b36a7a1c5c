/* ms_scan.h: find the end of a line, or of a plain run in a JSON string (and copy it); tell whether all is ASCII.
 *
 * Contract: pure functions over (p, n); never read outside p[0..n); no state, no allocation, no Python.
 * Cost: one pass, 16 bytes per step with SSE2 or NEON; the scalar kernel is always compiled and gives the same
 * answer (tests/c/test_kernels.c holds both together). Define MS_SCAN_SCALAR to force it.
 * Lines end at CR, LF or CRLF and at nothing else. Source: WHATWG HTML 9.2.5 (end-of-line).
 */
#ifndef MS_SCAN_H
#define MS_SCAN_H

#include <stddef.h>
#include <stdint.h>

#if defined(MS_SCAN_SCALAR)
#elif defined(__SSE2__) || defined(_M_X64)
#  define MS_SCAN_SSE2 1
#  include <emmintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#  define MS_SCAN_NEON 1
#  include <arm_neon.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#  include <intrin.h>
static inline unsigned ms_ctz64(uint64_t x) {
    unsigned long i;
    _BitScanForward64(&i, x);
    return (unsigned)i;
}
#else
static inline unsigned ms_ctz64(uint64_t x) { return (unsigned)__builtin_ctzll(x); }
#endif

/* Index of the first CR or LF in p[i..n), or n. */
static inline size_t ms_scan_eol_scalar(const char *p, size_t n, size_t i) {
    while (i < n && p[i] != '\n' && p[i] != '\r') i++;
    return i;
}

/* Whether p[i..n) has no byte above 7F. */
static inline int ms_scan_is_ascii_scalar(const char *p, size_t n, size_t i) {
    unsigned char high = 0;
    for (; i < n; i++) high |= (unsigned char)p[i];
    return high < 0x80;
}

/* Index of the first byte of p[i..n) that a JSON string may not hold as it stands, or that is not ASCII: below 0x20,
 * quote, backslash, 0x80 and above; or n. */
static inline size_t ms_scan_string_scalar(const char *p, size_t n, size_t i) {
    while (i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x80 && p[i] != '"' && p[i] != '\\') i++;
    return i;
}

/* The same, and p[i..result) is copied to out[i..result). Bytes of out behind that, up to out[n), may be overwritten. */
static inline size_t ms_scan_string_copy_scalar(const char *p, size_t n, size_t i, char *out) {
    for (; i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x80 && p[i] != '"' && p[i] != '\\'; i++)
        out[i] = p[i];
    return i;
}

/* A bit for each byte of p[0..64) that ends a plain run, the first byte in the lowest. */
static inline uint64_t ms_scan_string_mask_scalar(const char *p) {
    uint64_t mask = 0;
    size_t i;
    for (i = 0; i < 64; i++)
        mask |= (uint64_t)((unsigned char)p[i] < 0x20 || (unsigned char)p[i] >= 0x80 || p[i] == '"' || p[i] == '\\') << i;
    return mask;
}

#if defined(MS_SCAN_SSE2)

/* FF where a byte of v ends a plain run. */
static inline __m128i ms_scan_string_hit(__m128i v) {
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    /* Signed: one comparison finds both what is below 0x20 and what is above 0x7F. */
    return _mm_or_si128(_mm_cmplt_epi8(v, space), _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, escape)));
}

static inline size_t ms_scan_string(const char *p, size_t n) {
    const __m128i *from = (const __m128i *)(const void *)p;
    size_t i = 0;
    unsigned mask;
    if (n < 16) return ms_scan_string_scalar(p, n, 0);
    mask = (unsigned)_mm_movemask_epi8(ms_scan_string_hit(_mm_loadu_si128(from)));
    if (mask) return ms_ctz64(mask); /* most strings are short */
    i = 16;
    from++;
    /* Long texts: 64 bytes for one branch. */
    for (; n - i >= 64; i += 64, from += 4) {
        __m128i a = ms_scan_string_hit(_mm_loadu_si128(from)), b = ms_scan_string_hit(_mm_loadu_si128(from + 1));
        __m128i c = ms_scan_string_hit(_mm_loadu_si128(from + 2)), d = ms_scan_string_hit(_mm_loadu_si128(from + 3));
        if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)))) break;
    }
    for (; n - i >= 16; i += 16, from++) {
        mask = (unsigned)_mm_movemask_epi8(ms_scan_string_hit(_mm_loadu_si128(from)));
        if (mask) return i + ms_ctz64(mask);
    }
    return ms_scan_string_scalar(p, n, i);
}

static inline uint64_t ms_scan_string_mask(const char *p) {
    const __m128i *from = (const __m128i *)(const void *)p;
    uint64_t mask = 0;
    unsigned k;
    for (k = 0; k < 4; k++)
        mask |= (uint64_t)(unsigned)_mm_movemask_epi8(ms_scan_string_hit(_mm_loadu_si128(from + k))) << (16 * k);
    return mask;
}

static inline size_t ms_scan_string_copy(const char *p, size_t n, char *out) {
    const __m128i *from = (const __m128i *)(const void *)p;
    __m128i *to = (__m128i *)(void *)out;
    size_t i = 0;
    for (; n - i >= 16; i += 16, from++, to++) {
        __m128i v = _mm_loadu_si128(from);
        unsigned mask = (unsigned)_mm_movemask_epi8(ms_scan_string_hit(v));
        _mm_storeu_si128(to, v);
        if (mask) return i + ms_ctz64(mask);
    }
    return ms_scan_string_copy_scalar(p, n, i, out);
}

static inline int ms_scan_is_ascii(const char *p, size_t n) {
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + i + 16));
        if (_mm_movemask_epi8(_mm_or_si128(a, b))) return 0;
    }
    return ms_scan_is_ascii_scalar(p, n, i);
}

static inline size_t ms_scan_eol(const char *p, size_t n) {
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, cr));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask) return i + ms_ctz64(mask);
    }
    return ms_scan_eol_scalar(p, n, i);
}

#elif defined(MS_SCAN_NEON)

static inline size_t ms_scan_string(const char *p, size_t n) {
    const uint8x16_t quote = vdupq_n_u8('"'), escape = vdupq_n_u8('\\');
    const int8x16_t space = vdupq_n_s8(0x20);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        uint8x16_t v = vld1q_u8((const uint8_t *)(p + i));
        /* Signed: one comparison finds both what is below 0x20 and what is above 0x7F. */
        uint8x16_t hit = vorrq_u8(vcltq_s8(vreinterpretq_s8_u8(v), space),
                                  vorrq_u8(vceqq_u8(v, quote), vceqq_u8(v, escape)));
        uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        if (mask) return i + (ms_ctz64(mask) >> 2);
    }
    return ms_scan_string_scalar(p, n, i);
}

/* No shorter way than the scalar one was measured here. */
static inline uint64_t ms_scan_string_mask(const char *p) { return ms_scan_string_mask_scalar(p); }

static inline size_t ms_scan_string_copy(const char *p, size_t n, char *out) {
    const uint8x16_t quote = vdupq_n_u8('"'), escape = vdupq_n_u8('\\');
    const int8x16_t space = vdupq_n_s8(0x20);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        uint8x16_t v = vld1q_u8((const uint8_t *)(p + i));
        uint8x16_t hit = vorrq_u8(vcltq_s8(vreinterpretq_s8_u8(v), space),
                                  vorrq_u8(vceqq_u8(v, quote), vceqq_u8(v, escape)));
        uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        vst1q_u8((uint8_t *)(out + i), v);
        if (mask) return i + (ms_ctz64(mask) >> 2);
    }
    return ms_scan_string_copy_scalar(p, n, i, out);
}

static inline int ms_scan_is_ascii(const char *p, size_t n) {
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        if (vmaxvq_u8(vld1q_u8((const uint8_t *)(p + i))) >= 0x80) return 0;
    return ms_scan_is_ascii_scalar(p, n, i);
}

static inline size_t ms_scan_eol(const char *p, size_t n) {
    const uint8x16_t lf = vdupq_n_u8('\n'), cr = vdupq_n_u8('\r');
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        uint8x16_t v = vld1q_u8((const uint8_t *)(p + i));
        uint8x16_t hit = vorrq_u8(vceqq_u8(v, lf), vceqq_u8(v, cr));
        /* NEON has no movemask: narrowing by 4 bits leaves one nibble for each byte. */
        uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        if (mask) return i + (ms_ctz64(mask) >> 2);
    }
    return ms_scan_eol_scalar(p, n, i);
}

#else

static inline int ms_scan_is_ascii(const char *p, size_t n) { return ms_scan_is_ascii_scalar(p, n, 0); }
static inline size_t ms_scan_eol(const char *p, size_t n) { return ms_scan_eol_scalar(p, n, 0); }

static inline size_t ms_scan_string(const char *p, size_t n) { return ms_scan_string_scalar(p, n, 0); }
static inline uint64_t ms_scan_string_mask(const char *p) { return ms_scan_string_mask_scalar(p); }
static inline size_t ms_scan_string_copy(const char *p, size_t n, char *out) {
    return ms_scan_string_copy_scalar(p, n, 0, out);
}

#endif
#endif
