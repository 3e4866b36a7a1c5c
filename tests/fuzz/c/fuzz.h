/* fuzz.h: what the C fuzz targets share: memory that ends where it ends, cuts, and traces to compare.
 *
 * A target defines LLVMFuzzerTestOneInput and aborts when an oracle disagrees. It is linked with libFuzzer, or with
 * replay.c, which runs it over the files of a corpus. With -DFUZZ_GUARD every allocation ends at a protected page, so
 * that the code as it is released (-O3, no sanitizer) cannot read beyond it unnoticed; else ASan sees to that.
 * The last byte of an input chooses options and cuts, so that a corpus consists of plain documents.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define CHECK(cond) ((cond) ? (void)0 : fuzz_failed(#cond, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *what, const char *file, int line);

/* Exactly n bytes; reading or writing the next one ends the process. */
void *fuzz_take(size_t n);
void fuzz_give(void *p);
char *fuzz_copy(const void *p, size_t n);

/* How an input is cut into pieces. Pieces may be empty, so no more than 2n + 2 of them. */
typedef enum { CUT_NOWHERE, CUT_EVERYWHERE, CUT_AT_RANDOM } fuzz_manner;
typedef struct {
    fuzz_manner manner;
    uint64_t seed;
} fuzz_cuts;
size_t fuzz_piece(fuzz_cuts *cuts, size_t left);
uint64_t fuzz_hash(const void *p, size_t n);

/* What was seen, in an order and a form that do not depend on the cuts. */
typedef struct {
    char *p;
    size_t n, cap;
} fuzz_trace;
void fuzz_say(fuzz_trace *trace, char kind, const void *p, size_t n);
void fuzz_say_number(fuzz_trace *trace, char kind, uint64_t number);
void fuzz_same(const fuzz_trace *want, const fuzz_trace *got, const char *what);
void fuzz_forget(fuzz_trace *trace);

#endif
