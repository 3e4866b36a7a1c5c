/* test_kernels.c: the C kernels alone, without Python.
 *
 * Built by test_kernels.py with ASan and UBSan, with the SIMD kernel and again with -DMS_SCAN_SCALAR. Inputs lie in
 * mallocs of their exact size, so that a read past either end is an error of the run and not only a wrong answer; the
 * scan kernels also run against guard pages. Prints "N passed, M failed"; exit status 1 if M > 0.
 */
#define _DEFAULT_SOURCE
#include "ms_grow.h"
#include "ms_json.h"
#include "ms_num.h"
#include "ms_scan.h"
#include "ms_sse.h"
#include "ms_utf8.h"
#include "oracles.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long n_passed, n_failed;

static void check(bool ok, const char *what, int line, size_t detail) {
    if (ok) {
        n_passed++;
    } else if (n_failed++ < 20) {
        printf("test_kernels.c:%d: %s (case %zu)\n", line, what, detail);
    }
}
#define CHECK(cond, detail) check((cond), #cond, __LINE__, (size_t)(detail))

/* An exact-size copy: ASan guards both ends. */
static char *exact(const char *p, size_t n) {
    char *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, p, n);
    return copy;
}

static uint64_t seed = 20260101;
static uint32_t next_random(void) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

/* ---- ms_scan.h ---- */

/* The neighbours of CR and LF, and their twins with bit 7 set: what a wrong comparison would confuse. */
static const char DECOYS[] = {0x00, 0x09, 0x0B, 0x0C, 0x0E, 'a', (char)0x8A, (char)0x8D, (char)0x85, (char)0xFF};

static void copy_at(const char *p, size_t n) {
    char *out = malloc(n ? n : 1); /* ASan: never more than n bytes are written */
    size_t k;
    if (!out) abort();
    k = ms_scan_string_copy(p, n, out);
    CHECK(k == naive_string(p, n) && memcmp(out, p, k) == 0, n);
    CHECK(ms_scan_string_copy_scalar(p, n, 0, out) == k && memcmp(out, p, k) == 0, n);
    free(out);
    if (n >= 64) {
        uint64_t mask = ms_scan_string_mask(p);
        CHECK(mask == ms_scan_string_mask_scalar(p), n);
        CHECK((mask ? ms_ctz64(mask) : 64u) == naive_string(p, 64), n);
    }
}

static void scan_at(const char *p, size_t n) {
    CHECK(ms_scan_string(p, n) == naive_string(p, n), n);
    CHECK(ms_scan_string_scalar(p, n, 0) == naive_string(p, n), n);
    copy_at(p, n);
    size_t want = naive_eol(p, n);
    CHECK(ms_scan_is_ascii(p, n) == naive_ascii(p, n), n);
    CHECK(ms_scan_is_ascii_scalar(p, n, 0) == naive_ascii(p, n), n);
    CHECK(ms_scan_eol(p, n) == want, n);
    CHECK(ms_scan_eol_scalar(p, n, 0) == want, n);
}

static void test_scan_lengths(void) {
    size_t n, at, k;
    for (n = 0; n <= 80; n++) {
        char *p = malloc(n ? n : 1);
        if (!p) abort();
        for (k = 0; k < n; k++) p[k] = DECOYS[k % sizeof DECOYS];
        scan_at(p, n);
        for (at = 0; at < n; at++) {
            char was = p[at];
            p[at] = '\n';
            scan_at(p, n);
            p[at] = '\r';
            scan_at(p, n);
            if (at + 1 < n) { /* the first of two wins */
                char was_next = p[n - 1];
                p[n - 1] = '\n';
                scan_at(p, n);
                p[n - 1] = was_next;
            }
            p[at] = was;
        }
        free(p);
    }
}

static void test_scan_alignments(void) {
    size_t shift, n, at;
    for (shift = 0; shift < 16; shift++) {
        for (n = 0; n <= 80; n++) {
            char *p = malloc(shift + n + 1);
            if (!p) abort();
            memset(p, '\n', shift + n + 1); /* hits on both sides, which must not be seen */
            memset(p + shift, 'x', n);
            scan_at(p + shift, n);
            for (at = 0; at < n; at++) {
                p[shift + at] = '\r';
                scan_at(p + shift, n);
                p[shift + at] = 'x';
            }
            free(p);
        }
    }
}

static void test_scan_random(void) {
    size_t round, k;
    for (round = 0; round < 20000; round++) {
        size_t n = next_random() % 81, from = n ? next_random() % n : 0;
        char buffer[81];
        char *p;
        for (k = 0; k < n; k++) buffer[k] = (char)(next_random() & 0xFF);
        p = exact(buffer, n);
        scan_at(p, n);
        CHECK(ms_scan_eol_scalar(p, n, from) == from + naive_eol(p + from, n - from), round);
        free(p);
    }
}

static void test_scan_guard_pages(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n, at;
    char *map = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *first, *end;
    if (map == MAP_FAILED) abort();
    if (mprotect(map, page, PROT_NONE) || mprotect(map + 2 * page, page, PROT_NONE)) abort();
    first = map + page;
    end = map + 2 * page;
    memset(first, 'x', page);
    for (n = 0; n <= 80; n++) {
        scan_at(first, n);
        scan_at(end - n, n);
        for (at = 0; at < n; at++) {
            (end - n)[at] = '\n';
            scan_at(end - n, n);
            (end - n)[at] = 'x';
            first[at] = '\r';
            scan_at(first, n);
            first[at] = 'x';
        }
    }
    munmap(map, 3 * page);
}

/* ---- ms_utf8.h ---- */

static bool agrees(const unsigned char *p, size_t n) {
    utf8_verdict want = naive_utf8(p, n);
    uint32_t state = 0;
    size_t off = 99;
    int code = ms_utf8_check(&state, (const char *)p, n, &off);
    return (code == MS_UTF8_OK) == want.ok && off == want.off && ms_utf8_pending(state) == want.pending &&
           (!want.ok || (state == 0) == (want.pending == 0));
}

static void test_utf8_exhaustive(void) {
    unsigned char *p = malloc(3); /* exact: a fourth byte would be an ASan error */
    unsigned long bad = 0, all = 0;
    uint32_t x;
    if (!p) abort();
    for (x = 0; x < 0x100; x++, all++) {
        p[2] = (unsigned char)x;
        bad += !agrees(p + 2, 1);
    }
    for (x = 0; x < 0x10000; x++, all++) {
        p[1] = (unsigned char)(x >> 8);
        p[2] = (unsigned char)x;
        bad += !agrees(p + 1, 2);
    }
    for (x = 0; x < 0x1000000; x++, all++) {
        p[0] = (unsigned char)(x >> 16);
        p[1] = (unsigned char)(x >> 8);
        p[2] = (unsigned char)x;
        bad += !agrees(p, 3);
    }
    CHECK(bad == 0, bad);
    n_passed += all - bad;
    free(p);
}

static void test_utf8_four_bytes(void) {
    static const unsigned char edge[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                         0xE0, 0xED, 0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF};
    unsigned char *p = malloc(4);
    size_t k, n_edges = sizeof edge, all = n_edges * n_edges * n_edges * n_edges;
    if (!p) abort();
    for (k = 0; k < all; k++) { /* every mix of edge values */
        p[0] = edge[k % n_edges];
        p[1] = edge[k / n_edges % n_edges];
        p[2] = edge[k / n_edges / n_edges % n_edges];
        p[3] = edge[k / n_edges / n_edges / n_edges];
        CHECK(agrees(p, 4), k);
    }
    for (k = 0; k < 1000000; k++) { /* F0..F7 with three bytes that are mostly continuations */
        uint32_t r = next_random();
        p[0] = (unsigned char)(0xF0 | (r & 7));
        p[1] = (unsigned char)(r & 8 ? r >> 8 : 0x80 | (r >> 8 & 0x3F));
        p[2] = (unsigned char)(r & 0x10 ? r >> 16 : 0x80 | (r >> 16 & 0x3F));
        p[3] = (unsigned char)(r & 0x20 ? r >> 24 : 0x80 | (r >> 24 & 0x3F));
        CHECK(agrees(p, 4), k);
    }
    free(p);
}

/* The 8-byte steps over ASCII must notice a bad byte at every place of the word. */
static void test_utf8_words(void) {
    size_t n, at;
    for (n = 0; n <= 40; n++) {
        unsigned char *p = malloc(n ? n : 1);
        if (!p) abort();
        memset(p, 'a', n);
        CHECK(agrees(p, n), n);
        for (at = 0; at < n; at++) {
            p[at] = 0xFF;
            CHECK(agrees(p, n), at);
            p[at] = 0xE2; /* cut by ASCII or by the end */
            CHECK(agrees(p, n), at);
            if (at + 2 < n) {
                p[at + 1] = 0x82;
                p[at + 2] = 0xAC;
                CHECK(agrees(p, n), at);
                p[at + 1] = p[at + 2] = 'a';
            }
            p[at] = 'a';
        }
        free(p);
    }
}

static void utf8_in_three(const char *text, size_t n, size_t i, size_t j) {
    utf8_verdict want = naive_utf8((const unsigned char *)text, n);
    const size_t cut[4] = {0, i, j, n};
    uint32_t state = 0;
    size_t k, off = 0, at = 0;
    int code = MS_UTF8_OK;
    for (k = 0; k < 3 && code == MS_UTF8_OK; k++) {
        char *piece = exact(text + cut[k], cut[k + 1] - cut[k]);
        code = ms_utf8_check(&state, piece, cut[k + 1] - cut[k], &off);
        at = cut[k] + off;
        free(piece);
    }
    CHECK((code == MS_UTF8_OK) == want.ok && at == want.off && ms_utf8_pending(state) == want.pending, i * 100 + j);
}

static void test_utf8_cuts(void) {
    static const char *const texts[] = {
        "plain ASCII of more than eight bytes",
        "na\xC3\xAFve \xE2\x82\xAC 10 \xF0\x9F\x98\x80 \xEC\xBD\x94\xEB\x93\x9C", /* all lengths, well-formed */
        "abcdefghi\xF0\x9F\x98",                                                  /* cut off at the end */
        "abcdefgh\xF0\x9F\x98(jklmnop",                                           /* broken off after three */
        "abc\xC0\xAF",                                                            /* overlong, two bytes */
        "abc\xE0\x80\xAF",                                                        /* overlong, three bytes */
        "abc\xED\xA0\x80",                                                        /* a surrogate */
        "abc\xF4\x90\x80\x80",                                                    /* above U+10FFFF */
        "abc\x80xyz",                                                             /* a lone continuation */
    };
    size_t t, i, j;
    for (t = 0; t < sizeof texts / sizeof *texts; t++) {
        size_t n = strlen(texts[t]);
        for (i = 0; i <= n; i++)
            for (j = i; j <= n; j++) utf8_in_three(texts[t], n, i, j);
    }
}

/* ---- ms_sse.h ---- */

/* A small parser with the least memory: what is left of a chunk is put in front of the next one. */
typedef struct {
    ms_sse_state state;
    char tail[256];
    size_t n_tail;
    char out[512]; /* each line as "[line]" */
    size_t n_out;
} reader;

static void put(reader *r, const char *p, size_t n) {
    if (r->n_out + n > sizeof r->out) abort();
    memcpy(r->out + r->n_out, p, n);
    r->n_out += n;
}

static void feed(reader *r, const char *p, size_t n) {
    char joined[512];
    char *chunk = exact(p, n);
    size_t off = 0, n_joined;
    unsigned held;
    ms_span line;
    if (r->state.bom != MS_SSE_BOM_DONE) {
        if (!ms_sse_bom(&r->state, chunk, n, &off, &held)) {
            free(chunk);
            return;
        }
        if (held < 3) {
            memcpy(r->tail, "\xEF\xBB", held);
            r->n_tail = held;
        }
    }
    n_joined = r->n_tail + n - off;
    memcpy(joined, r->tail, r->n_tail);
    memcpy(joined + r->n_tail, chunk + off, n - off);
    free(chunk);
    chunk = exact(joined, n_joined);
    off = 0;
    while (ms_sse_line(&r->state, chunk, n_joined, &off, &line) == MS_SSE_LINE) {
        put(r, "[", 1);
        put(r, line.p, line.n);
        put(r, "]", 1);
    }
    r->n_tail = n_joined - off;
    memcpy(r->tail, chunk + off, r->n_tail);
    free(chunk);
}

static void expect(const reader *r, const char *want, const char *tail, size_t detail) {
    CHECK(r->n_out == strlen(want) && memcmp(r->out, want, r->n_out) == 0, detail);
    CHECK(r->n_tail == strlen(tail) && memcmp(r->tail, tail, r->n_tail) == 0, detail);
}

/* Whole, in all threes (empty pieces included) and byte by byte. */
static void lines_are(const char *text, const char *want, const char *tail) {
    size_t n = strlen(text), i, j;
    reader r;
    for (i = 0; i <= n; i++) {
        for (j = i; j <= n; j++) {
            memset(&r, 0, sizeof r);
            feed(&r, text, i);
            feed(&r, text + i, j - i);
            feed(&r, text + j, n - j);
            expect(&r, want, tail, i * 100 + j);
        }
    }
    memset(&r, 0, sizeof r);
    for (i = 0; i < n; i++) feed(&r, text + i, 1);
    expect(&r, want, tail, n);
}

static void test_sse_lines(void) {
    lines_are("", "", "");
    lines_are("a", "", "a");
    lines_are("a\n", "[a]", "");
    lines_are("a\r", "[a]", ""); /* at the CR at once */
    lines_are("a\r\n", "[a]", "");
    lines_are("a\r\nb", "[a]", "b");
    lines_are("a\nb\n\nc", "[a][b][]", "c");
    lines_are("a\rb\r\rc", "[a][b][]", "c");
    lines_are("a\r\nb\r\n\r\nc", "[a][b][]", "c");
    lines_are("a\n\rb", "[a][]", "b"); /* LF CR is two ends of line */
    lines_are("\r\r\n\n\r\n", "[][][][]", "");
    lines_are("a\r\n\nb\n", "[a][][b]", ""); /* only one LF is swallowed */
    lines_are("a\x0B\x0C\xC2\x85\xE2\x80\xA8z\n", "[a\x0B\x0C\xC2\x85\xE2\x80\xA8z]", "");
    lines_are("a line of more than sixteen bytes\r\nand a second one of them\r", /* the SIMD loop */
              "[a line of more than sixteen bytes][and a second one of them]", "");
}

static void test_sse_bom(void) {
    lines_are("\xEF\xBB\xBF", "", "");
    lines_are("\xEF\xBB\xBF" "a\nb", "[a]", "b");
    lines_are("\xEF\xBB\xBF\xEF\xBB\xBF" "a\n", "[\xEF\xBB\xBF" "a]", ""); /* only one */
    lines_are("a\n\xEF\xBB\xBF" "b\n", "[a][\xEF\xBB\xBF" "b]", "");       /* only at the start */
    lines_are("\xEF\xBB\xBE\n", "[\xEF\xBB\xBE]", "");
    lines_are("\xEF\xBB" "a\n", "[\xEF\xBB" "a]", "");
    lines_are("\xEF" "a\n", "[\xEF" "a]", "");
    lines_are("\xEF\n\xBB\n", "[\xEF][\xBB]", "");
    lines_are("\xEF\xEF\xBB\xBF" "a\n", "[\xEF\xEF\xBB\xBF" "a]", "");
    lines_are("\xBB\xBF" "a\n", "[\xBB\xBF" "a]", "");
    lines_are("\xEF\xBB\xBF\r\na\r\n", "[][a]", "");
}

/* Unsettled at the end of input: close() in _sse.pyx asks the state how many bytes were held back. */
static void test_sse_bom_unsettled(void) {
    ms_sse_state state = {0, 0};
    size_t off = 0;
    unsigned held = 9;
    CHECK(!ms_sse_bom(&state, "\xEF\xBB", 2, &off, &held), 0);
    CHECK(state.bom == 2 && off == 2 && held == 0, state.bom);
    off = 0;
    CHECK(!ms_sse_bom(&state, "", 0, &off, &held), 0);
    CHECK(ms_sse_bom(&state, "x", 1, &off, &held), 0);
    CHECK(state.bom == MS_SSE_BOM_DONE && off == 0 && held == 2, held);
}

static void field_is(const char *text, size_t n, ms_sse_kind kind, const char *value) {
    char *p = exact(text, n);
    ms_span line = {p, n}, got = {p, 0};
    CHECK(ms_sse_field(line, &got) == kind, n);
    if (value) {
        CHECK(got.n == strlen(value) && memcmp(got.p, value, got.n) == 0, n);
        CHECK(got.p >= p && got.p + got.n == p + n, n);
    }
    free(p);
}
#define FIELD(text, kind, value) field_is(text, sizeof(text) - 1, kind, value)

static void test_sse_fields(void) {
    FIELD("", MS_SSE_BLANK, NULL);
    FIELD(":", MS_SSE_COMMENT, NULL);
    FIELD(": data: x", MS_SSE_COMMENT, NULL);
    FIELD("data", MS_SSE_DATA, "");
    FIELD("data:", MS_SSE_DATA, "");
    FIELD("data: ", MS_SSE_DATA, "");
    FIELD("data:  ", MS_SSE_DATA, " "); /* one space goes, the second stays */
    FIELD("data:x", MS_SSE_DATA, "x");
    FIELD("data: x", MS_SSE_DATA, "x");
    FIELD("data:\tx", MS_SSE_DATA, "\tx"); /* only U+0020 */
    FIELD("data: x: y: z ", MS_SSE_DATA, "x: y: z ");
    FIELD("data::", MS_SSE_DATA, ":");
    FIELD("event", MS_SSE_EVENT, "");
    FIELD("event:delta", MS_SSE_EVENT, "delta");
    FIELD("event: delta", MS_SSE_EVENT, "delta");
    FIELD("id", MS_SSE_ID, "");
    FIELD("id: 7", MS_SSE_ID, "7");
    FIELD("retry: 10", MS_SSE_RETRY, "10");
    FIELD("retry", MS_SSE_RETRY, "");
    FIELD("Data: x", MS_SSE_UNKNOWN, "x"); /* case-sensitive */
    FIELD("DATA: x", MS_SSE_UNKNOWN, "x");
    FIELD(" data: x", MS_SSE_UNKNOWN, "x"); /* no trimming of the name */
    FIELD("data : x", MS_SSE_UNKNOWN, "x");
    FIELD("dat", MS_SSE_UNKNOWN, "");
    FIELD("dataa: x", MS_SSE_UNKNOWN, "x");
    FIELD("data x", MS_SSE_UNKNOWN, "");
    FIELD("i: 7", MS_SSE_UNKNOWN, "7");
    FIELD("idd: 7", MS_SSE_UNKNOWN, "7");
    FIELD("retr", MS_SSE_UNKNOWN, "");
    FIELD("{\"error\": \"no\"}", MS_SSE_UNKNOWN, "\"no\"}");
}

static void retry_is(const char *text, uint64_t max, bool ok, uint64_t want) {
    char *p = exact(text, strlen(text));
    uint64_t got = 12345;
    CHECK(ms_sse_retry((ms_span){p, strlen(text)}, max, &got) == ok, strlen(text));
    CHECK(got == (ok ? want : 12345), got); /* untouched if refused */
    free(p);
}

static void test_sse_retry(void) {
    const uint64_t max = 2147483647;
    char digits[200];
    retry_is("0", max, true, 0);
    retry_is("3000", max, true, 3000);
    retry_is("0000000000000000000000000000003000", max, true, 3000);
    retry_is("2147483646", max, true, 2147483646);
    retry_is("2147483647", max, true, max);
    retry_is("2147483648", max, true, max);
    retry_is("18446744073709551616", max, true, max); /* 2^64 must not wrap to 0 */
    retry_is("18446744073709551617", max, true, max);
    memset(digits, '9', sizeof digits - 1);
    digits[sizeof digits - 1] = 0;
    retry_is(digits, max, true, max);
    digits[sizeof digits - 2] = 'x'; /* also looked at beyond the clamp */
    retry_is(digits, max, false, 0);
    retry_is("", max, false, 0);
    retry_is(" 1", max, false, 0);
    retry_is("1 ", max, false, 0);
    retry_is("+1", max, false, 0);
    retry_is("-1", max, false, 0);
    retry_is("1.5", max, false, 0);
    retry_is("1e3", max, false, 0);
    retry_is("0x10", max, false, 0);
    retry_is("1/", max, false, 0); /* the neighbours of '0' and '9' */
    retry_is("1:", max, false, 0);
    retry_is("\xD9\xA3", max, false, 0); /* a digit, but not an ASCII one */
    retry_is("5", 0, true, 0);
}

/* ---- ms_grow.h ---- */

#define TOP ((size_t)-1 / 2 + 1) /* the highest bit: tests run with 64 bits and with 32 */

static void test_grow(void) {
    static const size_t some[] = {0, 1, 255, 256, 257, 300, 511, 512, 513, 4096, 65535, 65536, 1000003, TOP >> 23};
    const size_t most = (size_t)-1;
    size_t i, j, need, copied = 0, cap = 0;
    for (i = 0; i < sizeof some / sizeof *some; i++) {
        for (j = 0; j < sizeof some / sizeof *some; j++) {
            size_t got = ms_grow(some[i], some[j]);
            CHECK(got >= some[j] && got >= some[i], i * 100 + j);
            CHECK(got < 2 * some[j] || got == some[i] || got == 256, i * 100 + j); /* and not much more */
        }
    }
    for (i = 0; i < 200; i++) { /* near the end of the numbers: enough, or 0 */
        size_t got = ms_grow(some[i % 14], most - i), half = ms_grow(0, most / 2 - 100 + i);
        CHECK(got == 0, i);
        CHECK(half == 0 || half >= most / 2 - 100 + i, i);
    }
    CHECK(ms_grow(most / 2, most) == 0, 0);
    CHECK(ms_grow(most, most) == most, 0); /* nothing to do */
    CHECK(ms_grow(0, TOP >> 2) == TOP >> 2, 0);
    for (need = 1; need <= (size_t)1 << 20; need++) { /* byte by byte: O(n) copied in all */
        size_t got = ms_grow(cap, need);
        if (got != cap) copied += cap;
        cap = got;
    }
    CHECK(copied < 2 * ((size_t)1 << 20), copied);
}

/* ---- ms_json.h, ms_num.h ---- */

static void grow(ms_buffer *b, size_t by) {
    char *p = malloc(b->cap + by); /* a new place each time, and no byte more than asked for */
    if (!p) abort();
    if (b->p) memcpy(p, b->p, b->cap);
    free(b->p);
    b->p = p;
    b->cap += by;
}

/* What a document says, as one string of tokens: pieces joined, also those of the unfinished one, and where it fails. */
static size_t json_tokens(const char *doc, size_t n, size_t first, size_t each, char *out, size_t room) {
    ms_json s = {.max_depth = 8, .max_digits = 9, .allow_nan = true};
    ms_json_token token;
    size_t at = 0, used = 0;
    ms_json_event event = MS_JSON_MORE;
    while (at < n && event < MS_JSON_E_INVALID) {
        size_t size = at ? each : first, off = 0;
        char *p;
        if (size > n - at) size = n - at;
        p = exact(doc + at, size);
        for (;;) {
            event = ms_json_step(&s, p, size, &off, &token);
            if (event == MS_JSON_MORE || event >= MS_JSON_E_INVALID) break;
            if (event == MS_JSON_GROW_STACK) {
                grow(&s.stack, 3);
                continue;
            }
            if (event == MS_JSON_GROW_TEXT) {
                grow(&s.text, 5);
                continue;
            }
            if (event == MS_JSON_NUMBER_PART || (event == MS_JSON_NUMBER && s.text.n)) {
                while (s.text.cap - s.text.n < token.n) grow(&s.text, 5);
                memcpy(s.text.p + s.text.n, token.p, token.n);
                s.text.n += token.n;
                if (event == MS_JSON_NUMBER_PART) continue;
                token.p = s.text.p;
                token.n = s.text.n;
            }
            if (event == MS_JSON_KEY || event == MS_JSON_STRING) {
                CHECK((ms_scan_is_ascii(token.p, token.n) != 0) == token.ascii, at);
            }
            if (event <= MS_JSON_NUMBER) {
                if (used + token.n + 2 > room) abort();
                memcpy(out + used, token.p, token.n);
                used += token.n;
            }
            if (used + 2 > room) abort();
            out[used++] = (char)('A' + (int)event);
        }
        if (event >= MS_JSON_E_INVALID)
            used += (size_t)snprintf(out + used, room - used, "!%d@%zu", (int)event, at + off);
        s.base += size;
        at += size;
        free(p);
    }
    if (ms_json_in_string(&s)) used += (size_t)snprintf(out + used, room - used, "%.*s", (int)s.text.n, s.text.p);
    if (event < MS_JSON_E_INVALID) {
        event = ms_json_finish(&s, &token);
        used += (size_t)snprintf(out + used, room - used, "!%d", (int)event);
    }
    free(s.stack.p);
    free(s.text.p);
    return used;
}

#define LONG_STRING \
    "\"0123456789abcdefghijklmnopqrstuvwxyz\\n\xC3\xA9\xE2\x82\xAC \\ud83d\\ude00\\u20ac\\\\0123456789\xF0\x9F\x98\x80 " \
    "0123456789abcdefghijklmnopqrstuvwxyz\\u00e9 0123456789 \\/ 0123456789abcdefghijklmnopqrstuvwxyz 0123456789\""

static void test_json_cuts(void) {
    static const char *const parts[] = {
        "{", "}", "[", "]", ",", ":", "\"k\"", "\"a\xC3\xA9\xE2\x82\xAC\"", "\"\\ud83d\\ude00\"", "\"\\n\\u00e9", "\"",
        "-1.5e+3", "0", "12", "null", "tru", "-Infinity", "\xF0\x9F\x98\x80", " ", "\n", "\\ud800", "1234567890",
        "{\"k\":", "[[", "\xED\xA0", "NaN", "\"0123456789abcdefghijklmnopqrstuvwxyz\\/0123456789abcdefghi\xC3\xA9\"", "\\u12x4",
        "\"0123456789abcdef0123456789abcdef\\t",
        /* longer than a block: escapes, pairs and characters of all lengths, also across its end */
        LONG_STRING,
        "0123456789abcdefghijklmnopqrstuvwxyz\xE2\x82\xAC\\ud83d\\ude00\xC3\xA9 0123456789abcdefghijklmnopqrstuvwxyz 0123456789",
    };
    size_t round, k;
    for (round = 0; round < 500; round++) {
        char doc[2048], whole[4096], cut[4096];
        size_t n = 0, used, count = next_random() % 10;
        for (k = 0; k < count; k++) {
            const char *part = parts[next_random() % (sizeof parts / sizeof *parts)];
            memcpy(doc + n, part, strlen(part));
            n += strlen(part);
        }
        used = json_tokens(doc, n, n, n, whole, sizeof whole);
        for (k = 1; k <= n; k++) {
            size_t again = json_tokens(doc, n, k, k & 1 ? 1 : n, cut, sizeof cut);
            CHECK(used == again && memcmp(whole, cut, used) == 0, round);
        }
    }
}

/* Found by tests/fuzz: twenty digits that are 2^64, or a multiple of it, were read as 0. */
static void test_numbers_of_twenty_digits(void) {
    static const char *const texts[] = {
        "18446744073709551616.0", "0.18446744073709551616", "1844674407370955161.6", "-1.8446744073709551616",
        "36893488147419103232.0", "55340232221128654848e0", "0.00018446744073709551616", "18446744073709551615.0",
    };
    size_t k;
    for (k = 0; k < sizeof texts / sizeof *texts; k++) {
        char *p = exact(texts[k], strlen(texts[k]));
        double d = 0;
        if (ms_num_double(p, strlen(texts[k]), &d)) CHECK(d == strtod(texts[k], NULL), k);
        free(p);
    }
}

static void test_of_an_empty_number_nothing_is_read(void) {
    char *p = exact("", 0);
    int64_t i = 1;
    double d = 1;
    CHECK(ms_num_int64(p + 1, 0, &i) && i == 0, 0);
    CHECK(ms_num_double(p + 1, 0, &d) && d == 0, 0);
    free(p);
}

static void test_numbers(void) {
    size_t round;
    for (round = 0; round < 20000; round++) {
        char text[64];
        char *p;
        size_t n;
        int64_t i = 0;
        double d = 0, want;
        int digits = (int)(next_random() % 17), power = (int)(next_random() % 60) - 30;
        uint64_t whole = ((uint64_t)next_random() << 32 | next_random()) >> (next_random() % 64);
        n = (size_t)snprintf(text, sizeof text, "%s%llu", round & 1 ? "-" : "", (unsigned long long)whole);
        p = exact(text, n);
        if (ms_num_int64(p, n, &i)) CHECK(i == strtoll(text, NULL, 10), round);
        else CHECK(whole > 999999999999999999u, round);
        free(p);
        n = (size_t)snprintf(text, sizeof text, "%.*fe%d", digits, (double)(whole >> 40) / 7, power);
        want = strtod(text, NULL);
        p = exact(text, n);
        if (ms_num_double(p, n, &d)) CHECK(d == want, round);
        free(p);
        /* As many digits as a double prints, half of them in the middle between two doubles. */
        whole = ((uint64_t)1 << (52 + (round & 1))) + next_random() % 1000;
        n = (size_t)snprintf(text, sizeof text, "%llu.%d", (unsigned long long)whole, round & 1 ? 0 : 5);
        want = strtod(text, NULL);
        p = exact(text, n);
        if (ms_num_double(p, n, &d)) CHECK(d == want, round);
#ifdef MS_NUM_DIVIDES
        else CHECK(false, round);
#endif
        free(p);
    }
}

int main(void) {
    test_scan_lengths();
    test_scan_alignments();
    test_scan_random();
    test_scan_guard_pages();
    test_utf8_exhaustive();
    test_utf8_four_bytes();
    test_utf8_words();
    test_utf8_cuts();
    test_sse_lines();
    test_sse_bom();
    test_sse_bom_unsettled();
    test_sse_fields();
    test_sse_retry();
    test_grow();
    test_json_cuts();
    test_numbers_of_twenty_digits();
    test_of_an_empty_number_nothing_is_read();
    test_numbers();
    printf("%lu passed, %lu failed\n", n_passed, n_failed);
    return n_failed != 0;
}
