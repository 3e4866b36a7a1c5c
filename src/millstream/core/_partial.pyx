"""One-shot JSON, whole or cut off: value for value, and word for word in its errors, what `jiter.from_json` does.

Theory of operation. The tokens are those of `csrc/ms_json.h`; what jiter does otherwise is done when the strict machine
has come to an error or to the end of the data. In jiter's partial modes a container survives the end of the data, and
also a missing comma (`[1 2` gives [1]): its parent goes on at that byte. Strings are looked at for UTF-8 only once they
have ended, so that a string without end hides what is wrong in it. All that is deliberate here and nowhere else:
`JSONParser` refuses malformed input in every mode.

Knows nothing of streams. Cost: O(bytes), one pass; an error is located in a second one.
Source: https://github.com/pydantic/jiter (0.19), checked against it by tests/core/test_partial.py.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_SetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport UINT32_MAX
from libc.string cimport memset

from millstream.core._buffer cimport buffer_free, buffer_reserve
from millstream.core._json_value cimport (
    KEYS, Strings, float_value, int_value, known_value, literal_value, strings_clear, strings_init, text_value
)
from millstream.core.kernels cimport (
    MS_JSON_ARRAY, MS_JSON_END, MS_JSON_E_DEPTH, MS_JSON_E_INVALID, MS_JSON_GROW_TEXT, MS_JSON_KEY, MS_JSON_LITERAL,
    MS_JSON_NAN, MS_JSON_NEG_INF, MS_JSON_NUMBER, MS_JSON_NUMBER_PART, MS_JSON_OBJECT, MS_JSON_R_COMMA, MS_JSON_R_HEX,
    MS_JSON_R_KEY, MS_JSON_R_SURROGATE, MS_JSON_R_UTF8, MS_JSON_R_VALUE, MS_JSON_STRING, MS_JSON_S_CHARACTER,
    MS_JSON_S_COLON, MS_JSON_S_COMMA, MS_JSON_S_HEX, MS_JSON_S_ITEM_END, MS_JSON_S_KEY, MS_JSON_S_KEY_END,
    MS_JSON_S_LOW_U, MS_JSON_S_ROOT, MS_JSON_S_STRING, MS_JSON_S_TRAILING, MS_JSON_S_VALUE, ms_json, ms_json_event,
    ms_json_in_string, ms_json_number_is_whole, ms_json_step, ms_json_token, ms_json_value_done,
)

from millstream.errors import IncompleteJSON, InvalidJSON, LimitExceeded

cdef extern from "Python.h":
    bint PyDict_CheckExact(object o)
    bint PyUnicode_Check(object o)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    int PyList_Append(object list, object item) except -1

__all__ = ["LosslessFloat", "StringCache", "parse_partial_json"]

cdef enum:
    # jiter's own: 201 containers, and nothing in the innermost of them; 4,300 digits before a point or exponent.
    DEPTH = 201
    DIGITS = 4300
    CACHE_BITS = 14

cdef enum Partial:
    OFF
    ON
    TRAILING_STRINGS

cdef enum Floats:
    FLOAT
    DECIMAL
    LOSSLESS

cdef dict MODES = {
    False: OFF, True: ON, "off": OFF, "on": ON, "trailing-strings": TRAILING_STRINGS
}
cdef dict CACHE_MODES = {False: "none", True: "all", "none": "none", "keys": "keys", "all": "all"}
cdef dict FLOAT_MODES = {"float": FLOAT, "decimal": DECIMAL, "lossless-float": LOSSLESS}

# What jiter says, by if that is enough to know.
cdef tuple SAYS = (
    "expected value", "key must be a string", "expected `:`", "", "trailing characters",
    "control character (\\u0000-\\u001F) found while parsing a string", "invalid escape", "invalid escape", "",
    "invalid unicode code point", "invalid number", "expected ident",
)
# Our names for what jiter says: those of JSONParser.
cdef dict REASONS = {
    "expected value": "value", "expected ident": "literal", "expected `:`": "colon", "expected `,` or `]`": "comma",
    "expected `,` or `}`": "comma", "key must be a string": "key", "trailing comma": "trailing_comma",
    "trailing characters": "trailing", "invalid escape": "escape", "invalid number": "number",
    "lone leading surrogate in hex escape": "surrogate", "unexpected end of hex escape": "surrogate",
    SAYS[5]: "control",
}


@cython.final
cdef class StringCache:
    """Strings that several calls of `parse_partial_json` share: at most 16,384 of at most 63 ASCII characters each."""

    cdef Strings _seen

    def __cinit__(self):
        cdef PyObject **slots = <PyObject **>PyMem_Calloc(1 << CACHE_BITS, sizeof(PyObject *))
        if slots == NULL:
            raise MemoryError()
        strings_init(&self._seen, slots, CACHE_BITS)

    def __dealloc__(self):
        strings_clear(&self._seen)
        PyMem_Free(self._seen.slots)

    def __len__(self):
        cdef Py_ssize_t i, n = 0
        for i in range(1 << CACHE_BITS):
            n += self._seen.slots[i] != NULL
        return n

    @cython.critical_section
    def clear(self):
        """Forget all strings."""
        strings_clear(&self._seen)


@cython.final
cdef class LosslessFloat:
    """A number of a JSON document as it was written; `str`, `bytes`, `float` and `as_decimal` read it.

    Args: raw: bytes of one JSON number, which may have white space around it.
    Raises: ValueError: they are something else.
    """

    cdef bytes _raw

    def __init__(self, raw):
        if isinstance(raw, str):
            raise TypeError("LosslessFloat takes bytes, not str")
        cdef bytes copy = bytes(raw)
        try:
            number = parse_partial_json(copy, "off")
        except (InvalidJSON, IncompleteJSON, LimitExceeded) as error:
            raise ValueError(error.message) from None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError("expected float at line 1 column 1")
        self._raw = copy

    def as_decimal(self):
        """The same number as a `decimal.Decimal`, exactly."""
        from decimal import Decimal

        return Decimal(str(self))

    def __float__(self):
        return float(self._raw)

    def __bytes__(self):
        return self._raw

    def __str__(self):
        return self._raw.decode()

    def __repr__(self):
        return f"LosslessFloat({self})"

    def __reduce__(self):
        return LosslessFloat, (self._raw,)


def parse_partial_json(
    data, mode="trailing-strings", *, allow_inf_nan=True, cache_mode="all", catch_duplicate_keys=False,
    float_mode="float", cache=None,
):
    """Parse a JSON text that may have been cut off anywhere, as `jiter.from_json` does.

    Args:
        data: str, or contiguous bytes-like with UTF-8.
        mode: "off" or False: the text has to be complete. "on" or True: open containers are kept, with the values
            in them that are complete. "trailing-strings": an unfinished string value is kept too, up to its last whole
            character. A number at the end is kept if it is one as it stands. Malformed input raises in all modes, but
            in the last two a missing comma, a wrong bracket and what follows the document do not count.
        allow_inf_nan: accept NaN, Infinity and -Infinity.
        cache_mode: which equal strings may be one object: "all" or True, "keys", "none" or False.
        catch_duplicate_keys: make a second equal key in one object an error; else the last one wins.
        float_mode: numbers with a fraction or exponent become "float", "decimal" or "lossless-float".
        cache: a StringCache to take strings from and leave them in. None: strings are shared only inside this call.
    Returns: the value.
    Raises: IncompleteJSON: cut off where `mode` cannot help. InvalidJSON: malformed. LimitExceeded: more than 201
        containers, or a number of more than 4,300 digits. `offset`, `line` and `column` count bytes, and the message
        is jiter's. ValueError: a wrong option.
    Cost: O(len(data)). To parse a text that grows, use JSONParser: its cost does not depend on what came before.
    """
    cdef Run run
    cdef PyObject *slots[KEYS]
    if mode not in MODES:
        raise ValueError(f"mode must be 'off', 'on', 'trailing-strings' or a bool, not {mode!r}")
    if cache_mode not in CACHE_MODES:
        raise ValueError(f"cache_mode must be 'all', 'keys', 'none' or a bool, not {cache_mode!r}")
    if float_mode not in FLOAT_MODES:
        raise ValueError(f"float_mode must be 'float', 'decimal' or 'lossless-float', not {float_mode!r}")
    memset(&run, 0, sizeof(run))
    run.partial = MODES[mode]
    run.floats = FLOAT_MODES[float_mode]
    run.unique = catch_duplicate_keys
    run.m.allow_nan = allow_inf_nan
    cache_mode = CACHE_MODES[cache_mode]
    run.keep_values = cache is not None and cache_mode == "all"
    if cache is not None and cache_mode != "none":
        with cython.critical_section(cache):
            run.seen = (<StringCache?>cache)._seen
            return _parse_any(data, &run)
    if cache_mode != "none":
        memset(slots, 0, sizeof(slots))
        strings_init(&run.seen, slots, 8)
    try:
        return _parse_any(data, &run)
    finally:
        strings_clear(&run.seen)


# One call.
cdef struct Run:
    ms_json m
    Strings seen
    Partial partial
    Floats floats
    bint unique, keep_values
    const char *p
    size_t n, off
    size_t n_bad        # ill-formed UTF-8 in the present string: how often,
    size_t bad_at       # where in m.text it first stands,
    bint bad_truncated  # and whether it could have gone on there
    char stack[DEPTH]
    PyObject *containers[DEPTH]  # owned: no code of the user's can take them away
    size_t n_containers


cdef object _parse_any(object data, Run *run):
    cdef Py_buffer view
    cdef Py_ssize_t n
    if PyBytes_CheckExact(data):
        return _parse(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), run)
    if PyUnicode_Check(data):
        try:
            return _parse(PyUnicode_AsUTF8AndSize(data, &n), n, run)
        except UnicodeEncodeError:
            # A lone surrogate: as bytes it is the error that bytes would be, with the same offset.
            return _parse_any(data.encode("utf-8", "surrogatepass"), run)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _parse(<const char *>view.buf, view.len, run)
    finally:
        PyBuffer_Release(&view)


cdef object _parse(const char *p, size_t n, Run *run):
    run.p = p
    run.n = n
    run.m.stack.p = run.stack
    run.m.stack.cap = run.m.max_depth = DEPTH
    run.m.max_digits = UINT32_MAX
    try:
        return _document(run)
    finally:
        while run.n_containers:
            _leave(run)
        buffer_free(&run.m.text)


cdef inline int _leave(Run *run) except -1:
    run.n_containers -= 1
    Py_DECREF(<object>run.containers[run.n_containers])
    return 0


cdef object _document(Run *run):
    cdef ms_json *m = &run.m
    cdef ms_json_token token
    cdef ms_json_event event
    cdef bint is_object
    cdef object value, key = None, root = None, container = None
    while True:
        event = ms_json_step(m, run.p, run.n, &run.off, &token)
        if m.depth == DEPTH and _in_value(m, event):
            _too_deep(run, m.start)
        if event == MS_JSON_KEY:
            if run.n_bad:
                _bad_utf8(run)
            key = known_value(&run.seen, token.p, token.n, token.ascii)
            if run.unique and PyDict_Contains(container, key):
                _duplicate_key(run, key)
            continue
        elif event == MS_JSON_STRING:
            if run.n_bad:
                # A sequence that the quote has cut off passes for one that the end of the data has cut off.
                if run.partial != TRAILING_STRINGS or not _ends_truncated(run):
                    _bad_utf8(run)
                run.n_bad = 0
            if run.keep_values:
                value = known_value(&run.seen, token.p, token.n, token.ascii)
            else:
                value = text_value(token.p, token.n, token.ascii)
        elif event == MS_JSON_NUMBER:
            value = _number(run, token.p, token.n)
        elif event == MS_JSON_OBJECT or event == MS_JSON_ARRAY:
            is_object = m.in_object
            value = {} if is_object else []
            if container is None:
                root = value
            elif PyDict_CheckExact(container):
                PyDict_SetItem(container, key, value)
            else:
                PyList_Append(container, value)
            Py_INCREF(value)
            run.containers[run.n_containers] = <PyObject *>value
            run.n_containers += 1
            container = value
            continue
        elif event == MS_JSON_END:
            container = _parent(run)
            if container is None and run.partial:
                return root
            continue
        elif event == MS_JSON_LITERAL:
            value = _literal(run, token.n)
        elif event == MS_JSON_GROW_TEXT:
            # Enough for the rest: memory that is not written to costs nothing.
            buffer_reserve(&m.text, run.n - run.off + 16)
            continue
        elif event == MS_JSON_E_INVALID and m.reason == MS_JSON_R_UTF8:
            _step_over(run)
            continue
        elif event == MS_JSON_E_INVALID and m.reason == MS_JSON_R_COMMA and run.partial:
            container = _parent(run)
            if container is None:
                return root
            m.depth -= 1
            m.in_object = PyDict_CheckExact(container)
            continue
        elif event == MS_JSON_E_DEPTH:
            _too_deep(run, run.off)
        elif event == MS_JSON_E_INVALID and not (m.reason == MS_JSON_R_HEX and run.off - m.n_hex + 3 >= run.n):
            # jiter reads four hexadecimal digits at once: if there are fewer bytes, that is the end of the data.
            _invalid(run)
        elif event == MS_JSON_NUMBER_PART and ms_json_number_is_whole(m):
            value = _number(run, token.p, token.n)
            ms_json_value_done(m, True)
        elif m.state == MS_JSON_S_TRAILING:
            return root
        elif run.partial == TRAILING_STRINGS and ms_json_in_string(m):
            if run.n_bad and (m.state == MS_JSON_S_CHARACTER or not _ends_truncated(run)):
                _bad_utf8(run)
            value = text_value(m.text.p, m.text.n, m.ascii)
            ms_json_value_done(m, False)
            run.off = run.n
        elif run.partial and m.depth:
            return root
        else:
            _end_of_data(run)
        if container is None:
            root = value
            if run.partial:
                return root
        elif m.in_object:
            PyDict_SetItem(container, key, value)
        else:
            PyList_Append(container, value)


cdef inline bint _in_value(ms_json *m, ms_json_event event) noexcept:
    """Whether the step was one of a string, number or literal that is no key."""
    return (
        event == MS_JSON_STRING or event == MS_JSON_NUMBER or event == MS_JSON_LITERAL
        or (m.state >= MS_JSON_S_STRING and not m.in_key)
    )


cdef inline object _parent(Run *run):
    """Leave the innermost container for the one around it; None: that was the root."""
    _leave(run)
    return <object>run.containers[run.n_containers - 1] if run.n_containers else None


cdef object _number(Run *run, const char *p, size_t n):
    cdef size_t digits = 0, first = n > 0 and p[0] == c"-"
    if n > DIGITS:
        while first + digits < n and c"0" <= p[first + digits] <= c"9":
            digits += 1
        if digits > DIGITS:
            _too_long(run, run.m.start + first + DIGITS + 1)
    if not run.m.is_float:
        return int_value(p, n)
    if run.floats == FLOAT:
        return float_value(p, n)
    return _exact(run, p[:n])


cdef object _exact(Run *run, bytes text):
    cdef LosslessFloat number
    if run.floats == LOSSLESS:
        number = LosslessFloat.__new__(LosslessFloat)
        number._raw = text
        return number
    from decimal import Decimal, InvalidOperation
    try:
        return Decimal(text.decode())
    except InvalidOperation as error:
        raise _error(run, f'Internal error: "InvalidOperation: {error}"', run.off, "number_range") from None


cdef object _literal(Run *run, size_t which):
    if which < MS_JSON_NAN or run.floats == FLOAT:
        return literal_value(which)
    return _exact(run, b"NaN" if which == MS_JSON_NAN else b"-Infinity" if which == MS_JSON_NEG_INF else b"Infinity")


# --- ill-formed UTF-8 ---

cdef int _step_over(Run *run) except -1:
    """Whether it counts is not known before the end of the string."""
    if run.n_bad == 0:
        run.bad_at = run.m.text.n
        run.bad_truncated = run.m.state == MS_JSON_S_CHARACTER
    run.n_bad += 1
    if run.m.state == MS_JSON_S_STRING:
        run.off += 1  # else the byte is not part of it, and may be the quote
    run.m.state = MS_JSON_S_STRING
    return 0


cdef inline bint _ends_truncated(Run *run) noexcept:
    return run.n_bad == 1 and run.bad_truncated and run.bad_at == run.m.text.n


# --- errors ---

cdef int _invalid(Run *run) except -1:
    cdef ms_json *m = &run.m
    cdef size_t off = run.off
    cdef char c = run.p[off]
    cdef str text
    if m.reason == MS_JSON_R_VALUE:
        if m.state == MS_JSON_S_VALUE and not m.in_object and c == c"]":
            text = "trailing comma"
        elif m.depth == DEPTH:
            _too_deep(run, off)
        else:
            text = "expected value"
    elif m.reason == MS_JSON_R_KEY:
        text = "trailing comma" if m.state == MS_JSON_S_KEY and c == c"}" else "key must be a string"
    elif m.reason == MS_JSON_R_COMMA:
        text = "expected `,` or `}`" if m.in_object else "expected `,` or `]`"
    elif m.reason == MS_JSON_R_SURROGATE:
        text = (
            "lone leading surrogate in hex escape" if m.state == MS_JSON_S_HEX else "unexpected end of hex escape"
        )
    else:
        text = SAYS[m.reason]
    raise _error(run, text, off, REASONS[text])


cdef int _bad_utf8(Run *run) except -1:
    # Counted in the unescaped string, as jiter does.
    raise _error(run, "invalid unicode code point", run.m.start + 1 + run.bad_at, "utf8")


cdef int _duplicate_key(Run *run, str key) except -1:
    """jiter sees it behind the colon. Without one, the error is another."""
    cdef size_t i = run.off
    while i < run.n and run.p[i] in b" \t\r\n":
        i += 1
    if i < run.n and run.p[i] == c":":
        quoted = key.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        quoted = quoted.replace("\t", "\\t").replace("\0", "\\0")
        raise _error(run, f'Detected duplicate key "{quoted}"', i + 1, "duplicate_key")
    return 0


cdef int _end_of_data(Run *run) except -1:
    cdef ms_json *m = &run.m
    if MS_JSON_S_STRING <= m.state <= MS_JSON_S_LOW_U:
        what = "a string"
    elif m.state == MS_JSON_S_KEY_END or m.state == MS_JSON_S_COLON or (m.state == MS_JSON_S_COMMA and m.in_object):
        what = "an object"
    elif m.state == MS_JSON_S_ITEM_END or m.state == MS_JSON_S_COMMA:
        what = "a list"
    else:
        what = "a value"
    line, column = _locate(run, run.n)
    raise IncompleteJSON(
        f"EOF while parsing {what} at line {line} column {column}", offset=run.n,
        reason="empty" if m.state == MS_JSON_S_ROOT else "incomplete",
    )


cdef int _too_deep(Run *run, size_t offset) except -1:
    line, column = _locate(run, offset)
    raise LimitExceeded(
        f"recursion limit exceeded at line {line} column {column}", offset=offset, reason="too_deep",
        option="max_depth", limit=DEPTH,
    )


cdef int _too_long(Run *run, size_t offset) except -1:
    line, column = _locate(run, offset)
    raise LimitExceeded(
        f"number out of range at line {line} column {column}", offset=offset, reason="too_many_digits",
        option="max_digits", limit=DIGITS,
    )


cdef object _error(Run *run, str text, size_t offset, str reason):
    line, column = _locate(run, offset)
    return InvalidJSON(
        f"{text} at line {line} column {column}", offset=offset, reason=reason, line=line, column=column,
        snippet=run.p[min(offset, run.n):min(offset + 40, run.n)],
    )


cdef tuple _locate(Run *run, size_t offset):
    """Line and column of a byte, as jiter counts: a line feed is column 0 of the line it begins."""
    cdef size_t i, line = 1, start = 0, end = min(offset + 1, run.n)
    for i in range(end):
        if run.p[i] == c"\n":
            line += 1
            start = i + 1
    return line, end - start
