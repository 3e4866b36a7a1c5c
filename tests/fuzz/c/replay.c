/* replay.c: runs a fuzz target over files, for compilers without libFuzzer. Prints "N passed, 0 failed". */
#include "fuzz.h"

int main(int argc, char **argv) {
    int k;
    for (k = 1; k < argc; k++) {
        FILE *file = fopen(argv[k], "rb");
        char *read, *exact;
        size_t n, room = (size_t)1 << 20;
        CHECK(file != NULL);
        CHECK((read = malloc(room)) != NULL);
        n = fread(read, 1, room, file);
        CHECK(n < room);
        fclose(file);
        exact = fuzz_copy(read, n);
        free(read);
        LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
        fuzz_give(exact);
    }
    printf("%d passed, 0 failed\n", argc - 1);
    return 0;
}
