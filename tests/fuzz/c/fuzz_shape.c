/* fuzz_shape.c: shapes of frames. On any bytes nothing is read outside of them. If a frame is JSON, it matches the shape
 * that is made of it, its beginnings match so far, and whatever else matches is JSON too, and differs in tokens only. */
#include "machines.h"
#include "ms_shape_make.h"

#define KEY(text) {text, sizeof(text) - 1}
static const ms_shape_step TEXT[] = {KEY("c"), {NULL, 0}, KEY("d"), KEY("t")}, WHOLE[] = {KEY("t")};
static const ms_shape_step ID[] = {KEY("id")}, MADE[] = {KEY("at")}, ANY[] = {KEY("x"), {NULL, MS_SHAPE_ANY}};
static const ms_shape_step SUM[] = {KEY("u"), KEY("n")}, INDEX[] = {KEY("c"), {NULL, 0}, KEY("i")};
/* More than the first few only so that there are as many as can be. */
static const ms_shape_path PATHS[MS_SHAPE_PATHS] = {
    {TEXT, 4, MS_SHAPE_ANSWER}, {WHOLE, 1, MS_SHAPE_ANSWER}, {ID, 1, MS_SHAPE_SELDOM}, {MADE, 1, MS_SHAPE_IGNORED},
    {ANY, 2, MS_SHAPE_IGNORED}, {SUM, 2, MS_SHAPE_LATEST}, {INDEX, 3, MS_SHAPE_IGNORED},
#define MORE {ANY, 2, MS_SHAPE_IGNORED}
    MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE,
    MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE,
};
enum { FEW_PATHS = 7 };

static uint64_t seed;
static size_t below(size_t n) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % n;
}

/* What the decoder does: the first string at an answer's path is the payload, equal ones are its echoes. */
static size_t choose(const char *p, size_t n, ms_shape_cut *cuts, size_t n_cuts, ms_shape_text *payload) {
    size_t k, kept = 0;
    payload->p = NULL;
    for (k = 0; k < n_cuts; k++) {
        if (cuts[k].kind == MS_SHAPE_PAYLOAD) {
            size_t at = cuts[k].start;
            ms_shape_text text;
            if (ms_shape_string(p, n, &at, &text) != MS_SHAPE_HIT || at != cuts[k].end) return 0;
            if (payload->p == NULL) *payload = text;
            else if (text.n != payload->n || memcmp(text.p, payload->p, text.n) != 0) continue;
            else cuts[k].kind = MS_SHAPE_ECHO;
        }
        cuts[kept++] = cuts[k];
    }
    return payload->p ? kept : 0;
}

/* The text of a payload is that of the JSON string. */
static void same_text(ms_shape_text *text) {
    static const json_options options = {.max_depth = 1, .max_digits = 1, .grow = 1};
    fuzz_trace want = {NULL, 0, 0}, got = {NULL, 0, 0};
    char *quoted = fuzz_take(text->n + 2), *out = fuzz_take(text->n);
    size_t k, n, high = 0;
    memcpy(quoted + 1, text->p, text->n);
    quoted[0] = quoted[text->n + 1] = '"';
    json_reference(&options, quoted, text->n + 2, &want);
    n = ms_shape_unescape(text, out);
    for (k = 0; k < n; k++) high |= (unsigned char)out[k] & 0x80;
    CHECK(n <= text->n && text->wide == (high != 0));
    fuzz_say(&got, 'S', out, n);
    CHECK(got.n < want.n && memcmp(got.p, want.p, got.n) == 0);
    fuzz_give(quoted);
    fuzz_give(out);
    fuzz_forget(&want);
    fuzz_forget(&got);
}

typedef struct {
    const ms_shape *shape;
    const char *bytes;
    const ms_shape_cut *cuts;
    size_t n_cuts;
    size_t start, tail; /* of the JSON: from the beginning, from the end */
    bool sse;
} made;

static int match(const made *m, const ms_shape_list *list, const char *p, size_t n, size_t *end, ms_shape_text *text) {
    ms_shape_cut cuts[MS_SHAPE_HOLES];
    size_t again, at = 0, k;
    ms_shape_text other;
    int found = ms_shape_match(list, m->bytes, p, n, end, text, cuts);
    CHECK(ms_shape_match(list, m->bytes, p, n, &again, &other, NULL) == found);
    if (found != MS_SHAPE_HIT) return found;
    CHECK(*end <= n && again == *end && other.p == text->p && other.n == text->n);
    for (k = 0; k <= list->n; k++) { /* the literals, and tokens between them */
        size_t stop = k < list->n ? cuts[k].start : *end;
        CHECK(stop - at == list->len[k] && memcmp(p + at, m->bytes + list->off[k], list->len[k]) == 0);
        at = k < list->n ? cuts[k].end : stop;
        CHECK(at >= stop);
    }
    CHECK(text->n > 0 && is_json(p + m->start, *end - m->tail - m->start));
    same_text(text);
    if (m->sse) {
        size_t from = 0, to = 0;
        CHECK(ms_shape_sse(p, *end, &from, &to) && from == m->start && to == *end - m->tail);
    }
    return found;
}

static void both(const made *m, const char *p, size_t n) {
    ms_shape_text tight, loose;
    size_t tight_end = 0, loose_end = 0;
    size_t k = below(n + 1), end;
    char *part = fuzz_copy(p, k);
    int one = match(m, &m->shape->tight, p, n, &tight_end, &tight);
    int two = match(m, &m->shape->loose, p, n, &loose_end, &loose);
    int cut = ms_shape_match(&m->shape->loose, m->bytes, part, k, &end, &tight, NULL);
    fuzz_give(part);
    /* Of what matches, every beginning fits so far; what does not fit does not match when it is longer. */
    if (two == MS_SHAPE_HIT && k < loose_end) CHECK(cut == MS_SHAPE_MORE || (k + 1 == loose_end && p[k - 1] == '\r'));
    else CHECK(cut == two || cut == MS_SHAPE_MORE || (two == MS_SHAPE_MORE && p[k - 1] == '\r'));
    if (one == MS_SHAPE_HIT) CHECK(two == MS_SHAPE_HIT && loose_end == tight_end);
}

static void mutate(const made *m, const char *p, size_t n) {
    static const char some[] = "\"\\u0eEdD8c ,:{}[]-+.9\n\r\t\x01\x7F\xC3\xA9\xED\xA0\xE2\x82\xAC\xF0\xFF";
    size_t k, changes = below(4), size = n;
    char *changed = malloc(n + 20), *copy;
    CHECK(changed != NULL);
    memcpy(changed, p, n);
    for (k = 0; k < changes; k++) {
        /* Half of the time in a token, or at its end. */
        const ms_shape_cut *cut = &m->cuts[below(m->n_cuts)];
        size_t at = below(2) ? below(size) : (cut->start + below(cut->end - cut->start + 1)) % size;
        char c = below(3) ? some[below(sizeof some - 1)] : (char)below(256);
        size_t how = below(3);
        if (how == 0 && size > 1) {
            size--;
            memmove(changed + at, changed + at + 1, size - at);
            continue;
        }
        if (how == 1) {
            memmove(changed + at + 1, changed + at, size - at);
            size++;
        }
        changed[at] = c;
        if (below(16) == 0) {
            memmove(changed + at + 5, changed + at, size - at);
            memset(changed + at, below(2) ? 0xFF : 0x80, 5);
            size = below(2) ? size + 5 : at + 4;
        }
    }
    if (below(4) == 0) size = below(size) + 1;
    copy = fuzz_copy(changed, size);
    both(m, copy, size);
    fuzz_give(copy);
    free(changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    ms_shape_cut cuts[MS_SHAPE_HOLES];
    ms_shape_text payload = {NULL, 0, false, false}, text;
    ms_shape shape;
    made m = {.shape = &shape};
    char *p, *bytes;
    size_t start = 0, end = 0, n_cuts = 0, size, k, stop = 0, i;
    bool valid, plain = true;
    if (n < 2 || n > 2000) return 0;
    seed = fuzz_hash(data, n);
    p = fuzz_copy(data, n - 1);
    n--;
    m.sse = ms_shape_sse(p, n, &start, &end);
    if (!m.sse) {
        start = 0;
        end = n;
    }
    CHECK(start <= end && end <= n);
    if (!ms_shape_scan(p, start, end, PATHS, data[n] & 2 ? MS_SHAPE_PATHS : FEW_PATHS, data[n] & 1, cuts, &n_cuts)) n_cuts = 0;
    CHECK(n_cuts <= MS_SHAPE_HOLES);
    for (k = 0; k < n_cuts; k++) {
        CHECK(cuts[k].start >= (k ? cuts[k - 1].end : start) && cuts[k].start <= cuts[k].end && cuts[k].end <= end);
        if (cuts[k].kind == MS_SHAPE_NUMBER) {
            i = cuts[k].start;
            if (ms_shape_number(p, n, &i) != MS_SHAPE_HIT || i != cuts[k].end) plain = false;
        }
    }
    valid = is_json(p + start, end - start);
    if (n_cuts) n_cuts = choose(p, n, cuts, n_cuts, &payload);
    if (n_cuts == 0 || !(m.sse || p[n - 1] == '\n')) {
        fuzz_give(p);
        return 0;
    }
    size = ms_shape_size(n, cuts, n_cuts);
    CHECK(size <= n);
    bytes = fuzz_take(size);
    ms_shape_cut_up(&shape, bytes, p, n, cuts, n_cuts);
    CHECK(shape.n_bytes == size);
    m.bytes = bytes;
    m.cuts = cuts;
    m.n_cuts = n_cuts;
    m.start = start;
    m.tail = n - end;
    if (valid) {
        both(&m, p, n);
        if (plain) {
            const ms_shape_list *lists[] = {&shape.tight, &shape.loose};
            for (i = 0; i < 2; i++) {
                CHECK(match(&m, lists[i], p, n, &stop, &text) == MS_SHAPE_HIT);
                CHECK(stop == n && text.p == payload.p && text.n == payload.n);
                for (k = 0; k < n; k++) {
                    char *part = fuzz_copy(p, k);
                    int found = ms_shape_match(lists[i], bytes, part, k, &stop, &text, NULL);
                    CHECK(found == (k == n - 1 && n > 1 && p[n - 2] == '\r' ? MS_SHAPE_MISS : MS_SHAPE_MORE));
                    fuzz_give(part);
                }
            }
        }
        for (k = 0; k < 12; k++) mutate(&m, p, n);
    } else { /* only that nothing is read outside */
        ms_shape_match(&shape.loose, bytes, p, n, &stop, &text, NULL);
        ms_shape_match(&shape.tight, bytes, p, n, &stop, &text, NULL);
    }
    fuzz_give(bytes);
    fuzz_give(p);
    return 0;
}
