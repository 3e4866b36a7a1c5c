/* test_pick.c: ms_pick.h alone, without Python.
 *
 * Built by test_shape_kernel.py with ASan and UBSan, with the SIMD kernel and with -DMS_SCAN_SCALAR. Frames lie in
 * mallocs of their exact size. Prints "N passed, M failed"; exit status 1 if M > 0.
 */
#include "ms_pick.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned long n_passed, n_failed;

static void check(bool ok, const char *what, int line, size_t detail) {
    if (ok) {
        n_passed++;
    } else if (n_failed++ < 20) {
        printf("test_pick.c:%d: %s (case %zu)\n", line, what, detail);
    }
}
#define CHECK(cond, detail) check((cond), #cond, __LINE__, (size_t)(detail))

static uint64_t seed = 20261121;
static uint32_t next_random(void) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

/* a -> [b, strict -> t], n, calm, any -> * -> bad */
enum { ROOT, A, B, T, N, CALM, ANY, EACH, BAD, S, U, N_NODES };
static ms_pick_node nodes[N_NODES];

static void below(uint8_t node, uint8_t child, const char *key) {
    unsigned slot = ms_pick_hash(key, strlen(key));
    nodes[child].key = key;
    nodes[child].n = (uint32_t)strlen(key);
    nodes[child].next = nodes[node].slot[slot];
    nodes[node].slot[slot] = child;
    nodes[node].members = true;
}

static void plant(void) {
    below(ROOT, A, "a");
    nodes[A].element = B;
    below(B, T, "t");
    below(ROOT, S, "s");
    nodes[S].element = U;
    nodes[S].scalar = true;
    nodes[B].strict = true;
    below(ROOT, N, "n");
    below(ROOT, CALM, "calm");
    nodes[CALM].falsy = true;
    below(ROOT, ANY, "any");
    nodes[ANY].any = EACH;
    nodes[ANY].members = true;
    below(EACH, BAD, "bad");
    nodes[EACH].many = nodes[BAD].many = nodes[BAD].falsy = true;
}

static size_t pick(const char *p, size_t n, bool line, uint8_t *kind) {
    ms_shape_text text[N_NODES];
    char *copy = malloc(n ? n : 1);
    size_t found;
    if (!copy) abort();
    if (n) memcpy(copy, p, n);
    memset(kind, 0, N_NODES);
    found = line ? ms_pick_json_line(copy, n, nodes, kind, text) : ms_pick_event(copy, n, nodes, kind, text);
    free(copy);
    return found;
}

static const char *const GOOD[] = {
    "data: {\"a\":[{\"t\":\"x\"}],\"n\":12}\n\n",
    "event: e\r\ndata:{ \"other\" : [1,-2.5e3,null,true,false,\"\\ud83d\\ude00 \xc3\xa9\"] , \"a\" : [ ] }\r\n\r\n",
    "data: {\"calm\":false,\"any\":{\"p\":{\"bad\":0,\"fine\":1},\"q\":null},\"n\":0}  \n\n",
    "data: {\"a\":null,\"deep\":[[[[[[[[[[{\"t\":[]}]]]]]]]]]]}\n\n",
    "event: hello\ndata: {\"calm\":[],\"n\":[1,[2]]}\n\n",
    "data: {\"s\":\"text\"}\n\n",
    "data: {\"s\":[\"element\"]}\n\n",
    "data: {}\n\n",
};
static const char *const BAD_ONES[] = {
    "data: {\"a\":[{\"t\":1}],\"a\":[]}\n\n",   "data: {\"a\":[{\"t\":1,\"u\":2}]}\n\n",
    "data: {\"a\":[{\"t\":1},{}]}\n\n",
    "data: {\"a\":{\"t\":1}}\n\n",              "data: {\"a\":5}\n\n",                  "data: {\"calm\":1}\n\n",
    "data: {\"calm\":[0]}\n\n",                 "data: {\"any\":{\"p\":{\"bad\":1}}}\n\n",
    "data: {\"\\u0061\":1}\n\n",                "data: {\"x\":\"\\ud83d\"}\n\n",        "data: {\"x\":\"\xff\"}\n\n",
    "data: {\"x\":01}\n\n",                     "data: {\"x\":1e999}\n\n",              "data: {\"x\":tru}\n\n",
    "data: {\"x\":1,}\n\n",                     "data: {\"x\" 1}\n\n",                  "data: {\"x\":[1 2]}\n\n",
    "data: {\"x\":[1}\n\n",                     "data: {\"x\":1]\n\n",                  "data: {\"x\":1}}\n\n",
    "data: [1]\n\n",                            "event: error\ndata: {}\n\n",           "data: {}\ndata: {}\n\n",
    "data: {}\nid: 1\n\n",                      "id: 1\ndata: {}\n\n",                  ": x\ndata: {}\n\n",
    "data: {\"x\":\n1}\n\n",                    "data: {}\r\r",                         "data: {,}\n\n",
    "data: {\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]}\n\n",
};

int main(void) {
    uint8_t kind[N_NODES];
    size_t k, n, at, round;
    plant();
    for (k = 0; k < sizeof GOOD / sizeof *GOOD; k++) {
        n = strlen(GOOD[k]);
        CHECK(pick(GOOD[k], n, false, kind) == n, k);
        for (at = 0; at < n; at++) CHECK(pick(GOOD[k], at, false, kind) == 0, k);
    }
    pick(GOOD[0], strlen(GOOD[0]), false, kind);
    CHECK(kind[A] == MS_PICK_ARRAY && kind[B] == MS_PICK_OBJECT && kind[T] == MS_PICK_STRING, 0);
    CHECK(kind[N] == MS_PICK_NUMBER && kind[CALM] == MS_PICK_NOTHING, 0);
    pick(GOOD[2], strlen(GOOD[2]), false, kind);
    CHECK(kind[CALM] == MS_PICK_FALSE && kind[N] == MS_PICK_ZERO && kind[EACH] == MS_PICK_NOTHING, 0);
    for (k = 0; k < sizeof BAD_ONES / sizeof *BAD_ONES; k++)
        CHECK(pick(BAD_ONES[k], strlen(BAD_ONES[k]), false, kind) == 0, k);
    CHECK(pick("{\"n\":1}\nrest", 12, true, kind) == 8, 0);
    CHECK(pick("{\"n\":1}\r\n", 9, true, kind) == 9, 0);
    CHECK(pick("{\"n\":1}\r", 8, true, kind) == 0, 0);
    CHECK(pick("{\"n\":}\n", 7, true, kind) == 0, 0);
    for (round = 0; round < 200000; round++) {
        char frame[256];
        k = next_random() % (sizeof GOOD / sizeof *GOOD);
        n = strlen(GOOD[k]);
        memcpy(frame, GOOD[k], n);
        for (at = next_random() % 4; at < 4; at++) frame[next_random() % n] = (char)next_random();
        CHECK(pick(frame, n, false, kind) <= n, round);
    }
    printf("%lu passed, %lu failed\n", n_passed, n_failed);
    return n_failed != 0;
}
