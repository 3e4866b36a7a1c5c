/* ms_pick.h: read a message once, and note where its values at declared places are, without building anything.
 *
 * Theory of operation. Declared places are the nodes of a tree of keys; the node of an array's first element hangs
 * below the array's. The walk goes over the JSON once. It knows the node of the present value, or that there is none,
 * and notes for each node what kind of value stands there and, of a string or number, where. What is not declared is
 * checked and stepped over.
 *
 * Contract: reads p[0..n) only; no allocation, no globals, no Python. What it accepts is a subset of what orjson
 * accepts, and means the same. It refuses (0) what is ill-formed or cut off, line ends between tokens, depth above
 * MS_PICK_DEPTH, keys with a backslash, a declared key twice in one object, a second element where the place of the
 * first is declared, a value of another kind than the places below it need (null is none), and where a node is
 * `strict`, undeclared keys. Below `any` it only refuses what is not false where a node is `falsy`.
 * Cost: one pass; for each key a look into one slot of the present node.
 * Source: RFC 8259; docs/topics/shapes.md.
 */
#ifndef MS_PICK_H
#define MS_PICK_H

#include "ms_shape.h"

enum { MS_PICK_DEPTH = 24, MS_PICK_NODES = 96, MS_PICK_SLOTS = 16, MS_PICK_NOWHERE = 255 };

/* What stands at a place. Up to MS_PICK_FALSY, Python takes it for false. */
typedef enum {
    MS_PICK_NOTHING,
    MS_PICK_NULL,
    MS_PICK_FALSE,
    MS_PICK_ZERO,
    MS_PICK_NO_TEXT,
    MS_PICK_NO_ELEMENTS,
    MS_PICK_NO_MEMBERS,
    MS_PICK_FALSY = MS_PICK_NO_MEMBERS,
    MS_PICK_TRUE,
    MS_PICK_NUMBER,
    MS_PICK_STRING,
    MS_PICK_ARRAY,
    MS_PICK_OBJECT
} ms_pick_kind;

typedef struct {
    const char *key;
    uint32_t n;
    uint8_t slot[MS_PICK_SLOTS]; /* the first member of this hash, 0: none */
    uint8_t next;                /* the next one of the same slot, 0: none */
    uint8_t element;             /* the place of an array's first element, 0: none */
    uint8_t any;                 /* the place of each member that has no other one, 0: none */
    bool many;                   /* it is such a place, or below one: nothing is noted of it */
    bool members;                /* places below are those of an object's members */
    bool scalar; /* what stands here may be a string, a number and so on, though places are below */
    bool strict;
    bool falsy;                  /* nothing but a false value may stand here */
} ms_pick_node;

static inline unsigned ms_pick_hash(const char *key, size_t n) {
    return n ? (unsigned)(n * 3 + (unsigned char)key[0] + (unsigned char)key[n - 1] * 2) % MS_PICK_SLOTS : 0;
}

static inline uint8_t ms_pick_member(const ms_pick_node *nodes, uint8_t node, const char *key, size_t n) {
    uint8_t at = nodes[node].slot[ms_pick_hash(key, n)];
    while (at && (nodes[at].n != n || memcmp(nodes[at].key, key, n) != 0)) at = nodes[at].next;
    return at;
}

static inline size_t ms_pick_space(const char *p, size_t n, size_t i) {
    while (i < n && (p[i] == ' ' || p[i] == '\t')) i++;
    return i;
}

/* Whether p[0..n) begins with this word. */
static inline bool ms_pick_word(const char *p, size_t n, const char *word, size_t length) {
    return n >= length && memcmp(p, word, length) == 0;
}

/* Walk over the object at p[0]: its length; 0: it is refused. The root is node 0; kind[0..n_nodes) are zeros. */
static inline size_t ms_pick(
    const char *p, size_t n, const ms_pick_node *nodes, uint8_t *kind, ms_shape_text *text
) {
    struct { uint8_t node; bool array; } level[MS_PICK_DEPTH];
    ms_shape_text other;
    uint32_t depth = 0;
    uint8_t node = 0, found;
    size_t i = 0, start;
    if (n == 0 || p[0] != '{') return 0;
    for (;;) {
        /* at a value, whose place is `node` */
        if (i == n) return 0;
        start = i;
        other.p = p + i;
        other.escaped = other.wide = false;
        if (p[i] == '{' || p[i] == '[') {
            bool array = p[i] == '[';
            if (depth == MS_PICK_DEPTH) return 0;
            i = ms_pick_space(p, n, i + 1);
            if (i == n) return 0;
            found = p[i] != (array ? ']' : '}') ? (array ? MS_PICK_ARRAY : MS_PICK_OBJECT)
                    : array                     ? MS_PICK_NO_ELEMENTS
                                                : MS_PICK_NO_MEMBERS;
            if (node != MS_PICK_NOWHERE) {
                if (kind[node] || (nodes[node].falsy && found > MS_PICK_FALSY)) return 0;
                if (array ? nodes[node].members : nodes[node].element != 0) return 0;
                if (!nodes[node].many) kind[node] = found;
            }
            if (found > MS_PICK_FALSY) {
                level[depth].node = node;
                level[depth++].array = array;
                if (array) {
                    node = node != MS_PICK_NOWHERE && nodes[node].element ? nodes[node].element : MS_PICK_NOWHERE;
                    continue;
                }
                goto key;
            }
            i++;
        } else {
            if (p[i] == '"') {
                i++;
                if (ms_shape_string(p, n, &i, &other) != MS_SHAPE_HIT) return 0;
                found = other.n ? MS_PICK_STRING : MS_PICK_NO_TEXT;
                i++;
            } else if (p[i] == 'n') {
                if (!ms_pick_word(p + i, n - i, "null", 4)) return 0;
                found = MS_PICK_NULL;
                i += 4;
            } else if (p[i] == 'f') {
                if (!ms_pick_word(p + i, n - i, "false", 5)) return 0;
                found = MS_PICK_FALSE;
                i += 5;
            } else if (p[i] == 't') {
                if (!ms_pick_word(p + i, n - i, "true", 4)) return 0;
                found = MS_PICK_TRUE;
                i += 4;
            } else {
                if (ms_shape_number(p, n, &i) != MS_SHAPE_HIT) return 0;
                other.n = i - start;
                found = other.n == 1 && p[start] == '0' ? MS_PICK_ZERO : MS_PICK_NUMBER;
            }
            if (node != MS_PICK_NOWHERE) {
                if (kind[node] || (nodes[node].falsy && found > MS_PICK_FALSY)) return 0;
                if ((nodes[node].members || nodes[node].element) && !nodes[node].scalar && found != MS_PICK_NULL)
                    return 0;
                if (!nodes[node].many) {
                    kind[node] = found;
                    text[node] = other;
                }
            }
        }
        /* behind a value */
        for (;;) {
            if (depth == 0) return i;
            i = ms_pick_space(p, n, i);
            if (i == n) return 0;
            if (p[i] == ',') break;
            if (p[i] != (level[depth - 1].array ? ']' : '}')) return 0;
            i++;
            depth--;
        }
        i = ms_pick_space(p, n, i + 1);
        if (level[depth - 1].array) {
            node = level[depth - 1].node;
            if (node != MS_PICK_NOWHERE && nodes[node].element) return 0;
            node = MS_PICK_NOWHERE;
            continue;
        }
    key:
        if (i == n || p[i] != '"') return 0;
        i++;
        if (ms_shape_string(p, n, &i, &other) != MS_SHAPE_HIT || other.escaped) return 0;
        node = level[depth - 1].node;
        if (node != MS_PICK_NOWHERE) {
            uint8_t below = ms_pick_member(nodes, node, other.p, other.n);
            if (below == 0 && nodes[node].strict) return 0;
            node = below ? below : nodes[node].any ? nodes[node].any : MS_PICK_NOWHERE;
        }
        i = ms_pick_space(p, n, i + 1);
        if (i == n || p[i] != ':') return 0;
        i = ms_pick_space(p, n, i + 1);
    }
}

/* The end of the line at p[i]: behind LF, or CR and LF. 0: there is none, or other bytes are before it. */
static inline size_t ms_pick_line_end(const char *p, size_t n, size_t i) {
    i = ms_pick_space(p, n, i);
    if (i < n && p[i] == '\r') i++;
    return i < n && p[i] == '\n' ? i + 1 : 0;
}

/* The same for a line of JSON, with its end. */
static inline size_t ms_pick_json_line(
    const char *p, size_t n, const ms_pick_node *nodes, uint8_t *kind, ms_shape_text *text
) {
    size_t length = ms_pick(p, n, nodes, kind, text);
    return length ? ms_pick_line_end(p, n, length) : 0;
}

/* The same for a server-sent event, with its blank line: `data: {...}`, after `event: ...` or not. One that is named
 * "error" is refused. */
static inline size_t ms_pick_event(
    const char *p, size_t n, const ms_pick_node *nodes, uint8_t *kind, ms_shape_text *text
) {
    size_t i = 0, length, end;
    if (ms_pick_word(p, n, "event:", 6)) {
        end = ms_scan_eol(p, n);
        i = end > 6 && p[6] == ' ' ? 7 : 6;
        if (end - i == 5 && memcmp(p + i, "error", 5) == 0) return 0;
        if ((i = ms_pick_line_end(p, n, end)) == 0) return 0;
    }
    if (!ms_pick_word(p + i, n - i, "data:", 5)) return 0;
    i = ms_pick_space(p, n, i + 5);
    length = ms_pick(p + i, n - i, nodes, kind, text);
    if (length == 0 || (end = ms_pick_line_end(p, n, i + length)) == 0) return 0;
    return end < n && (p[end] == '\n' || p[end] == '\r') ? ms_pick_line_end(p, n, end) : 0;
}

#endif
