/* fuzz_scan.c: the scanners of ms_scan.h and ms_utf8.h. Vector and scalar kernel and the oracles agree, wherever the
 * bytes lie and however they are cut. */
#include "../../c/oracles.h"
#include "fuzz.h"
#include "ms_scan.h"
#include "ms_utf8.h"

static void scan(const char *p, size_t n) {
    size_t eol = naive_eol(p, n), plain = naive_string(p, n);
    int ascii = naive_ascii(p, n);
    char *out = fuzz_take(n);
    CHECK(ms_scan_eol(p, n) == eol && ms_scan_eol_scalar(p, n, 0) == eol);
    CHECK(ms_scan_is_ascii(p, n) == ascii && ms_scan_is_ascii_scalar(p, n, 0) == ascii);
    CHECK(ms_scan_string(p, n) == plain && ms_scan_string_scalar(p, n, 0) == plain);
    CHECK(ms_scan_string_copy(p, n, out) == plain && (plain == 0 || memcmp(p, out, plain) == 0));
    CHECK(ms_scan_string_copy_scalar(p, n, 0, out) == plain && (plain == 0 || memcmp(p, out, plain) == 0));
    fuzz_give(out);
    if (n >= 64) {
        uint64_t mask = ms_scan_string_mask(p);
        size_t i;
        CHECK(mask == ms_scan_string_mask_scalar(p));
        for (i = 0; i < 64; i++) CHECK((mask >> i & 1) == (naive_string(p + i, 1) == 0));
    }
}

static void utf8(const char *p, size_t n, fuzz_cuts cuts) {
    utf8_verdict want = naive_utf8((const unsigned char *)p, n);
    uint32_t state = 0;
    size_t at = 0, off = 0, size;
    int code = MS_UTF8_OK;
    for (; at < n && code == MS_UTF8_OK; at += off) {
        char *piece = fuzz_copy(p + at, size = fuzz_piece(&cuts, n - at));
        code = ms_utf8_check(&state, piece, size, &off);
        CHECK(off <= size && (off == size || code == MS_UTF8_BAD));
        fuzz_give(piece);
    }
    CHECK((code == MS_UTF8_OK) == want.ok && at == want.off && ms_utf8_pending(state) == want.pending);
    CHECK(code == MS_UTF8_BAD || (state == 0) == (want.pending == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    uint64_t seed = fuzz_hash(data, n);
    const char *p = (const char *)data;
    size_t from, most;
    if (n == 0 || n > 1 << 14) return 0;
    most = (data[--n] & 15) + 1; /* beginnings at different distances from a multiple of 16 */
    for (from = 0; from <= n && from < most; from++) {
        char *copy = fuzz_copy(p + from, n - from);
        scan(copy, n - from);
        fuzz_give(copy);
    }
    utf8(p, n, (fuzz_cuts){CUT_NOWHERE, 0});
    utf8(p, n, (fuzz_cuts){CUT_EVERYWHERE, 0});
    utf8(p, n, (fuzz_cuts){CUT_AT_RANDOM, seed});
    return 0;
}
