/* fuzz_json.c: the JSON machine. Any cuts, either kernel and the reference give the same tokens, the same error at the
 * same byte; what must hold at every step is in json_machine.c. */
#include "machines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const uint32_t depths[] = {1, 2, 5, 200}, numbers[] = {1, 3, 20, 4300};
    const char *p = (const char *)data;
    fuzz_trace want = {NULL, 0, 0}, got = {NULL, 0, 0};
    uint64_t seed = fuzz_hash(data, n);
    unsigned chosen;
    json_options options;
    int k;
    if (n == 0 || n > 1 << 14) return 0;
    chosen = data[--n];
    options.max_depth = depths[~chosen >> 4 & 3]; /* a line feed chooses the roomy ones */
    options.max_digits = numbers[~chosen >> 6 & 3];
    options.allow_nan = chosen & 1;
    options.multiple = chosen >> 2 & 1;
    options.grow = (seed & 31) + 1;
    json_reference(&options, p, n, &want);
    for (k = 0; k < 5; k++) {
        static const fuzz_manner manners[] = {CUT_NOWHERE, CUT_EVERYWHERE, CUT_AT_RANDOM, CUT_NOWHERE, CUT_AT_RANDOM};
        fuzz_cuts cuts = {manners[k], seed + (uint64_t)k};
        if (k == 3) options.grow = 0; /* with room enough, strings are read in blocks */
        json_vector(&options, p, n, cuts, &got);
        fuzz_same(&want, &got, "vector kernel");
        fuzz_forget(&got);
        json_scalar(&options, p, n, cuts, &got);
        fuzz_same(&want, &got, "scalar kernel");
        fuzz_forget(&got);
    }
    fuzz_forget(&want);
    return 0;
}
