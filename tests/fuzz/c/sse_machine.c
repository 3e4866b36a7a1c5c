/* sse_machine.c: ms_sse.h, where what is left of a piece is put in front of the next one. */
#include "machines.h"
#include "ms_sse.h"

#ifdef MS_SCAN_SCALAR
#define MACHINE sse_scalar
#else
#define MACHINE sse_vector
#endif

static const char BOM[3] = {'\xEF', '\xBB', '\xBF'};

static void say_line(ms_span line, uint64_t max, fuzz_trace *out) {
    ms_span value = {line.p, 0};
    ms_sse_kind kind = ms_sse_field(line, &value);
    uint64_t retry = 12345;
    bool ok = kind == MS_SSE_RETRY && ms_sse_retry(value, max, &retry);
    CHECK(value.p >= line.p && value.p + value.n <= line.p + line.n);
    fuzz_say(out, (char)('a' + (int)kind), value.p, kind == MS_SSE_BLANK || kind == MS_SSE_COMMENT ? 0 : value.n);
    if (ok) fuzz_say_number(out, 'R', retry);
    CHECK(ok || retry == 12345); /* untouched if refused */
}

void MACHINE(uint64_t max, const char *doc, size_t n, fuzz_cuts cuts, fuzz_trace *out) {
    ms_sse_state state = {0, 0};
    char *tail = fuzz_take(0), *chunk, *joined;
    size_t at = 0, n_tail = 0, n_joined, size, off, lines;
    unsigned held;
    ms_span line;
    for (; at < n; at += size) {
        size = fuzz_piece(&cuts, n - at);
        chunk = fuzz_copy(doc + at, size);
        off = held = 0;
        if (state.bom != MS_SSE_BOM_DONE && !ms_sse_bom(&state, chunk, size, &off, &held)) {
            CHECK(off == size && state.bom <= 3);
            fuzz_give(chunk);
            continue;
        }
        CHECK(held < 3 && off <= size);
        n_joined = held + n_tail + size - off;
        joined = fuzz_take(n_joined);
        memcpy(joined, BOM, held);
        memcpy(joined + held, tail, n_tail);
        memcpy(joined + held + n_tail, chunk + off, size - off);
        fuzz_give(chunk);
        fuzz_give(tail);
        for (off = lines = 0; ms_sse_line(&state, joined, n_joined, &off, &line) == MS_SSE_LINE; lines++) {
            CHECK(line.p >= joined && line.p + line.n < joined + n_joined && off <= n_joined && lines < n_joined);
            say_line(line, max, out);
        }
        n_tail = n_joined - off;
        tail = fuzz_copy(joined + off, n_tail);
        fuzz_give(joined);
    }
    if (state.bom > 0 && state.bom < 3) fuzz_say(out, 'T', BOM, state.bom);
    else fuzz_say(out, 'T', tail, n_tail);
    fuzz_give(tail);
}
