/* fuzz_sse.c: lines and fields of event streams. Any cuts, either kernel and the reference give the same. */
#include "machines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const uint64_t limits[] = {2147483647, 0, 9, 1000000};
    static const fuzz_manner manners[] = {CUT_NOWHERE, CUT_EVERYWHERE, CUT_AT_RANDOM, CUT_AT_RANDOM};
    const char *p = (const char *)data;
    fuzz_trace want = {NULL, 0, 0}, got = {NULL, 0, 0};
    uint64_t seed = fuzz_hash(data, n), max;
    int k;
    if (n == 0 || n > 1 << 14) return 0;
    max = limits[data[--n] >> 4 & 3];
    sse_reference(max, p, n, &want);
    for (k = 0; k < 4; k++) {
        fuzz_cuts cuts = {manners[k], seed + (uint64_t)k};
        if (k == 1 && n > 2000) continue; /* the glue copies the whole line for each piece */
        sse_vector(max, p, n, cuts, &got);
        fuzz_same(&want, &got, "vector kernel");
        fuzz_forget(&got);
        sse_scalar(max, p, n, cuts, &got);
        fuzz_same(&want, &got, "scalar kernel");
        fuzz_forget(&got);
    }
    fuzz_forget(&want);
    return 0;
}
