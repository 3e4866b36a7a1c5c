/* ms_shape_make.h: make a shape of a frame: find the tokens at declared paths, cut the frame there.
 *
 * Theory of operation. ms_shape_sse finds the JSON of a frame that has one `data:` line, perhaps an `event:` line, and
 * nothing else that would change a reader's state. ms_shape_scan walks over the JSON once, with a bit for each declared
 * path that the way to the present value still fits, and notes the tokens at the end of such paths. ms_shape_cut_up
 * copies what is between them.
 *
 * Contract: as ms_shape.h. The frame must be one that a JSON reader has accepted: this walk does not validate; but on no
 * bytes does it read outside the frame, or run for ever. What the proof in SHAPES.md section 3 asks for is refused here:
 * depth, equal keys, keys with a backslash, ill-formed UTF-8, mixed or lone line ends, BOM, `id:`, `retry:`, comments.
 * Cost: one pass over the frame, and for each key a comparison with the earlier ones of its object.
 * Source: SHAPES.md sections 3 and 5.
 */
#ifndef MS_SHAPE_MAKE_H
#define MS_SHAPE_MAKE_H

#include "ms_shape.h"
#include "ms_sse.h"

enum { MS_SHAPE_DEPTH = 24, MS_SHAPE_KEYS = 192, MS_SHAPE_PATHS = 32, MS_SHAPE_BYTES = 65535 };

#define MS_SHAPE_ANY UINT32_MAX

/* One step of a path: a member, or (key NULL) the position n in an array, or MS_SHAPE_ANY: whatever is below. */
typedef struct {
    const char *key;
    uint32_t n;
} ms_shape_step;

typedef enum {
    MS_SHAPE_ANSWER,  /* may hold the payload */
    MS_SHAPE_IGNORED, /* a string or number that nobody reads */
    MS_SHAPE_SELDOM,  /* the same, and it seldom changes */
    MS_SHAPE_LATEST   /* a number of which the last one counts */
} ms_shape_role;

typedef struct {
    const ms_shape_step *step;
    uint32_t n;
    uint8_t role;
} ms_shape_path;

/* Whether p[0..n) is one event of server-sent events and nothing else: its JSON is then p[*start..*end). */
static inline bool ms_shape_sse(const char *p, size_t n, size_t *start, size_t *end) {
    size_t i = 0, n_data = 0, width = 0, stop;
    bool named = false;
    while (i < n) {
        stop = i + ms_scan_eol(p + i, n - i);
        if (stop == n) return false;
        if (width == 0) width = p[stop] == '\n' ? 1 : 2;
        if (width == 2 && (p[stop] != '\r' || stop + 1 == n || p[stop + 1] != '\n')) return false;
        if (width == 1 && p[stop] != '\n') return false;
        if (stop == i) {
            return n_data == 1 && stop + width == n;
        } else if (stop - i >= 5 && memcmp(p + i, "data:", 5) == 0) {
            *start = i + 5 + (p[i + 5] == ' ');
            *end = stop;
            if (*start > stop || n_data++) return false;
        } else if (stop - i >= 6 && memcmp(p + i, "event:", 6) == 0) {
            if (named) return false;
            named = true;
        } else {
            return false;
        }
        i = stop + width;
    }
    return false;
}

typedef struct {
    uint32_t fits;  /* a bit for each path that leads here or below */
    uint32_t index; /* of the present element */
    uint16_t key;   /* where this object's keys begin */
    bool array;
} ms_shape_level;

/* The paths that fit one level further down, at member key[0..n) or (NULL) at position n. */
static inline uint32_t ms_shape_down(
    const ms_shape_path *paths, uint32_t fits, uint32_t depth, const char *key, size_t n
) {
    uint32_t left = fits, below = 0;
    while (left) {
        unsigned k = ms_ctz64(left);
        const ms_shape_path *path = &paths[k];
        uint32_t last = path->n - 1, at = depth < last ? depth : last;
        const ms_shape_step *step = &path->step[at];
        left &= left - 1;
        if (step->key == NULL && step->n == MS_SHAPE_ANY) below |= UINT32_C(1) << k;
        else if (depth > last) continue;
        else if (key ? step->key != NULL && step->n == n && memcmp(step->key, key, n) == 0
                     : step->key == NULL && step->n == n)
            below |= UINT32_C(1) << k;
    }
    return below;
}

/* The role of a leaf `depth` steps down, -1 if no path ends here. */
static inline int ms_shape_role_of(const ms_shape_path *paths, uint32_t fits, uint32_t depth) {
    while (fits) {
        const ms_shape_path *path = &paths[ms_ctz64(fits)];
        const ms_shape_step *last = &path->step[path->n - 1];
        if (path->n == depth || (path->n < depth && last->key == NULL && last->n == MS_SHAPE_ANY)) return path->role;
        fits &= fits - 1;
    }
    return -1;
}

/* Note the token p[start..end) of a leaf, if a path leads to it. False: there are too many of them. */
static inline bool ms_shape_note(ms_shape_cut *cuts, size_t *n_cuts, int role, bool string, size_t start, size_t end) {
    ms_shape_cut *cut = &cuts[*n_cuts];
    if (role < 0) return true;
    if (role == MS_SHAPE_ANSWER && (!string || start == end)) return true;
    if (role == MS_SHAPE_LATEST && string) return true;
    if (*n_cuts == MS_SHAPE_HOLES - 1) return role != MS_SHAPE_ANSWER; /* one stays free, for the spaces */
    cut->start = start;
    cut->end = end;
    cut->kind = role == MS_SHAPE_ANSWER ? MS_SHAPE_PAYLOAD : string ? MS_SHAPE_STRING : MS_SHAPE_NUMBER;
    cut->cold = role == MS_SHAPE_SELDOM || role == MS_SHAPE_LATEST;
    ++*n_cuts;
    return true;
}

static inline size_t ms_shape_space(const char *p, size_t end, size_t i) {
    while (i < end && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r')) i++;
    return i;
}

/* The closing quote of the string that begins at p[i], or `end`. */
static inline size_t ms_shape_quote(const char *p, size_t end, size_t i) {
    while (i < end && p[i] != '"') i += p[i] == '\\' ? 2 : 1;
    return i < end ? i : end;
}

/* Note the tokens of the object p[start..end) that declared paths lead to, in order. With `padded`, spaces before the
 * last brace are a hole too. All strings at the path of an answer are noted as PAYLOAD. False: make no shape of it. */
static inline bool ms_shape_scan(
    const char *p, size_t start, size_t end, const ms_shape_path *paths, uint32_t n_paths, bool padded,
    ms_shape_cut *cuts, size_t *n_cuts
) {
    ms_shape_level level[MS_SHAPE_DEPTH + 1];
    ms_span keys[MS_SHAPE_KEYS];
    uint16_t n_keys = 0, k;
    uint32_t depth = 0, utf8 = 0, fits;
    size_t i = ms_shape_space(p, end, start), stop;
    *n_cuts = 0;
    if (ms_utf8_check(&utf8, p + start, end - start, &stop) != MS_UTF8_OK || utf8 != 0) return false;
    if (i == end || p[i] != '{') return false;
    level[0].array = false;
    level[0].index = 0;
    level[0].key = 0;
    level[0].fits = n_paths >= 32 ? UINT32_MAX : (UINT32_C(1) << n_paths) - 1;
    i++;
    for (;;) {
        ms_shape_level *here = &level[depth];
        i = ms_shape_space(p, end, i);
        if (i == end) return false;
        if (p[i] == '}' || p[i] == ']') {
            n_keys = here->key;
            if (depth == 0) break;
            depth--;
            i++;
            continue;
        }
        if (p[i] == ',') {
            here->index++;
            i++;
            continue;
        }
        if (here->array) {
            fits = ms_shape_down(paths, here->fits, depth, NULL, here->index);
        } else {
            if (p[i] != '"' || n_keys == MS_SHAPE_KEYS) return false;
            stop = ms_shape_quote(p, end, ++i);
            if (stop == end || memchr(p + i, '\\', stop - i) != NULL) return false;
            for (k = here->key; k < n_keys; k++)
                if (keys[k].n == stop - i && memcmp(keys[k].p, p + i, stop - i) == 0) return false;
            keys[n_keys].p = p + i;
            keys[n_keys++].n = stop - i;
            fits = ms_shape_down(paths, here->fits, depth, p + i, stop - i);
            i = ms_shape_space(p, end, stop + 1);
            if (i == end || p[i] != ':') return false;
            i = ms_shape_space(p, end, i + 1);
            if (i == end) return false;
        }
        if (p[i] == '{' || p[i] == '[') {
            if (++depth > MS_SHAPE_DEPTH) return false;
            level[depth].array = p[i++] == '[';
            level[depth].index = 0;
            level[depth].key = n_keys;
            level[depth].fits = fits;
        } else if (p[i] == '"') {
            stop = ms_shape_quote(p, end, ++i);
            if (stop == end) return false;
            if (!ms_shape_note(cuts, n_cuts, ms_shape_role_of(paths, fits, depth + 1), true, i, stop)) return false;
            i = stop + 1;
        } else {
            stop = i;
            while (stop < end && p[stop] != ',' && p[stop] != '}' && p[stop] != ']' && p[stop] > ' ') stop++;
            if (stop == i || stop == end) return false;
            if (p[i] == '-' || (unsigned)(unsigned char)p[i] - '0' <= 9) {
                if (!ms_shape_note(cuts, n_cuts, ms_shape_role_of(paths, fits, depth + 1), false, i, stop)) return false;
            }
            i = stop;
        }
    }
    if (ms_shape_space(p, end, i + 1) != end) return false;
    if (padded) {
        size_t from = i;
        while (p[from - 1] == ' ') from--; /* ends at the brace that opened it, if not before */
        if (p[from - 1] == '}' || p[from - 1] == ']' || p[from - 1] == '"') {
            ms_shape_cut *cut = &cuts[(*n_cuts)++];
            cut->start = from;
            cut->end = i;
            cut->kind = MS_SHAPE_SPACES;
            cut->cold = false;
        }
    }
    return true;
}

/* How many bytes the shape of this frame will have. */
static inline size_t ms_shape_size(size_t n, const ms_shape_cut *cuts, size_t n_cuts) {
    size_t k, size = n;
    for (k = 0; k < n_cuts; k++)
        if (!cuts[k].cold) size -= cuts[k].end - cuts[k].start;
    return size;
}

static inline void ms_shape_literal(ms_shape_list *list, size_t off, size_t len) {
    list->off[list->n] = (uint16_t)off;
    list->len[list->n] = (uint16_t)len;
}

/* Make the shape of the frame p[0..n) that these tokens cut; `bytes` has room for ms_shape_size of them, which is at most
 * MS_SHAPE_BYTES. */
static inline void ms_shape_cut_up(
    ms_shape *shape, char *bytes, const char *p, size_t n, const ms_shape_cut *cuts, size_t n_cuts
) {
    size_t k, at = 0, from = 0, loose = 0, tight = 0;
    shape->tight.n = shape->loose.n = 0;
    shape->cold = 0;
    for (k = 0; k <= n_cuts; k++) {
        size_t start = k < n_cuts ? cuts[k].start : n;
        memcpy(bytes + at, p + from, start - from);
        at += start - from;
        ms_shape_literal(&shape->loose, loose, at - loose);
        if (k == n_cuts) {
            ms_shape_literal(&shape->tight, tight, at - tight);
            break;
        }
        from = cuts[k].end;
        shape->loose.hole[shape->loose.n++] = cuts[k].kind;
        if (cuts[k].cold) {
            shape->cold |= UINT32_C(1) << k;
            memcpy(bytes + at, p + start, from - start);
            at += from - start;
        } else {
            ms_shape_literal(&shape->tight, tight, at - tight);
            shape->tight.hole[shape->tight.n++] = cuts[k].kind;
            tight = at;
        }
        loose = at;
    }
    shape->n_bytes = (uint32_t)at;
}

#endif
