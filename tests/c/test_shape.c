/* test_shape.c: ms_shape.h and ms_shape_make.h alone, without Python.
 *
 * Built by test_shape_kernel.py with ASan and UBSan, with the SIMD kernel and with -DMS_SCAN_SCALAR. Frames lie in mallocs
 * of their exact size, and at the end of a page before a guard page. Prints "N passed, M failed"; exit status 1 if M > 0.
 */
#define _DEFAULT_SOURCE
#include "ms_shape_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long n_passed, n_failed;

static void check(bool ok, const char *what, int line, size_t detail) {
    if (ok) {
        n_passed++;
    } else if (n_failed++ < 20) {
        printf("test_shape.c:%d: %s (case %zu)\n", line, what, detail);
    }
}
#define CHECK(cond, detail) check((cond), #cond, __LINE__, (size_t)(detail))

static uint64_t seed = 20260101;
static uint32_t next_random(void) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

static char *exact(const char *p, size_t n) {
    char *copy = malloc(n ? n : 1);
    if (!copy) abort();
    if (n) memcpy(copy, p, n);
    return copy;
}

/* ---- a shape of each kind of hole ---- */

static const ms_shape_step STEPS[] = {
    {"d", 1}, {"t", 1}, {"id", 2}, {"n", 1}, {"u", 1}, {NULL, MS_SHAPE_ANY}, {"a", 1}, {NULL, 1}, {"e", 1},
};
static const ms_shape_path PATHS[] = {
    {&STEPS[0], 2, MS_SHAPE_ANSWER}, {&STEPS[8], 1, MS_SHAPE_ANSWER}, {&STEPS[2], 1, MS_SHAPE_SELDOM},
    {&STEPS[3], 1, MS_SHAPE_IGNORED}, {&STEPS[4], 2, MS_SHAPE_LATEST}, {&STEPS[6], 2, MS_SHAPE_IGNORED},
};
enum { N_PATHS = 6 };

static const char *const FRAMES[] = {
    "data: {\"d\":{\"t\":\"hi\"}}\n\n",
    "event: x\ndata: {\"id\":\"abc\",\"n\":12.5e3,\"d\":{\"t\":\"h\\u00e9\\ud83d\\ude00 \\n\"},\"e\":\"h\\u00e9\\ud83d\\ude00 \\n\"}\n\n",
    "data:{\"u\":{\"x\":1,\"y\":{\"z\":-2}},\"d\":{\"t\":\"\xc3\xa9\xf0\x9f\x98\x80 and much more than sixteen bytes of it\"}}\r\n\r\n",
    "data: {\"a\":[1,\"two\",3],\"n\":0,\"d\":{\"t\":\"x\"}   }\n\n",
};
enum { N_FRAMES = sizeof FRAMES / sizeof *FRAMES };

static bool make(const char *frame, size_t n, ms_shape *shape, char **bytes) {
    ms_shape_cut cuts[MS_SHAPE_HOLES];
    size_t start = 0, end = 0, n_cuts = 0, k, first = MS_SHAPE_HOLES;
    if (!ms_shape_sse(frame, n, &start, &end)) return false;
    if (!ms_shape_scan(frame, start, end, PATHS, N_PATHS, true, cuts, &n_cuts)) return false;
    for (k = 0; k < n_cuts; k++) {
        if (cuts[k].kind != MS_SHAPE_PAYLOAD) continue;
        if (first < MS_SHAPE_HOLES) cuts[k].kind = MS_SHAPE_ECHO;
        else first = k;
    }
    if (first == MS_SHAPE_HOLES) return false;
    *bytes = malloc(ms_shape_size(n, cuts, n_cuts) + 1);
    if (!*bytes) abort();
    ms_shape_cut_up(shape, *bytes, frame, n, cuts, n_cuts);
    CHECK(shape->n_bytes == ms_shape_size(n, cuts, n_cuts), n);
    return true;
}

/* Every beginning of a frame, before a guard page: MORE, and no byte is read behind it. */
static void test_prefixes(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), f, n;
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = map + page;
    if (map == MAP_FAILED || mprotect(end, page, PROT_NONE) != 0) abort();
    for (f = 0; f < N_FRAMES; f++) {
        size_t whole = strlen(FRAMES[f]), at = 0;
        bool crlf = FRAMES[f][whole - 2] == '\r';
        ms_shape shape;
        ms_shape_text text;
        ms_shape_cut cuts[MS_SHAPE_HOLES];
        char *bytes;
        CHECK(make(FRAMES[f], whole, &shape, &bytes), f);
        for (n = 0; n <= whole; n++) {
            int expected = n == whole ? MS_SHAPE_HIT : n == whole - 1 && crlf ? MS_SHAPE_MISS : MS_SHAPE_MORE;
            memcpy(end - n, FRAMES[f], n);
            CHECK(ms_shape_match(&shape.tight, bytes, end - n, n, &at, &text, NULL) == expected, n);
            CHECK(ms_shape_match(&shape.loose, bytes, end - n, n, &at, &text, cuts) == expected, n);
        }
        CHECK(at == whole, f);
        free(bytes);
    }
    munmap(map, 2 * page);
}

/* Any one byte changed: a match only where a hole is, and what follows a match is a match of its own cut. */
static void test_changes(void) {
    size_t f, i;
    unsigned c;
    for (f = 0; f < N_FRAMES; f++) {
        size_t whole = strlen(FRAMES[f]), end = 0, k;
        ms_shape shape;
        ms_shape_text text;
        ms_shape_cut cuts[MS_SHAPE_HOLES], own[MS_SHAPE_HOLES];
        char *bytes, *frame = exact(FRAMES[f], whole);
        if (!make(frame, whole, &shape, &bytes)) abort();
        if (ms_shape_match(&shape.loose, bytes, frame, whole, &end, &text, own) != MS_SHAPE_HIT) abort();
        for (i = 0; i < whole; i++) {
            for (c = 0; c < 256; c++) {
                char before = frame[i];
                bool inside = false;
                frame[i] = (char)c;
                for (k = 0; k < shape.loose.n; k++) inside |= i >= own[k].start && i <= own[k].end;
                if (ms_shape_match(&shape.loose, bytes, frame, whole, &end, &text, cuts) == MS_SHAPE_HIT) {
                    CHECK(inside || frame[i] == before, i);
                    CHECK(end <= whole && text.n > 0, i);
                    if (text.escaped) {
                        char *out = malloc(text.n);
                        if (!out) abort();
                        CHECK(ms_shape_unescape(&text, out) < text.n, i);
                        free(out);
                    }
                }
                frame[i] = before;
            }
        }
        free(bytes);
        free(frame);
    }
}

/* Damaged frames: making a shape of them reads nothing outside, and what is made matches its own frame. */
static void test_damage(void) {
    static const char junk[] = "{}[]\",:\\\n\r ue1-.x\x80";
    size_t round;
    for (round = 0; round < 200000; round++) {
        const char *frame = FRAMES[next_random() % N_FRAMES];
        size_t n = strlen(frame), times = 1 + next_random() % 3, end = 0, k;
        char *copy;
        ms_shape shape;
        ms_shape_text text;
        char *bytes;
        if (next_random() % 4 == 0) n = next_random() % (n + 1);
        copy = exact(frame, n);
        for (k = 0; k < times && n; k++) copy[next_random() % n] = junk[next_random() % (sizeof junk - 1)];
        if (make(copy, n, &shape, &bytes)) {
            int found = ms_shape_match(&shape.tight, bytes, copy, n, &end, &text, NULL);
            CHECK(found == MS_SHAPE_MISS || (found == MS_SHAPE_HIT && end == n), round);
            free(bytes);
        }
        free(copy);
    }
}

static int string(const char *p, size_t n) {
    char *copy = exact(p, n);
    ms_shape_text text;
    size_t i = 0;
    int found = ms_shape_string(copy, n, &i, &text);
    free(copy);
    return found;
}

/* All escapes of one and of four digits; pairs of surrogates; each cut of them. */
static void test_escapes(void) {
    char text[32];
    unsigned c, k;
    for (c = 0; c < 256; c++) {
        bool known = c && strchr("\"\\/bfnrt", (int)c) != NULL;
        text[0] = '\\';
        text[1] = (char)c;
        text[2] = '"';
        CHECK(string(text, 3) == (known ? MS_SHAPE_HIT : c == 'u' ? MS_SHAPE_MISS : MS_SHAPE_MISS), c);
    }
    for (c = 0; c < 0x10000; c++) {
        int n = snprintf(text, sizeof text, "\\u%04x\"", c);
        CHECK(string(text, (size_t)n) == (c >= 0xD800 && c <= 0xDFFF ? MS_SHAPE_MISS : MS_SHAPE_HIT), c);
    }
    for (c = 0xD700; c < 0xE100; c++) {
        unsigned low = 0xD700 + next_random() % 0xA00;
        bool good = c >= 0xD800 && c <= 0xDBFF ? low >= 0xDC00 && low <= 0xDFFF
                                               : (c < 0xD800 || c > 0xDFFF) && (low < 0xD800 || low > 0xDFFF);
        int n = snprintf(text, sizeof text, "\\u%04X\\u%04X\"", c, low);
        CHECK(string(text, (size_t)n) == (good ? MS_SHAPE_HIT : MS_SHAPE_MISS), c);
        if (good)
            for (k = 0; k < (unsigned)n; k++) CHECK(string(text, k) == MS_SHAPE_MORE, k);
    }
    CHECK(string("\\u12\"", 5) == MS_SHAPE_MISS, 0);
    CHECK(string("\xf0\x9f\x98", 3) == MS_SHAPE_MORE, 0);
    CHECK(string("\xf0\x9f\x98\"", 4) == MS_SHAPE_MISS, 0);
    CHECK(string("\xed\xa0\x80\"", 4) == MS_SHAPE_MISS, 0);
    CHECK(string("\xff", 1) == MS_SHAPE_MORE, 0); /* a frame that holds it cannot be complete yet */
    CHECK(string("\xff\"}", 3) == MS_SHAPE_MISS, 0);
    CHECK(string("a\nb\"", 4) == MS_SHAPE_MISS, 0);
}

static void test_numbers(void) {
    static const char *const good[] = {"0", "-0", "7", "123456789012345678", "0.5", "-1.25e-7", "1E5", "1e+05"};
    static const char *const bad[] = {
        "", "-", "01", "+1", ".5", "1.", "1e", "1e999", "1234567890123456789", "NaN", "1.e5", "--1", "0x1",
    };
    size_t k, i;
    for (k = 0; k < sizeof good / sizeof *good; k++) {
        size_t n = strlen(good[k]);
        char *copy = malloc(n + 1);
        if (!copy) abort();
        memcpy(copy, good[k], n);
        copy[n] = ',';
        CHECK(ms_shape_number(copy, n + 1, (i = 0, &i)) == MS_SHAPE_HIT && i == n, k);
        free(copy);
        for (i = 0; i < n; i++) {
            size_t at = 0;
            copy = exact(good[k], i);
            CHECK(ms_shape_number(copy, i, &at) == MS_SHAPE_MORE, k);
            free(copy);
        }
    }
    for (k = 0; k < sizeof bad / sizeof *bad; k++) {
        size_t n = strlen(bad[k]);
        char text[40];
        memcpy(text, bad[k], n);
        text[n] = ',';
        i = 0;
        /* "0x1" is the number 0, and then no literal that could follow. */
        CHECK(ms_shape_number(text, n + 1, &i) == MS_SHAPE_MISS || text[i] == 'x', k);
    }
}

/* What the proof needs refused. */
static void test_refusals(void) {
    static const char *const refused[] = {
        "id: 1\ndata: {\"d\":{\"t\":\"x\"}}\n\n",
        "retry: 1\ndata: {\"d\":{\"t\":\"x\"}}\n\n",
        ": c\ndata: {\"d\":{\"t\":\"x\"}}\n\n",
        "data: {\"d\":{\"t\":\"x\"}}\ndata: \n\n",
        "data: {\"d\":{\"t\":\"x\"}}\r\r",
        "data: {\"d\":{\"t\":\"x\"}}\r\n\n",
        "data: {\"d\":{\"t\":\"x\"}}\n\r\n",
        "data: {\"d\":{\"t\":\"x\"}}\n",
        "\xef\xbb\xbf\x64\x61ta: {\"d\":{\"t\":\"x\"}}\n\n", /* a BOM, and data: */
        "data: {\"d\":{\"t\":\"x\",\"t\":\"x\"}}\n\n",
        "data: {\"d\":{\"t\":\"x\"},\"z\":1,\"z\":1}\n\n",
        "data: {\"d\":{\"\\u0074\":\"x\"}}\n\n",
        "data: {\"d\":{\"t\":\"x\"},\"z\":\"\xff\"}\n\n",
        "data: [\"x\"]\n\n",
        "data: {\"d\":{\"t\":\"x\"}} 1\n\n",
        "data: {\"d\":{\"t\":\"\"}}\n\n",
        "data: {\"d\":{\"t\":5}}\n\n",
        "data: {\"e\":{\"t\":\"x\"}}\n\n",
        "event: a\nevent: b\ndata: {\"d\":{\"t\":\"x\"}}\n\n",
    };
    size_t k;
    char deep[256] = "data: {\"d\":{\"t\":\"x\"},\"z\":";
    for (k = 0; k < sizeof refused / sizeof *refused; k++) {
        ms_shape shape;
        char *bytes = NULL, *copy = exact(refused[k], strlen(refused[k]));
        CHECK(!make(copy, strlen(refused[k]), &shape, &bytes), k);
        free(bytes);
        free(copy);
    }
    for (k = 0; k < 30; k++) strcat(deep, "[");
    for (k = 0; k < 30; k++) strcat(deep, "]");
    strcat(deep, "}\n\n");
    {
        ms_shape shape;
        char *bytes = NULL;
        CHECK(!make(deep, strlen(deep), &shape, &bytes), 0);
        free(bytes);
    }
}

int main(void) {
    test_prefixes();
    test_changes();
    test_damage();
    test_escapes();
    test_numbers();
    test_refusals();
    printf("%lu passed, %lu failed\n", n_passed, n_failed);
    return n_failed != 0;
}
