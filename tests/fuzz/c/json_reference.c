/* json_reference.c: RFC 8259 by recursive descent over the whole text. Slow, and shares nothing with ms_json.h. */
#include "../../c/oracles.h"
#include "machines.h"

#include <setjmp.h>

/* As ms_json_event has them. */
enum { DONE = 11, INVALID = 12, INCOMPLETE = 13, TOO_DEEP = 14, TOO_LONG = 15 };

typedef struct {
    const unsigned char *p;
    size_t n, i;
    const json_options *options;
    fuzz_trace *out;
    uint32_t depth, n_digits;
    char *text; /* of the present string */
    size_t n_text;
    bool in_value;
    jmp_buf end;
} reader;

static _Noreturn void stop(reader *r, int why) { longjmp(r->end, why); }

static unsigned char peek(reader *r) {
    if (r->i == r->n) stop(r, INCOMPLETE);
    return r->p[r->i];
}

static bool is_one_of(unsigned char c, const char *some) { return c && strchr(some, c) != NULL; }

static void white_space(reader *r) {
    while (r->i < r->n && is_one_of(r->p[r->i], " \t\r\n")) r->i++;
}

static void say(reader *r, char kind, uint64_t what, size_t start) {
    fuzz_say_number(r->out, kind, what);
    fuzz_say_number(r->out, 'a', start);
    fuzz_say_number(r->out, 'z', r->i);
}

static void digits(reader *r) {
    if (!is_one_of(peek(r), "0123456789")) stop(r, INVALID);
    while (r->i < r->n && is_one_of(r->p[r->i], "0123456789")) {
        if (r->n_digits == r->options->max_digits) stop(r, TOO_LONG);
        r->n_digits++;
        r->i++;
    }
}

static void literal(reader *r, const char *name, unsigned which, size_t start) {
    for (; *name; name++, r->i++)
        if (peek(r) != (unsigned char)*name) stop(r, INVALID);
    say(r, 'L', which, start);
}

static void number(reader *r) {
    size_t start = r->i;
    bool is_float = false;
    r->n_digits = 0;
    if (peek(r) == '-') r->i++;
    if (r->i > start && peek(r) == 'I' && r->options->allow_nan) {
        literal(r, "Infinity", 5, start);
        return;
    }
    if (peek(r) == '0') {
        if (r->n_digits == r->options->max_digits) stop(r, TOO_LONG);
        r->n_digits++;
        r->i++;
        if (r->i < r->n && is_one_of(r->p[r->i], "0123456789")) stop(r, INVALID);
    } else {
        digits(r);
    }
    if (r->i < r->n && r->p[r->i] == '.') {
        is_float = true;
        r->i++;
        digits(r);
    }
    if (r->i < r->n && is_one_of(r->p[r->i], "eE")) {
        is_float = true;
        r->i++;
        if (r->i < r->n && is_one_of(r->p[r->i], "+-")) r->i++;
        digits(r);
    }
    if (r->i == r->n && r->depth) stop(r, INCOMPLETE); /* more digits may come */
    fuzz_say(r->out, is_float ? 'F' : 'I', r->p + start, r->i - start);
    fuzz_say_number(r->out, 'a', start);
    fuzz_say_number(r->out, 'z', r->i);
}

static uint32_t hex4(reader *r) {
    static const char table[] = "0123456789abcdef0123456789ABCDEF";
    uint32_t code = 0;
    int k;
    for (k = 0; k < 4; k++, r->i++) {
        unsigned char c = peek(r);
        if (!is_one_of(c, table)) stop(r, INVALID);
        code = code * 16 + (uint32_t)(strchr(table, c) - table) % 16;
    }
    return code;
}

/* Unicode's table 3-6, backwards: how many bytes is told by the size of the number. */
static void put(reader *r, uint32_t code) {
    unsigned length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4, k;
    for (k = length; k > 1; k--) {
        r->text[r->n_text + k - 1] = (char)(0x80 + code % 64);
        code /= 64;
    }
    r->text[r->n_text] = (char)(length == 1 ? code : (0xF00u >> length & 0xFF) + code);
    r->n_text += length;
}

static void escape(reader *r) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    unsigned char c = peek(r);
    uint32_t code, low;
    if (c != 'u') {
        if (!is_one_of(c, names)) stop(r, INVALID);
        r->i++;
        put(r, (unsigned char)values[strchr(names, c) - names]);
        return;
    }
    r->i++;
    code = hex4(r);
    if (code >= 0xDC00 && code <= 0xDFFF) {
        r->i--;
        stop(r, INVALID);
    }
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (peek(r) != '\\') stop(r, INVALID);
        r->i++;
        if (peek(r) != 'u') stop(r, INVALID);
        r->i++;
        low = hex4(r);
        if (low < 0xDC00 || low > 0xDFFF) {
            r->i--;
            stop(r, INVALID);
        }
        code = 0x10000 + (code % 0x400) * 0x400 + low % 0x400;
    }
    put(r, code);
}

static void string(reader *r, char kind) {
    size_t start = r->i++;
    r->n_text = 0;
    r->in_value = kind == 'S';
    while (peek(r) != '"') {
        unsigned char c = r->p[r->i];
        if (c == '\\') {
            r->i++;
            escape(r);
        } else if (c < 0x20) {
            stop(r, INVALID);
        } else {
            /* The shortest piece that is well-formed, if any is. */
            size_t most = r->n - r->i, length = 1;
            utf8_verdict verdict = naive_utf8(r->p + r->i, 1);
            while (verdict.ok && verdict.pending && length < most) verdict = naive_utf8(r->p + r->i, ++length);
            if (!verdict.ok) {
                r->i += verdict.off;
                stop(r, INVALID);
            }
            if (verdict.pending) {
                r->i = r->n;
                stop(r, INCOMPLETE);
            }
            memcpy(r->text + r->n_text, r->p + r->i, length);
            r->n_text += length;
            r->i += length;
        }
    }
    r->i++;
    r->in_value = false;
    fuzz_say(r->out, kind, r->text, r->n_text);
    fuzz_say_number(r->out, 'a', start);
    fuzz_say_number(r->out, 'z', r->i);
}

static void value(reader *r);

static void container(reader *r, char open, char close) {
    size_t start = r->i;
    if (r->depth == r->options->max_depth) stop(r, TOO_DEEP);
    r->depth++;
    r->i++;
    say(r, open, r->depth, start);
    white_space(r);
    if (peek(r) != (unsigned char)close) {
        for (;;) {
            if (open == '{') {
                if (peek(r) != '"') stop(r, INVALID);
                string(r, 'K');
                white_space(r);
                if (peek(r) != ':') stop(r, INVALID);
                r->i++;
                white_space(r);
            }
            value(r);
            white_space(r);
            if (peek(r) == (unsigned char)close) break;
            if (peek(r) != ',') stop(r, INVALID);
            r->i++;
            white_space(r);
        }
    }
    r->i++;
    r->depth--;
    fuzz_say_number(r->out, ']', r->depth);
    fuzz_say_number(r->out, 'z', r->i);
}

static void value(reader *r) {
    switch (peek(r)) {
    case '{': container(r, '{', '}'); break;
    case '[': container(r, '[', ']'); break;
    case '"': string(r, 'S'); break;
    case 'n': literal(r, "null", 0, r->i); break;
    case 't': literal(r, "true", 1, r->i); break;
    case 'f': literal(r, "false", 2, r->i); break;
    case 'N':
        if (!r->options->allow_nan) stop(r, INVALID);
        literal(r, "NaN", 3, r->i);
        break;
    case 'I':
        if (!r->options->allow_nan) stop(r, INVALID);
        literal(r, "Infinity", 4, r->i);
        break;
    default:
        if (!is_one_of(peek(r), "-0123456789")) stop(r, INVALID);
        number(r);
    }
}

static _Noreturn void documents(reader *r) {
    white_space(r);
    if (r->options->multiple && r->i == r->n) stop(r, DONE);
    for (;;) {
        bool bare = !is_one_of(peek(r), "{[\""), begins;
        size_t end;
        value(r);
        end = r->i;
        white_space(r);
        if (r->i == r->n) stop(r, DONE);
        begins = is_one_of(peek(r), "{[\"");
        if (!r->options->multiple || (bare && end == r->i && !begins)) stop(r, INVALID);
    }
}

void json_reference(const json_options *options, const char *p, size_t n, fuzz_trace *out) {
    reader r = {.p = (const unsigned char *)p, .n = n, .options = options, .out = out};
    int why;
    r.text = malloc(n + 4);
    CHECK(r.text != NULL);
    why = setjmp(r.end);
    if (why == 0) documents(&r);
    if (r.in_value) fuzz_say(out, 'P', r.text, r.n_text);
    fuzz_say_number(out, '!', (uint64_t)why);
    fuzz_say_number(out, '@', why == INCOMPLETE ? n : r.i);
    if (why == INVALID) {
        size_t i, line = 0, column = 0;
        for (i = 0; i < r.i; i++) {
            if (p[i] == '\n') line++, column = 0;
            else if ((p[i] & 0xC0) != 0x80) column++; /* characters, not bytes */
        }
        fuzz_say_number(out, 'l', line);
        fuzz_say_number(out, 'c', column);
    }
    free(r.text);
}

bool is_json(const char *p, size_t n) {
    static const json_options options = {.max_depth = 1000, .max_digits = 4300, .grow = 1};
    fuzz_trace out = {NULL, 0, 0};
    char last[40];
    size_t n_last = (size_t)snprintf(last, sizeof last, "!11 @%zu ", n); /* done, at the end */
    bool ok;
    json_reference(&options, p, n, &out);
    ok = out.n >= n_last && memcmp(out.p + out.n - n_last, last, n_last) == 0;
    fuzz_forget(&out);
    return ok;
}
