"""Reads a decoder's frames: by a shape where one matches, by a rule, or through the parser and the decoder's own code.

The slow way, and how it becomes quick: what a message was read as decides whether its frame makes a shape, and whether
the shapes that there are still hold. The quick way is in _frames.pyx.

Knows nothing of providers; the event classes are given. Source: SHAPES.md.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t

from millstream.core._buffer cimport buffer_clear
from millstream.core._fed cimport Fed
from millstream.core._frames cimport Frames
from millstream.core._layout cimport Layout, text_of
from millstream.core._parser cimport Parser
from millstream.core._rules cimport Found, Rule, Rules, number_at
from millstream.core._shape cimport Shape, Shapes, shape_of
from millstream.core._sse cimport SSEMessage
from millstream.core.kernels cimport (
    MS_PICK_FALSY, MS_PICK_NOWHERE, MS_PICK_NULL, MS_PICK_STRING, MS_SHAPE_MORE, ms_scan_eol, ms_shape_sse,
)

from orjson import JSONDecodeError, loads

from millstream.core._ndjson import NDJSONParser

__all__ = ["FrameReader"]

cdef extern from "Python.h":
    int PyList_Append(object to, object item) except -1


cdef inline bint _has_latest(Rule rule, Found *found) noexcept:
    cdef int k
    for k in range(rule._n_latest):
        if found.kind[rule._latest[k]] > <uint8_t>MS_PICK_FALSY:
            return True
    return False


@cython.final
cdef class FrameReader(Frames):
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

    cdef Shapes _shapes
    cdef Rules _rules
    cdef dict _layouts
    cdef bint _lines           # NDJSON
    cdef bint _direct
    cdef object _known         # decoder._usage after the last message that was read in full
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
        self._given = self._lost = self.joins = False
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
                payload = text_of(&found.text[place], &self._scratch)
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
        return text_of(&found.text[place], &self._scratch)

    cdef int _map(self, Fed decoder, message, const char *frame, size_t n) except -1:
        """Let the decoder map a message: by `_object` where `_message` would do no more than to call that."""
        cdef SSEMessage said
        cdef size_t start = 0, end = 0
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

    cdef bint _compile(self, Fed decoder, message, event, bint deferred, const char *frame, size_t n) except -1:
        """Make a shape of the frame that gave this event. False: the message was not pure."""
        cdef Layout layout = self._layouts.get(type(event))
        cdef Shape shape
        cdef bint pure
        if layout is None or not layout.sound:
            return False
        meta = event._meta
        if meta is not None and not (meta.keys() <= self._shapes.meta):
            return False
        sink = decoder._sink(event)
        if sink is False:
            return False
        if frame == NULL or n == 0:
            return True
        payload = layout.payload_of(event)
        if type(payload) is not str or layout.whole and (
            self._lines or message is not None and payload is not message.data
        ):
            return False
        shape = shape_of(self._shapes, layout, payload, sink, frame, n, self._lines, &self._scratch, &pure)
        if shape is None:
            return pure
        shape.pattern = event
        shape.deferred = deferred
        shape.has_meta = meta is not None
        self._add(shape)
        return True
