/* ms_grow.h: a buffer, and how it grows.
 *
 * Contract: pure. The new capacity for at least `need` bytes, given the present one: powers of two times 256, so that
 * appending n bytes in any pieces copies O(n) in all; 0 if `need` cannot be represented. Never less than `need`.
 * Whether `need` is allowed is the caller's question (limits.py), asked before this one.
 */
#ifndef MS_GROW_H
#define MS_GROW_H

#include <stddef.h>

/* Memory that its owner grows: n of cap bytes are in use. */
typedef struct {
    char *p;
    size_t n, cap;
} ms_buffer;

static inline size_t ms_grow(size_t cap, size_t need) {
    if (need <= cap) return cap;
    if (cap < 256) cap = 256;
    while (cap < need) {
        if (cap > (size_t)-1 / 4) return 0;
        cap *= 2;
    }
    return cap;
}

#endif
