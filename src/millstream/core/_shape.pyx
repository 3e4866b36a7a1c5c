"""Shapes: an inline cache for the JSON of one stream. A decoder's events, frame by frame, mostly without reading JSON.

Theory of operation. Consecutive frames of an AI stream are nearly the same bytes. A frame that no shape matches goes
the slow way: the parser gives a message, the decoder maps it. If that was pure (it gave one event, which carries the
text at a declared path, and changed nothing that later events depend on) its bytes become a shape, and its event the
pattern. A frame that matches gives a copy of the pattern with its own text. The slow way alone says what bytes mean;
what its code must keep to, so that a match means the same, is said in protocols/_base.py.

The most likely shape is tried first: the one that came after the last one before. A frame that the end of a chunk cuts,
and that fits so far, is kept here until it is whole; if it does not fit after all, the parser gets it.

Knows nothing of providers; the event classes are given. Source: SHAPES.md. Kernels: csrc/ms_shape.h, ms_shape_make.h.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from millstream.core._buffer cimport Buffer, buffer_append, buffer_clear, buffer_free, buffer_reserve
from millstream.core._parser cimport Parser
from millstream.core._rules cimport Found, Rule, Rules, number_at
from millstream.core._sse cimport SSEMessage
from millstream.core.kernels cimport (
    MS_PICK_FALSY, MS_PICK_NOWHERE, MS_PICK_NULL, MS_PICK_STRING, MS_SHAPE_ANSWER, MS_SHAPE_ANY, MS_SHAPE_BYTES,
    MS_SHAPE_ECHO, MS_SHAPE_HIT, MS_SHAPE_HOLES, MS_SHAPE_IGNORED, MS_SHAPE_LATEST, MS_SHAPE_MISS, MS_SHAPE_MORE,
    MS_SHAPE_PATHS, MS_SHAPE_PAYLOAD, MS_SHAPE_SELDOM, ms_scan_eol, ms_shape, ms_shape_cut, ms_shape_cut_up,
    ms_shape_match, ms_shape_path, ms_shape_scan, ms_shape_size, ms_shape_sse, ms_shape_step, ms_shape_string,
    ms_shape_text, ms_shape_unescape,
)

from types import MemberDescriptorType

from orjson import JSONDecodeError, loads

from millstream.core._ndjson import NDJSONParser
from millstream.errors import ParserClosed

__all__ = ["Fed", "FrameReader", "Layout", "Shapes", "layouts_of"]

cdef extern from "Python.h":
    ctypedef struct PyMemberDef:
        Py_ssize_t offset

    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member

    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize
        unsigned long tp_flags

    unsigned long Py_TPFLAGS_HAVE_GC
    PyObject *_PyObject_New(PyTypeObject *type) except NULL
    object PyUnicode_New(Py_ssize_t size, unsigned maxchar)
    void *PyUnicode_DATA(object text)
    bint PyList_CheckExact(object it)
    list PyList_New(Py_ssize_t n)
    void PyList_SET_ITEM(object to, Py_ssize_t at, object item)
    Py_ssize_t PyList_GET_SIZE(object it)
    int PyList_SetSlice(object to, Py_ssize_t start, Py_ssize_t end, object items) except -1
    int PyList_Append(object to, object item) except -1
    object PyDict_Copy(object it)


cdef enum:
    MAX_SHAPES = 8
    MAX_FIELDS = 12
    MAX_LOOSE = 4     # hits on the loose list, after which the tight one is not tried any more
    MAX_RUN = 64      # frames that are matched before their events are made
    MIN_RUN = 8       # events for which a list of their own is worth its while
    MAX_PART = 4096   # bytes of a cut frame that are kept, besides those of its shape


cdef object _text(ms_shape_text *text, Buffer *scratch):
    """The str that a payload is. It was found well-formed."""
    cdef const char *p = text.p
    cdef size_t n = text.n
    if text.escaped:
        scratch.n = 0
        buffer_reserve(scratch, n)
        n = ms_shape_unescape(text, scratch.p)
        p = scratch.p
    if text.wide or n == 1:
        return PyUnicode_DecodeUTF8(p, n, NULL)  # which shares the one-character strings
    made = PyUnicode_New(n, 127)
    memcpy(PyUnicode_DATA(made), p, n)
    return made


@cython.final
cdef class Layout:
    """Where a class of events keeps its fields. None of them runs code when it is made, so a copy can be made of slots.

    Attributes: sound: whether instances can be made from slots at all; checked by making one both ways.
    """

    cdef PyTypeObject *type
    cdef Py_ssize_t at[MAX_FIELDS]
    cdef Py_ssize_t n, payload, meta
    cdef readonly bint sound
    cdef bint whole  # the payload is a whole message
    cdef readonly object plain  # an instance without anything, as rules make them; None: there is none

    def __cinit__(self, cls, str payload, bint whole):
        cdef tuple names = cls.__struct_fields__
        cdef Py_ssize_t k
        self.type = <PyTypeObject *>cls
        self.n = len(names)
        self.payload = names.index(payload)
        self.meta = names.index("_meta")
        self.whole = whole
        self.sound = False
        if (
            self.n > MAX_FIELDS or self.type.tp_flags & Py_TPFLAGS_HAVE_GC or hasattr(cls, "__post_init__")
            or self.type.tp_basicsize != <Py_ssize_t>(sizeof(PyObject) + self.n * sizeof(void *))
        ):
            return
        for k, name in enumerate(names):
            slot = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
            if type(slot) is not MemberDescriptorType:
                return
            self.at[k] = (<PyMemberDescrObject *>slot).d_member.offset
        if len({self.at[k] for k in range(self.n)}) != self.n:
            return
        values = {name: f"{name} {cls.__name__}" for name in names}
        made = cls(**values)
        twin = self.copy(made, values[payload] + "!")
        self.sound = type(twin) is cls and twin == cls(**(values | {payload: values[payload] + "!"}))
        if self.sound and set(cls.__match_args__[1:]) >= {"index", "choice"} and cls.__match_args__[0] == payload:
            self.plain = cls("")

    cdef inline object copy(self, object pattern, object text):
        """A new instance with the fields of `pattern`, but another payload."""
        cdef PyObject *made = _PyObject_New(self.type)
        cdef char *to = <char *>made
        cdef char *source = <char *><PyObject *>pattern
        cdef PyObject *value
        cdef Py_ssize_t k
        for k in range(self.n):
            value = <PyObject *>text if k == self.payload else (<PyObject **>(source + self.at[k]))[0]
            Py_INCREF(<object>value)
            (<PyObject **>(to + self.at[k]))[0] = value
        event = <object>made
        _DECREF(made)
        return event

    cdef inline object copy_with_meta(self, object pattern, object text):
        """The same, and with a `_meta` of its own: no two events share one."""
        event = self.copy(pattern, text)
        cdef PyObject **slot = <PyObject **>(<char *><PyObject *>event + self.at[self.meta])
        meta = PyDict_Copy(<object>slot[0])
        _DECREF(slot[0])
        Py_INCREF(meta)
        slot[0] = <PyObject *>meta
        return event


cdef extern from "Python.h":
    void _DECREF "Py_DECREF" (PyObject *it)


@cython.final
cdef class Shapes:
    """What a protocol declares: which JSON paths hold the answer, and which hold what it never reads.

    Args:
        payload: paths of strings that become an event's text, such as "choices.0.delta.content".
        ignored: paths of strings and numbers that the decoder never looks at in a message with a payload.
        seldom: the same, where they seldom change from message to message.
        latest: paths of numbers that only overwrite what an earlier message said, and that `Decoder._latest` reads.
        padded: spaces may stand before the last brace, in any number.
        meta: keys that an event's `meta` may have; their values must be the same for every message of a shape.

    A digit is a position in an array; "usage.**" is every leaf below "usage". Immutable: one for all decoders of a
    class.
    Raises: ValueError: too many paths.
    """

    cdef ms_shape_path paths[MS_SHAPE_PATHS]
    cdef ms_shape_step *steps
    cdef uint32_t n
    cdef bint padded
    cdef frozenset meta
    cdef list names  # keeps the keys alive
    cdef dict _declared

    def __cinit__(self, *, payload, ignored=(), seldom=(), latest=(), padded=False, meta=()):
        cdef size_t n_steps = 0, at = 0
        cdef bytes key
        roles = [
            (payload, MS_SHAPE_ANSWER), (ignored, MS_SHAPE_IGNORED), (seldom, MS_SHAPE_SELDOM),
            (latest, MS_SHAPE_LATEST),
        ]
        declared = [(path.split("."), role) for paths, role in roles for path in paths]
        if len(declared) > MS_SHAPE_PATHS:
            raise ValueError(f"at most {MS_SHAPE_PATHS} paths can be declared, not {len(declared)}")
        n_steps = sum(len(path) for path, _ in declared)
        self.names = []
        self.steps = <ms_shape_step *>PyMem_Malloc(max(n_steps, <size_t>1) * sizeof(ms_shape_step))
        if self.steps == NULL:
            raise MemoryError()
        for path, role in declared:
            self.paths[self.n].step = self.steps + at
            self.paths[self.n].n = len(path)
            self.paths[self.n].role = role
            self.n += 1
            for step in path:
                self.steps[at].key = NULL
                if step == "**":
                    self.steps[at].n = MS_SHAPE_ANY
                elif step.isdecimal():
                    self.steps[at].n = int(step)
                else:
                    key = step.encode()
                    self.names.append(key)
                    self.steps[at].key = PyBytes_AS_STRING(key)
                    self.steps[at].n = PyBytes_GET_SIZE(key)
                at += 1
        self.padded = padded
        self.meta = frozenset(meta)
        self._declared = {
            "payload": tuple(payload), "ignored": tuple(ignored), "seldom": tuple(seldom), "latest": tuple(latest),
            "meta": tuple(meta),
        }

    def declared(self):
        """What was declared, by the names of the arguments."""
        return dict(self._declared)

    def __dealloc__(self):
        PyMem_Free(self.steps)

    def __reduce__(self):
        raise TypeError("Shapes cannot be pickled")


@cython.final
cdef class _Shape:
    """One shape of one stream, and what a match of it becomes."""

    cdef ms_shape at
    cdef char *bytes
    cdef object pattern        # the event of the frame that it was made of
    cdef Layout layout
    cdef list sink             # gets each payload too, None: nobody wants it
    cdef bint deferred         # the message sets values of which the latest counts
    cdef bint has_meta
    cdef bint whole            # the event has the whole message
    cdef size_t head, tail     # what of a frame stands before and after the message
    cdef int n_loose
    cdef Py_ssize_t next       # the shape that came after this one the last time

    def __dealloc__(self):
        PyMem_Free(self.bytes)

    cdef int make(self, const char *p, size_t n, const ms_shape_cut *cuts, size_t n_cuts) except -1:
        """Take the literals from the frame p[0..n), which these tokens cut. False: it is too large."""
        cdef size_t size = ms_shape_size(n, cuts, n_cuts)
        cdef char *made
        if size > MS_SHAPE_BYTES:
            return False
        made = <char *>PyMem_Malloc(size)
        if made == NULL:
            raise MemoryError()
        ms_shape_cut_up(&self.at, made, p, n, cuts, n_cuts)
        PyMem_Free(self.bytes)
        self.bytes = made
        return True

    cdef inline int match(self, const char *p, size_t n, size_t *end, ms_shape_text *text) except -1:
        cdef ms_shape_cut cuts[MS_SHAPE_HOLES]
        cdef int found = MS_SHAPE_MISS
        cdef size_t k
        if self.n_loose < MAX_LOOSE:
            found = ms_shape_match(&self.at.tight, self.bytes, p, n, end, text, NULL)
        if found != MS_SHAPE_MISS or not self.at.cold:
            return found
        found = ms_shape_match(&self.at.loose, self.bytes, p, n, end, text, cuts)
        if found == MS_SHAPE_HIT and self.n_loose < MAX_LOOSE:
            self.n_loose += 1
            for k in range(self.at.loose.n):
                cuts[k].kind = self.at.loose.hole[k]
                cuts[k].cold = self.at.cold >> k & 1
            if not self.make(p, end[0], cuts, self.at.loose.n):
                self.n_loose = MAX_LOOSE
        return found


cdef inline bint _has_latest(Rule rule, Found *found) noexcept:
    cdef int k
    for k in range(rule._n_latest):
        if found.kind[rule._latest[k]] > <uint8_t>MS_PICK_FALSY:
            return True
    return False


cdef class Fed


@cython.final
cdef class FrameReader:
    """Feeds a decoder: each frame by a shape that it matches, or else through its parser and its slow way.

    Args:
        parser: gives the decoder's messages; nobody else may use it.
        max_frame: no longer frame is matched: the parser knows better what its limit means.
        shapes: what to make shapes of; None makes none.
        rules: what is read without the decoder's own code; None: nothing is.
        layouts: the event classes that a pattern may have, and the name of the field with the payload.
        direct: the decoder's `_message` gives each JSON object to `_object`, and does nothing else with it.

    Attributes:
        hits, misses, compiles: messages that matched a shape; that did not; shapes that were made.
        reading: whether the decoder was given a message and has not come to its end, and so has raised an exception.
        message: that message.

    Not for use from two threads at once: the parser raises ConcurrentUseError.
    """

    cdef Parser _parser
    cdef Shapes _shapes
    cdef Rules _rules
    cdef dict _layouts
    cdef list _all             # the shapes
    cdef PyObject *_shape[MAX_SHAPES]  # the same
    cdef Py_ssize_t _n         # how many
    cdef list _messages
    cdef Py_ssize_t _last      # the shape that matched last
    cdef Py_ssize_t _victim    # the shape that is replaced next
    cdef Buffer _part          # a frame that the end of a chunk has cut
    cdef bint _given           # whether the parser has had it
    cdef bint _lost            # the frame that is being read is not in _part: too long, or begun unseen
    cdef bint _lines           # NDJSON
    cdef bint _direct
    cdef Buffer _scratch
    cdef Buffer _later         # the last deferred frame
    cdef const char *_deferred  # the same, still in the chunk; NULL: none
    cdef size_t _n_deferred
    cdef object _known         # decoder._usage after the last message that was read in full
    cdef uint64_t _max_frame
    cdef size_t _off           # of the chunk that is fed, what `quick` has read already
    cdef readonly uint64_t hits, misses, compiles
    cdef readonly object message
    cdef readonly bint reading

    def __cinit__(
        self, Parser parser not None, uint64_t max_frame, Shapes shapes, Rules rules, dict layouts not None, bint direct
    ):
        self._parser = parser
        self._lines = isinstance(parser, NDJSONParser)
        self._max_frame = max_frame
        self._shapes = shapes
        self._rules = rules
        self._layouts = layouts
        self._direct = direct
        self._all = []
        self._messages = []
        self._n = 0

    def __dealloc__(self):
        buffer_free(&self._part)
        buffer_free(&self._scratch)
        buffer_free(&self._later)

    def __reduce__(self):
        raise TypeError("FrameReader cannot be pickled")

    @cython.critical_section
    def feed(self, Fed decoder, data, list out not None):
        """Feed a chunk: events go to `out`, which is also where the decoder puts those of its slow way.

        Raises: what the parser and the decoder raise; the stream is then over. TypeError: `data` is not bytes-like.
        Cost: a match for each frame that has a shape.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            self._run(decoder, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
        else:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            try:
                self._run(decoder, <const char *>view.buf, view.len, out)
            finally:
                PyBuffer_Release(&view)

    def close(self, Fed decoder, list out not None):
        """Say that the input has ended. Raises: as `feed`."""
        self._give_part()
        for message in self._parser.finish():
            self._slow(decoder, message, None, NULL, NULL, 0, out)
            if decoder.ended:
                break
        self.settle(decoder)

    def reset(self):
        """Forget everything."""
        self._parser.renew()
        self._drop()
        self._messages = []
        buffer_clear(&self._part)
        buffer_clear(&self._later)
        self._given = self._lost = False
        self._off = 0
        self.hits = self.misses = self.compiles = 0
        self.message, self.reading = None, False
        self._known = None

    def settle(self, Fed decoder):
        """Let the decoder have the latest values that matched frames held, unless the present message has newer."""
        cdef size_t start, end, n
        cdef bytes frame
        if self._deferred != NULL:
            frame = PyBytes_FromStringAndSize(self._deferred, self._n_deferred)
            self._deferred = NULL
        elif self._later.n:
            frame = PyBytes_FromStringAndSize(self._later.p, self._later.n)
        else:
            return
        buffer_clear(&self._later)
        if decoder._usage is not self._known:
            return
        n = PyBytes_GET_SIZE(frame)
        start, end = 0, n
        if not self._lines:
            ms_shape_sse(PyBytes_AS_STRING(frame), n, &start, &end)
        decoder._latest(loads(frame[start:end]))
        self._known = decoder._usage

    cdef bint quick(self, const char *p, size_t n, list out) except -1:
        """Match what the chunk begins with. True: that was all. False: the rest is for `feed`, with the same chunk."""
        cdef Parser parser = self._parser
        cdef size_t off = 0
        cdef bint all_of_it = False
        if not self._n or parser._closed or parser._busy or self._part.n and self._given:
            return False
        # As Parser.enter does: if memory runs out in here, nothing can go on.
        parser._closed = parser._broken = True
        if self._part.n and not self._complete(p, n, &off, out):
            all_of_it = True
        elif parser.resting():
            if self._hits(p, n, &off, out) == MS_SHAPE_MORE and self._hold(p + off, n - off) or off == n:
                parser.pass_over(n)
                all_of_it = True
            else:
                self._off = off
        if self._deferred != NULL:
            self._keep_deferred()
        parser._closed = parser._broken = False
        return all_of_it

    cdef int _run(self, Fed decoder, const char *p, size_t n, list out) except -1:
        cdef Parser parser = self._parser
        parser.enter()
        try:
            self._chunk(decoder, p, n, out)
            if self._deferred != NULL:
                self._keep_deferred()
            parser._closed = parser._broken = False
        finally:
            self._deferred = NULL
            parser._busy = False
        return 0

    cdef int _chunk(self, Fed decoder, const char *p, size_t n, list out) except -1:
        cdef Parser parser = self._parser
        cdef list messages = self._messages
        cdef size_t off = self._off, start
        cdef bint more = True, resting
        cdef size_t end
        cdef Rule rule
        cdef Found found
        self._off = 0
        if self._part.n and not self._given and not self._complete(p, n, &off, out):
            return 0
        if off < n:
            parser.begin(p[off])
        while more:
            resting = parser.resting()
            if resting and off < n and self._n:
                if self._hits(p, n, &off, out) == MS_SHAPE_MORE and self._hold(p + off, n - off):
                    parser.pass_over(n)
                    return 0
            start = off
            if resting:
                buffer_clear(&self._part)
                self._lost = False
                if self._rules is not None and off < n and decoder._usual:
                    end = self._rules.read(p + off, n - off, self._lines, &found)
                    rule = self._rules.which(&found, None) if end and end <= self._max_frame else None
                    while rule is not None and not (
                        self._can_wait(rule, &found, p + off, end)
                        and self._slow(decoder, None, rule, &found, p + off, end, out)
                    ):
                        rule = self._rules.which(&found, rule)
                    if rule is not None:
                        off += end
                        if decoder.ended:
                            return 0
                        continue
            elif self._part.n == 0:
                self._lost = True
            more = parser.step(p, n, &off, messages)
            if messages:
                message = messages.pop()
                if self._lost:
                    self._slow(decoder, message, None, NULL, NULL, 0, out)
                elif self._part.n:
                    self._keep(p + start, off - start)
                    self._slow(decoder, message, None, NULL, self._part.p, self._part.n, out)
                else:
                    self._slow(decoder, message, None, NULL, p + start, off - start, out)
                buffer_clear(&self._part)
                self._lost = False
                if decoder.ended:
                    return 0
            elif not more and not self._lost and self._shapes is not None and not parser.resting():
                self._keep(p + start, n - start)
        return 0

    cdef bint _hold(self, const char *p, size_t n) except -1:
        """Keep the beginning of a frame, which fits so far, until the rest comes. False: it is too long for that."""
        if n > self._max_part():
            return False
        buffer_clear(&self._part)
        buffer_append(&self._part, p, n)
        self._given = False
        return True

    cdef int _keep_deferred(self) except -1:
        """Keep the deferred frame, as what it points into goes away."""
        buffer_clear(&self._later)
        buffer_append(&self._later, self._deferred, self._n_deferred)
        self._deferred = NULL
        return 0

    cdef inline size_t _max_part(self) noexcept:
        cdef size_t longest = 0
        cdef Py_ssize_t k
        for k in range(self._n):
            longest = max(longest, (<_Shape>self._shape[k]).at.n_bytes)
        return min(longest + <size_t>MAX_PART, <size_t>self._max_frame)

    cdef int _keep(self, const char *p, size_t n) except -1:
        """Keep more of the frame that the parser is reading, to make a shape of it."""
        if self._part.n + n > MS_SHAPE_BYTES:
            buffer_clear(&self._part)
            self._lost = True
            return 0
        self._given = True
        return buffer_append(&self._part, p, n)

    cdef int _give_part(self) except -1:
        """Let the parser have the cut frame that was kept from it. It holds no whole event."""
        cdef size_t off = 0
        if self._part.n and not self._given:
            self._parser.hand_back(self._part.n)
            while self._parser.step(self._part.p, self._part.n, &off, self._messages):
                pass
            self._given = True
        return 0

    cdef bint _complete(self, const char *p, size_t n, size_t *off, list out) except -1:
        """Go on with the frame that was cut. False: the chunk is used up."""
        cdef size_t old = self._part.n, taken = 0, piece = 256, end = 0
        cdef int found = MS_SHAPE_MORE
        while found == MS_SHAPE_MORE and taken < n:
            piece = min(piece, n - taken)
            buffer_append(&self._part, p + taken, piece)
            taken += piece
            piece *= 2
            end = 0
            found = self._hits(self._part.p, self._part.n, &end, out)
            if end:
                found = MS_SHAPE_HIT
        if found == MS_SHAPE_HIT:
            if self._deferred != NULL:
                self._keep_deferred()
            off[0] = end - old
            buffer_clear(&self._part)
            return True
        if found == MS_SHAPE_MORE and self._part.n <= self._max_part():
            self._parser.pass_over(n)
            return False
        self._part.n = old
        self._give_part()
        return True

    cdef int _hits(self, const char *p, size_t n, size_t *off, list out) except -1:
        """Match as many frames as there are, and give their events. MISS or MORE: what p[off[0]..n) is."""
        cdef ms_shape_text texts[MAX_RUN]
        cdef _Shape shape
        cdef size_t end = 0, start = 0
        cdef Py_ssize_t at, count, limit, k
        cdef int found, partly
        while off[0] < n:
            at = (<_Shape>self._shape[self._last]).next
            shape = <_Shape>self._shape[at]
            limit = MAX_RUN if shape.next == at and not shape.whole else 1
            count = 0
            found = MS_SHAPE_HIT
            while count < limit and off[0] < n:
                found = shape.match(p + off[0], n - off[0], &end, &texts[count])
                if found != MS_SHAPE_HIT:
                    break
                if end > self._max_frame:
                    found = MS_SHAPE_MISS
                    break
                start = off[0]
                off[0] += end
                count += 1
            if count:
                self._last = at
                self._give(shape, texts, count, p + start, off[0] - start, out)
            if found == MS_SHAPE_HIT:
                continue
            partly = found
            for k in range(self._n):
                if k == at:
                    continue
                shape = <_Shape>self._shape[k]
                found = shape.match(p + off[0], n - off[0], &end, texts)
                if found == MS_SHAPE_HIT:
                    break
                if found == MS_SHAPE_MORE:
                    partly = found
            else:
                return partly
            if end > self._max_frame:
                return MS_SHAPE_MISS
            (<_Shape>self._shape[self._last]).next = k
            self._last = k
            self._give(shape, texts, 1, p + off[0], end, out)
            off[0] += end
        return MS_SHAPE_MISS

    cdef int _give(
        self, _Shape shape, ms_shape_text *texts, Py_ssize_t count, const char *last, size_t n, list out
    ) except -1:
        """Give the events of frames that matched a shape; the last frame is last[0..n)."""
        cdef Layout layout = shape.layout
        cdef list events
        cdef Py_ssize_t k
        self.hits += count
        self._parser.count_frames(count)
        if shape.deferred:
            self._deferred = last
            self._n_deferred = n
        if count < MIN_RUN or shape.sink is not None or shape.has_meta:
            for k in range(count):
                payload = _text(&texts[k], &self._scratch)
                if shape.sink is not None:
                    PyList_Append(shape.sink, payload)
                if shape.whole:
                    payload = PyUnicode_DecodeUTF8(last + shape.head, n - shape.head - shape.tail, NULL)
                if shape.has_meta:
                    PyList_Append(out, layout.copy_with_meta(shape.pattern, payload))
                else:
                    PyList_Append(out, layout.copy(shape.pattern, payload))
            return 0
        events = PyList_New(count)
        for k in range(count):
            event = layout.copy(shape.pattern, _text(&texts[k], &self._scratch))
            Py_INCREF(event)
            PyList_SET_ITEM(events, k, event)
        k = PyList_GET_SIZE(out)
        PyList_SetSlice(out, k, k, events)
        return 0

    cdef bint _slow(
        self, Fed decoder, message, Rule rule, Found *found, const char *frame, size_t n, list out
    ) except -1:
        """Read a message: with `rule`, which it fits, or (None) by the decoder's own code. False: the rule did not."""
        cdef Py_ssize_t count
        cdef bint newer = False
        count = len(out)
        if rule is not None:
            if not self._tell(decoder, rule, found, frame, n, out):
                return False
            self._parser.count_frames(1)
            if _has_latest(rule, found):
                self._deferred = frame
                self._n_deferred = n
                newer = True
            self.misses += 1
        elif self._shapes is None and self._rules is None:
            self.misses += 1
            self._map(decoder, message, frame, n)
            return True
        else:
            self.misses += 1
            if self._deferred != NULL:
                self._keep_deferred()
            decoder._grown = None
            self._map(decoder, message, frame, n)
            if decoder.ended:
                self._drop()
                return True
            newer = decoder._usage is not self._known
            if self._later.n:
                self.settle(decoder)
            self._known = decoder._usage
        if decoder._moved:
            decoder._moved = False
        elif len(out) == count or self._shapes is None:
            return True
        elif len(out) == count + 1 and self._compile(
            decoder, message, out[count], newer, frame, n
        ):
            return True
        if self._n:
            self._drop()
        return True

    cdef bint _can_wait(self, Rule rule, Found *found, const char *frame, size_t n) noexcept:
        """Whether the frame's JSON can be found, if that is needed: for its latest values, or the whole of it."""
        cdef size_t start = 0, end = 0
        return (
            self._lines or rule.raw is None and not _has_latest(rule, found) or ms_shape_sse(frame, n, &start, &end)
        )

    cdef bint _tell(
        self, Fed decoder, Rule rule, Found *found, const char *frame, size_t n, list out
    ) except -1:
        """Do what a rule says of a message that fits it. False: it cannot, and nothing was done."""
        cdef long index = number_at(found, rule._index), choice = number_at(found, rule._choice)
        cdef uint8_t place
        cdef Layout layout
        cdef object cls = None, payload = None
        cdef list given
        cdef int k
        decoder._grown = None
        if rule.call is not None:
            given = [index, choice]
            for k in range(rule._n_given):
                place = rule._given[k]
                given.append(self._name(found, place) if found.kind[place] > <uint8_t>MS_PICK_NULL else None)
            if getattr(decoder, rule.call)(*given) is False:
                return False
        for k in range(rule._n_texts):
            place = rule._texts[k]
            if found.kind[place] == MS_PICK_STRING:
                cls = rule._classes[k]
                payload = _text(&found.text[place], &self._scratch)
        if not decoder._begun:
            if rule._model != <uint8_t>MS_PICK_NOWHERE:
                decoder._model = decoder._model or self._name(found, rule._model)
                if rule._id != <uint8_t>MS_PICK_NOWHERE:
                    decoder._id = decoder._id or self._name(found, rule._id)
            if rule.begins or cls is not None:
                decoder._begin()
        if rule.heard and (rule.begins or cls is not None):
            decoder._heard.add(choice if rule._choice != <uint8_t>MS_PICK_NOWHERE else index)
        if cls is not None:
            layout = self._layouts[cls]
            if index == 0 and choice == 0 and layout.plain is not None:
                PyList_Append(out, layout.copy(layout.plain, payload))
            else:
                PyList_Append(out, cls(payload, index, choice))
        if rule._finish != <uint8_t>MS_PICK_NOWHERE and found.kind[rule._finish] == MS_PICK_STRING:
            decoder._finish(self._name(found, rule._finish), choice)
        if rule.raw is not None:
            if not decoder._begun:
                decoder._begin()
            out.append(rule.raw(*self._whole(frame, n)))
        return True

    cdef tuple _whole(self, const char *frame, size_t n):
        """The data of an event's frame, and the event's name."""
        cdef size_t start = 0, end = 0, at = 6
        cdef str name = ""
        ms_shape_sse(frame, n, &start, &end)
        if frame[0] == c"e":
            at += frame[at] == c" "
            name = PyUnicode_DecodeUTF8(frame + at, ms_scan_eol(frame + at, n - at), "replace")
        return PyUnicode_DecodeUTF8(frame + start, end - start, NULL), name

    cdef str _name(self, Found *found, uint8_t place):
        if found.kind[place] != MS_PICK_STRING:
            return ""
        return _text(&found.text[place], &self._scratch)

    cdef int _map(self, Fed decoder, message, const char *frame, size_t n) except -1:
        """Let the decoder map a message: by `_object` where `_message` would do no more than to call that."""
        cdef SSEMessage said
        cdef size_t start, end
        value = None
        self.message, self.reading = message, True
        if self._lines:
            value = message
        elif self._direct:
            said = <SSEMessage>message
            if not said.unknown and said.event != "error" and said.data and said.data[0] == u"{":
                data = said.data
                if frame != NULL and not data.isascii() and ms_shape_sse(frame, n, &start, &end):
                    # orjson would make UTF-8 of it again.
                    data = PyMemoryView_FromMemory(<char *>frame + start, end - start, PyBUF_READ)
                try:
                    value = loads(data)
                except JSONDecodeError:
                    value = None
        if not self._direct or type(value) is not dict:
            decoder._message(message)
        elif self._lines:
            decoder._object(value)
        else:
            decoder._object(value, message)
        self.message, self.reading = None, False
        return 0

    cdef int _drop(self) except -1:
        self._n = self._last = self._victim = 0
        self._all = []
        return 0

    cdef bint _compile(self, Fed decoder, message, event, bint deferred, const char *frame, size_t n) except -1:
        """Make a shape of the frame that gave this event. False: the message was not pure."""
        cdef ms_shape_cut cuts[MS_SHAPE_HOLES]
        cdef size_t n_cuts = 0, start = 0, end = n
        cdef Py_ssize_t k
        cdef Layout layout = self._layouts.get(type(event))
        cdef _Shape shape
        cdef Shapes declared = self._shapes
        if layout is None or not layout.sound:
            return False
        meta = event._meta
        if meta is not None and not (meta.keys() <= declared.meta):
            return False
        sink = decoder._sink(event)
        if sink is False:
            return False
        payload = (<object>(<PyObject **>(<char *><PyObject *>event + layout.at[layout.payload]))[0])
        if frame == NULL or n == 0:
            return True
        if type(payload) is not str or layout.whole and (
            self._lines or message is not None and payload is not message.data
        ):
            return False
        if self._lines:
            if frame[n - 1] != c"\n":
                return True
        elif not ms_shape_sse(frame, n, &start, &end):
            return True
        if not ms_shape_scan(frame, start, end, declared.paths, declared.n, declared.padded, cuts, &n_cuts):
            return True
        if layout.whole:
            payload = sink[len(sink) - 1] if sink else None  # what was taken out of the message, if anything was
        n_cuts = self._choose(frame, n, cuts, n_cuts, payload)
        if n_cuts == 0:
            return False
        shape = _Shape.__new__(_Shape)
        if not shape.make(frame, n, cuts, n_cuts):
            return True
        shape.pattern = event
        shape.whole = layout.whole
        shape.head = start
        shape.tail = n - end
        shape.layout = layout
        shape.sink = sink
        shape.deferred = deferred
        shape.has_meta = meta is not None
        self.compiles += 1
        if self._n < MAX_SHAPES:
            k = self._n
            self._all.append(shape)
            self._n += 1
        else:
            k = self._victim
            self._all[k] = shape
            self._victim = (k + 1) % MAX_SHAPES
        self._shape[k] = <PyObject *>shape
        shape.next = k
        (<_Shape>self._shape[self._last]).next = k
        self._last = k
        return True

    cdef size_t _choose(
        self, const char *frame, size_t n, ms_shape_cut *cuts, size_t n_cuts, payload
    ) except? 0:
        """Of the strings where answers may stand, keep those that are the payload (None: the only one).

        Returns: how many tokens are left; 0: none of them is the payload, or it is not clear which.
        """
        cdef size_t kept = 0, k, start
        cdef const char *first = NULL
        cdef size_t length = 0
        cdef ms_shape_text text
        for k in range(n_cuts):
            if cuts[k].kind == MS_SHAPE_PAYLOAD:
                start = cuts[k].start
                if ms_shape_string(frame, n, &start, &text) != MS_SHAPE_HIT or start != cuts[k].end:
                    return 0
                if payload is not None and _text(&text, &self._scratch) != payload:
                    continue  # another answer's, which then is part of the literals
                if first == NULL:
                    first, length = text.p, text.n
                elif payload is None or text.n != length or memcmp(text.p, first, length) != 0:
                    return 0
                else:
                    cuts[k].kind = MS_SHAPE_ECHO
            cuts[kept] = cuts[k]
            kept += 1
        return kept if first != NULL else 0


cdef class Fed:
    """The base of decoders: `feed`, for as long as shapes match. All else is the subclass's.

    The subclass gives `_run(data, out)`, which reads a chunk (None: the end of the body) with its slow way, `_message`,
    `_latest` and `_sink`.

    Attributes: ended: the wire's own end was seen, or a fatal error: whatever else the body holds is ignored.
    """

    cdef public FrameReader _reader  # None: the framing has none
    cdef public bint ended, _closed, _busy
    cdef public bint _moved          # the present message changed what later ones mean
    cdef public bint _begun          # `Start` is out
    cdef public bint _interrupted    # by an exception that was not the input's fault
    cdef public bint _usual          # the rules hold: nothing was said that they do not know of
    cdef public str _model, _id
    cdef public set _heard           # numbers of which there was a message: of rules with `heard`, and of the protocol
    cdef public list _out
    cdef public object _usage
    cdef public dict _reasons        # why each choice ended
    cdef public object _tools, _parser, limits, provider
    cdef public object _grown        # the list that the present message's text went to, if _object says so

    def _restart(self):
        """Begin anew."""
        self._out = []
        self._begun = self._interrupted = self._closed = self.ended = self._moved = False
        self._usual = True
        self._model = self._id = ""
        self._usage = self._grown = None
        self._heard = set()
        self._reasons = {}

    @cython.critical_section
    def feed(self, data):
        """Feed a chunk of the body and return the events it completed.

        Args: data: bytes-like, of any length; not kept after the return.
        Returns: list of events in stream order; empty means that more input is needed, or that `ended` is true.
        Raises: ParserClosed: used after `close`. ConcurrentUseError: entered twice. TypeError: it is not bytes-like.
        Cost: for each message that repeats an earlier one a comparison and one event, else framing and orjson.loads.
        """
        cdef list out
        if self._closed:
            raise ParserClosed("this decoder has ended; call reset() to start a new stream")
        out = []
        if (
            PyBytes_CheckExact(data) and self._reader is not None and not (self._busy or self.ended)
            and self._reader.quick(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
        ):
            return out
        return self._run(data, out)


def layouts_of(dict fields not None, whole):
    """The layouts of event classes, given the name of each one's payload. That of class `whole` is a whole message."""
    return {cls: Layout(cls, payload, cls is whole) for cls, payload in fields.items()}
