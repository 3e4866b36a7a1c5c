/* machines.h: the kernels behind the least of glue, as one function each. json_machine.c and sse_machine.c are compiled
 * twice, with the vector kernels and with -DMS_SCAN_SCALAR; the references share no code with them. */
#ifndef MACHINES_H
#define MACHINES_H

#include "fuzz.h"

typedef struct {
    uint32_t max_depth, max_digits;
    bool allow_nan, multiple;
    size_t grow; /* by how many bytes a buffer grows; 0: it doubles */
} json_options;

void json_vector(const json_options *options, const char *p, size_t n, fuzz_cuts cuts, fuzz_trace *out);
void json_scalar(const json_options *options, const char *p, size_t n, fuzz_cuts cuts, fuzz_trace *out);
void json_reference(const json_options *options, const char *p, size_t n, fuzz_trace *out);
bool is_json(const char *p, size_t n); /* one whole document, as the reference reads it */

/* Lines, fields and delays; `max` is the largest delay. */
void sse_vector(uint64_t max, const char *p, size_t n, fuzz_cuts cuts, fuzz_trace *out);
void sse_scalar(uint64_t max, const char *p, size_t n, fuzz_cuts cuts, fuzz_trace *out);
void sse_reference(uint64_t max, const char *p, size_t n, fuzz_trace *out);

#endif
