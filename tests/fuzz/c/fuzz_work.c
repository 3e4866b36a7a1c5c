/* fuzz_work.c: work is linear. The input is a beginning and a part that is repeated, to two lengths; what the kernels
 * execute, in regions that clang counts, may grow by no more than the length does, also if they are fed byte by byte. */
#include "machines.h"

extern uint64_t *__llvm_profile_begin_counters(void) __attribute__((weak));
extern uint64_t *__llvm_profile_end_counters(void) __attribute__((weak));
extern int __llvm_profile_runtime;
int __llvm_profile_runtime; /* no file at the end */

static uint64_t counted(void) {
    uint64_t sum = 0, *p, *end;
    if (!__llvm_profile_begin_counters || !__llvm_profile_end_counters) return 0; /* another compiler: only run it */
    for (p = __llvm_profile_begin_counters(), end = __llvm_profile_end_counters(); p < end; p++) sum += *p;
    return sum;
}

static uint64_t work(const uint8_t *head, size_t n_head, const uint8_t *body, size_t n_body, size_t n) {
    static const json_options options = {.max_depth = 100000, .max_digits = 100000, .allow_nan = true, .multiple = true};
    const fuzz_cuts cuts = {CUT_EVERYWHERE, 0};
    fuzz_trace out = {NULL, 0, 0};
    uint64_t before;
    char *p = malloc(n);
    size_t i;
    CHECK(p != NULL);
    for (i = 0; i < n; i++) p[i] = (char)(i < n_head ? head[i] : body[(i - n_head) % n_body]);
    before = counted();
    json_vector(&options, p, n, cuts, &out);
    before = counted() - before;
    fuzz_forget(&out);
    free(p);
    return before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    enum { SHORT = 600, LONG = 4 * SHORT };
    size_t n_head;
    uint64_t few, many;
    if (n < 2 || n > SHORT / 2) return 0;
    n--;
    n_head = data[n] % n;
    few = work(data, n_head, data + n_head, n - n_head, SHORT);
    many = work(data, n_head, data + n_head, n - n_head, LONG);
    CHECK(many <= 5 * few + 2000);
    CHECK(many <= 60 * LONG);
    return 0;
}
