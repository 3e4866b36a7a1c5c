/* sse_reference.c: WHATWG HTML 9.2.6 over the whole stream, character by character. Shares nothing with ms_sse.h. */
#include "machines.h"

static bool is(const char *p, size_t n, const char *name) { return n == strlen(name) && memcmp(p, name, n) == 0; }

static void say_line(const char *p, size_t n, uint64_t max, fuzz_trace *out) {
    size_t colon = 0, from, i;
    uint64_t ms = 0;
    char kind;
    if (n == 0) {
        fuzz_say(out, 'a', p, 0);
        return;
    }
    if (p[0] == ':') {
        fuzz_say(out, 'b', p, 0);
        return;
    }
    while (colon < n && p[colon] != ':') colon++;
    from = colon < n ? colon + 1 : n;
    if (from < n && p[from] == ' ') from++;
    kind = is(p, colon, "data") ? 'c' : is(p, colon, "event") ? 'd' : is(p, colon, "id") ? 'e' :
           is(p, colon, "retry") ? 'f' : 'g';
    fuzz_say(out, kind, p + from, n - from);
    if (kind != 'f' || from == n) return;
    for (i = from; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return;
        ms = ms * 10 + (uint64_t)(p[i] - '0');
        if (ms > max) ms = max + 1;
    }
    fuzz_say_number(out, 'R', ms < max ? ms : max);
}

void sse_reference(uint64_t max, const char *p, size_t n, fuzz_trace *out) {
    size_t start = n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, i;
    for (i = start; i < n; i++) {
        if (p[i] != '\r' && p[i] != '\n') continue;
        say_line(p + start, i - start, max, out);
        if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n') i++;
        start = i + 1;
    }
    fuzz_say(out, 'T', p + start, n - start);
}
