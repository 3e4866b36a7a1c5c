/* json_machine.c: ms_json.h with memory that grows as little as asked for, and what must hold at every step. */
#include "machines.h"
#include "ms_json.h"

#ifdef MS_SCAN_SCALAR
#define MACHINE json_scalar
#else
#define MACHINE json_vector
#endif

static void grow(ms_buffer *b, size_t by) {
    char *p;
    if (by == 0) by = ms_grow(b->cap, b->cap + 1) - b->cap;
    p = fuzz_take(b->cap + by); /* a new place each time: what points into the old one is found out */
    if (b->p) memcpy(p, b->p, b->cap);
    fuzz_give(b->p);
    b->p = p;
    b->cap += by;
}

static bool inside(const ms_json_token *token, const char *p, size_t n) {
    return token->p >= p && token->n <= n && (size_t)(token->p - p) <= n - token->n;
}

static void say_token(const ms_json *s, ms_json_event event, const ms_json_token *token, uint64_t end, fuzz_trace *out) {
    if (event == MS_JSON_LITERAL) fuzz_say_number(out, 'L', token->n);
    else if (event == MS_JSON_KEY) fuzz_say(out, 'K', token->p, token->n);
    else if (event == MS_JSON_STRING) fuzz_say(out, 'S', token->p, token->n);
    else if (event == MS_JSON_NUMBER) fuzz_say(out, s->is_float ? 'F' : 'I', token->p, token->n);
    else fuzz_say_number(out, event == MS_JSON_OBJECT ? '{' : event == MS_JSON_ARRAY ? '[' : ']', s->depth);
    if (event != MS_JSON_END) fuzz_say_number(out, 'a', s->start);
    fuzz_say_number(out, 'z', end);
}

static void join_number(ms_json *s, const json_options *options, ms_json_token *token) {
    while (s->text.cap - s->text.n < token->n) grow(&s->text, options->grow);
    if (token->n) memcpy(s->text.p + s->text.n, token->p, token->n);
    s->text.n += token->n;
    token->p = s->text.p;
    token->n = s->text.n;
}

/* The error is the same when it is asked for again. */
static void ask_again(const ms_json *s, const char *p, size_t n, size_t off) {
    ms_json copy = *s;
    ms_json_token token = {p, 0, true};
    size_t again = off;
    CHECK(ms_json_step(&copy, p, n, &again, &token) == MS_JSON_E_INVALID);
    CHECK(again == off && copy.state == s->state && copy.text.n == s->text.n && copy.reason == s->reason);
}

void MACHINE(const json_options *options, const char *doc, size_t n, fuzz_cuts cuts, fuzz_trace *out) {
    ms_json s = {
        .max_depth = options->max_depth, .max_digits = options->max_digits,
        .allow_nan = options->allow_nan, .multiple = options->multiple,
    };
    ms_json_token token = {NULL, 0, true};
    ms_json_event event = MS_JSON_MORE;
    size_t at = 0, held = 0;
    while (at < n && event < MS_JSON_E_INVALID) {
        size_t size = fuzz_piece(&cuts, n - at), off = 0, steps = 0, grown = 0, before;
        char *p = fuzz_copy(doc + at, size);
        for (;;) {
            before = off;
            event = ms_json_step(&s, p, size, &off, &token);
            steps++;
            CHECK(off >= before && off <= size && s.text.n <= s.text.cap && s.depth <= s.stack.cap);
            CHECK(s.depth <= s.max_depth && s.n_digits <= s.max_digits && s.text.n <= at + size);
            if (event == MS_JSON_MORE || event >= MS_JSON_E_INVALID) break;
            if (event == MS_JSON_GROW_STACK || event == MS_JSON_GROW_TEXT) {
                /* A caller that gets no memory may ask again, now or later. */
                if (grown++ & 1) grow(event == MS_JSON_GROW_STACK ? &s.stack : &s.text, options->grow);
                continue;
            }
            if (event <= MS_JSON_NUMBER_PART && event != MS_JSON_MORE)
                CHECK(inside(&token, p, size) || inside(&token, s.text.p, s.text.n));
            if (event == MS_JSON_KEY || event == MS_JSON_STRING)
                CHECK((ms_scan_is_ascii(token.p, token.n) != 0) == token.ascii);
            if (event == MS_JSON_NUMBER_PART || (event == MS_JSON_NUMBER && s.text.n)) join_number(&s, options, &token);
            if (event == MS_JSON_NUMBER_PART) continue;
            say_token(&s, event, &token, s.base + off, out);
        }
        CHECK(event != MS_JSON_MORE || off == size);
        CHECK(steps <= 2 * size + 2 + grown); /* each takes a byte, but for the empty rest of a number, and the last */
        if (event == MS_JSON_E_INVALID) ask_again(&s, p, size, off);
        s.base += off;
        at += size;
        fuzz_give(p);
        if (s.text.n > held) held = s.text.n;
    }
    if (ms_json_in_string(&s)) fuzz_say(out, 'P', s.text.p, s.text.n);
    if (event < MS_JSON_E_INVALID) {
        event = ms_json_finish(&s, &token);
        if (event == MS_JSON_NUMBER) {
            join_number(&s, options, &token);
            say_token(&s, event, &token, s.base, out);
            event = ms_json_finish(&s, &token);
        }
    }
    fuzz_say_number(out, '!', event);
    fuzz_say_number(out, '@', s.base);
    if (event == MS_JSON_E_INVALID) {
        fuzz_say_number(out, 'l', s.line);
        fuzz_say_number(out, 'c', s.base - s.line_start - s.n_tail);
    }
    fuzz_give(s.stack.p);
    fuzz_give(s.text.p);
}
