/* fuzz_pick.c: places in a message. Whatever the bytes, nothing is read outside of them. What is accepted is one JSON
 * object, as the reference says; what is noted of each place is what a search of its own finds there, once; beginnings
 * are refused, and what follows changes nothing. With nothing declared, plain JSON is accepted. */
#include "machines.h"
#include "ms_pick.h"

/* {"c":[{"d":{"t","k"},"i","r"}],"t":[...] or a text,"n","off":false,"each":{any:{"bad":false}}}; "d" is strict. */
enum { ROOT, C, C0, D, T, K, I, R, TEXT, TEXT0, N, OFF, EACH, ANY, BAD, N_NODES };
static ms_pick_node nodes[N_NODES];
static const struct { uint8_t above, node; const char *key; } TREE[] = {
    {ROOT, C, "c"}, {C0, D, "d"}, {D, T, "t"}, {D, K, "k"}, {C0, I, "i"}, {C0, R, "r"}, {ROOT, TEXT, "t"},
    {ROOT, N, "n"}, {ROOT, OFF, "off"}, {ROOT, EACH, "each"}, {ANY, BAD, "bad"},
};

static void plant(void) {
    size_t k;
    if (nodes[ROOT].members) return;
    for (k = 0; k < sizeof TREE / sizeof *TREE; k++) {
        ms_pick_node *above = nodes + TREE[k].above, *node = nodes + TREE[k].node;
        unsigned slot = ms_pick_hash(TREE[k].key, strlen(TREE[k].key));
        node->key = TREE[k].key;
        node->n = (uint32_t)strlen(TREE[k].key);
        node->next = above->slot[slot];
        above->slot[slot] = TREE[k].node;
        above->members = true;
    }
    nodes[C].element = C0;
    nodes[TEXT].element = TEXT0;
    nodes[TEXT].scalar = nodes[D].strict = nodes[OFF].falsy = nodes[BAD].falsy = true;
    nodes[EACH].any = ANY;
    nodes[EACH].members = nodes[ANY].many = nodes[BAD].many = true;
}

/* --- the search: p is JSON ---------------------------------------------------------------------------------------- */

static const char *blank(const char *p) {
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

static const char *behind(const char *p) {
    size_t depth = 0;
    do {
        if (*p == '"') {
            for (p++; *p != '"'; p++) p += *p == '\\';
            p++;
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            depth--;
            p++;
        } else if (*p == ',' || *p == ':' || *p == ' ' || *p == '\t') {
            p++;
        } else {
            while (!strchr(",:]} \t", *p)) p++;
        }
    } while (depth);
    return p;
}

/* The value of a member, or (key NULL) the first element; how many there are. NULL: none, or p is nothing of the kind. */
static const char *below(const char *p, const char *key, size_t *count) {
    const char *found = NULL, *name;
    *count = 0;
    if (p == NULL || *p != (key ? '{' : '[')) return NULL;
    for (p = blank(p + 1); *p != '}' && *p != ']'; p = blank(p)) {
        name = p;
        if (key) {
            p = behind(p);
            CHECK(memchr(name, '\\', (size_t)(p - name)) == NULL);
            p = blank(blank(p) + 1);
        }
        if (key == NULL || (strncmp(name + 1, key, strlen(key)) == 0 && name[1 + strlen(key)] == '"')) {
            if (!found) found = p;
            ++*count;
        }
        p = blank(behind(p));
        if (*p == ',') p++;
    }
    return found;
}

static uint8_t kind_of(const char *p) {
    const char *end = p ? behind(p) : NULL;
    if (p == NULL) return MS_PICK_NOTHING;
    switch (*p) {
    case 'n': return MS_PICK_NULL;
    case 't': return MS_PICK_TRUE;
    case 'f': return MS_PICK_FALSE;
    case '"': return end == p + 2 ? MS_PICK_NO_TEXT : MS_PICK_STRING;
    case '[': return *blank(p + 1) == ']' ? MS_PICK_NO_ELEMENTS : MS_PICK_ARRAY;
    case '{': return *blank(p + 1) == '}' ? MS_PICK_NO_MEMBERS : MS_PICK_OBJECT;
    default: return *p == '0' && end == p + 1 ? MS_PICK_ZERO : MS_PICK_NUMBER;
    }
}

static void same(const char *p, const uint8_t *kind, const ms_shape_text *text) {
    const char *at[N_NODES] = {p}, *inner;
    size_t k, count;
    for (k = 0; k < sizeof TREE / sizeof *TREE; k++) {
        if (TREE[k].above == ANY) continue;
        at[TREE[k].node] = below(at[TREE[k].above], TREE[k].key, &count);
        CHECK(count <= 1);
        if (TREE[k].node == C || TREE[k].node == TEXT) {
            uint8_t element = nodes[TREE[k].node].element;
            at[element] = below(at[TREE[k].node], NULL, &count);
            CHECK(count <= 1);
        }
    }
    for (k = 0; k < N_NODES; k++) {
        CHECK(kind[k] == (nodes[k].many ? MS_PICK_NOTHING : kind_of(at[k])));
        if (kind[k] == MS_PICK_STRING || kind[k] == MS_PICK_NO_TEXT)
            CHECK(text[k].p == at[k] + 1 && text[k].n == (size_t)(behind(at[k]) - at[k]) - 2);
        if (kind[k] == MS_PICK_NUMBER) CHECK(text[k].p == at[k] && text[k].n == (size_t)(behind(at[k]) - at[k]));
    }
    CHECK(kind[OFF] <= MS_PICK_FALSY);
    if (at[EACH] && *at[EACH] == '{') {
        for (inner = blank(at[EACH] + 1); *inner != '}'; inner = blank(*inner == ',' ? inner + 1 : inner)) {
            inner = blank(blank(behind(inner)) + 1);
            CHECK(kind_of(below(inner, "bad", &count)) <= MS_PICK_FALSY && count <= 1);
            inner = blank(behind(inner));
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------------- */

typedef size_t picking(const char *, size_t, const ms_pick_node *, uint8_t *, ms_shape_text *);

static size_t pick(picking *how, const ms_pick_node *tree, const char *p, size_t n, uint8_t *kind, ms_shape_text *text) {
    memset(kind, 0, N_NODES);
    return how(p, n, tree, kind, text);
}

/* An event or a line: the object is within it, its beginnings are refused, and it ends where it ends. */
static void framed(picking *how, const char *p, size_t n) {
    uint8_t kind[N_NODES], again[N_NODES];
    ms_shape_text text[N_NODES];
    size_t length = pick(how, nodes, p, n, kind, text), k;
    const char *object;
    if (length == 0) return;
    CHECK(length <= n && p[length - 1] == '\n');
    object = p;
    if (length > 6 && memcmp(p, "event:", 6) == 0) {
        object = memchr(p, '\n', length);
        CHECK(strncmp(p + 6, "error\n", 6) != 0 && strncmp(p + 6, " error\n", 7) != 0);
    }
    CHECK(object != NULL);
    object = memchr(object, '{', length - (size_t)(object - p));
    CHECK(object != NULL);
    k = pick(ms_pick, nodes, object, n - (size_t)(object - p), again, text);
    CHECK(k > 0 && memcmp(kind, again, N_NODES) == 0 && object + k < p + length);
    for (k = length - 1;; k -= 1 + length / 40) {
        char *part = fuzz_copy(p, k);
        CHECK(pick(how, nodes, part, k, again, text) == 0);
        fuzz_give(part);
        if (k < 1 + length / 40) break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const ms_pick_node nothing[1];
    uint8_t kind[N_NODES], again[N_NODES];
    ms_shape_text text[N_NODES];
    char *p, *part;
    size_t length, k, depth = 0;
    bool plain = true;
    if (n < 2 || n > 2000) return 0;
    plant();
    p = fuzz_copy(data, n);
    part = fuzz_copy(data, n - 1); /* once with nothing behind it */
    pick(ms_pick, nodes, part, n - 1, kind, text);
    pick(ms_pick_event, nodes, part, n - 1, kind, text);
    pick(ms_pick_json_line, nodes, part, n - 1, kind, text);
    fuzz_give(part);
    p[n - 1] = 0; /* a search stops here at the latest */
    n--;
    length = pick(ms_pick, nodes, p, n, kind, text);
    if (length) {
        CHECK(length <= n && is_json(p, length));
        same(p, kind, text);
        for (k = length;; k -= 1 + length / 40) { /* from the end, where what is missing is least */
            part = fuzz_copy(p, k);
            CHECK(pick(ms_pick, nodes, part, k, again, text) == (k == length ? length : 0));
            if (k == length) CHECK(memcmp(kind, again, N_NODES) == 0);
            fuzz_give(part);
            if (k < 1 + length / 40) break;
        }
    }
    framed(ms_pick_event, p, n);
    framed(ms_pick_json_line, p, n);
    for (k = 0; k < n; k++) { /* nothing that it may refuse: bounds of numbers, escapes, line ends, depth */
        depth += p[k] == '{' || p[k] == '[';
        if (strchr("\\\r\neE.", p[k]) || depth > MS_PICK_DEPTH) plain = false;
        if (k >= 15 && strspn(p + k - 15, "0123456789") > 15) plain = false;
    }
    length = pick(ms_pick, nothing, p, n, kind, text);
    if (length) CHECK(is_json(p, length));
    if (plain && p[0] == '{' && is_json(p, n)) CHECK(length > 0 && blank(p + length) == p + n);
    fuzz_give(p);
    return 0;
}
