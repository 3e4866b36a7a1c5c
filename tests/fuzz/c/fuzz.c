/* fuzz.c: see fuzz.h. */
#define _DEFAULT_SOURCE
#include "fuzz.h"

#ifdef FUZZ_GUARD
#include <sys/mman.h>
#include <unistd.h>
#endif

void fuzz_failed(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
    abort();
}

#ifdef FUZZ_GUARD

enum { MOST = 64 };
static struct {
    char *map, *p;
    size_t size;
} taken[MOST];

void *fuzz_take(size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (n + 2 * page - 1) / page * page, k = 0;
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    CHECK(mprotect(map + size - page, page, PROT_NONE) == 0);
    while (k < MOST && taken[k].map) k++;
    CHECK(k < MOST);
    taken[k].map = map;
    taken[k].size = size;
    taken[k].p = map + size - page - n;
    return taken[k].p;
}

void fuzz_give(void *p) {
    size_t k = 0;
    if (p == NULL) return;
    while (k < MOST && (taken[k].map == NULL || taken[k].p != p)) k++;
    CHECK(k < MOST);
    munmap(taken[k].map, taken[k].size);
    taken[k].map = NULL;
}

#else

void *fuzz_take(size_t n) {
    void *p = malloc(n ? n : 1);
    CHECK(p != NULL);
    return p;
}

void fuzz_give(void *p) { free(p); }

#endif

char *fuzz_copy(const void *p, size_t n) {
    char *copy = fuzz_take(n);
    if (n) memcpy(copy, p, n);
    return copy;
}

size_t fuzz_piece(fuzz_cuts *cuts, size_t left) {
    static const size_t most[] = {2, 3, 5, 9, 24, 70, 140, 1000};
    size_t n;
    if (cuts->manner == CUT_NOWHERE || left == 0) return left;
    if (cuts->manner == CUT_EVERYWHERE) return 1;
    cuts->seed = cuts->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    n = (size_t)(cuts->seed >> 40) % most[cuts->seed >> 61];
    /* An empty piece only now and then, so that there is an end. */
    if (n == 0 && (cuts->seed >> 32 & 3)) n = 1;
    return n < left ? n : left;
}

uint64_t fuzz_hash(const void *p, size_t n) {
    const unsigned char *bytes = p;
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;
    for (i = 0; i < n; i++) h = (h ^ bytes[i]) * UINT64_C(1099511628211);
    return h ^ h >> 29;
}

static void append(fuzz_trace *trace, const void *p, size_t n) {
    if (trace->cap - trace->n < n) {
        trace->cap = 2 * (trace->cap + n) + 256;
        trace->p = realloc(trace->p, trace->cap);
        CHECK(trace->p != NULL);
    }
    if (n) memcpy(trace->p + trace->n, p, n);
    trace->n += n;
}

void fuzz_say(fuzz_trace *trace, char kind, const void *p, size_t n) {
    fuzz_say_number(trace, kind, n);
    append(trace, p, n);
    append(trace, "\n", 1);
}

void fuzz_say_number(fuzz_trace *trace, char kind, uint64_t number) {
    char text[32];
    int n = snprintf(text, sizeof text, "%c%llu ", kind, (unsigned long long)number);
    append(trace, text, (size_t)n);
}

void fuzz_same(const fuzz_trace *want, const fuzz_trace *got, const char *what) {
    if (want->n == got->n && (want->n == 0 || memcmp(want->p, got->p, want->n) == 0)) return;
    fprintf(stderr, "%s: expected\n%.*s\ngot\n%.*s\n", what, (int)want->n, want->p, (int)got->n, got->p);
    abort();
}

void fuzz_forget(fuzz_trace *trace) {
    free(trace->p);
    trace->p = NULL;
    trace->n = trace->cap = 0;
}
