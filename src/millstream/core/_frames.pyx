"""Frames that repeat an earlier one: their events, without reading JSON.

Theory of operation. Consecutive frames of an AI stream are nearly the same bytes. A frame that no shape matches goes
the slow way (_reader.pyx); if its message was pure (it gave one event, which carries the text at a declared path, and
changed nothing that later events depend on) its bytes become a shape, and its event the pattern. A frame that matches
gives a copy of the pattern with its own text. The slow way alone says what bytes mean; what its code must keep to, so
that a match means the same, is said in protocols/_base.py.

The most likely shape is tried first: the one that came after the last one before. A frame that the end of a chunk cuts,
and that fits so far, is kept here until it is whole; if it does not fit after all, the parser gets it.

Knows nothing of providers. Source: SHAPES.md.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from millstream.core._buffer cimport Buffer, buffer_append, buffer_clear, buffer_free, buffer_reserve
from millstream.core._layout cimport Layout, PyUnicode_DATA, PyUnicode_New, text_of
from millstream.core._parser cimport Parser
from millstream.core._shape cimport Shape
from millstream.core.kernels cimport (
    MS_SHAPE_BYTES, MS_SHAPE_HIT, MS_SHAPE_MISS, MS_SHAPE_MORE, ms_shape_text, ms_shape_unescape,
)

__all__ = ["Frames"]

cdef extern from "Python.h":
    list PyList_New(Py_ssize_t n)
    void PyList_SET_ITEM(object to, Py_ssize_t at, object item)
    Py_ssize_t PyList_GET_SIZE(object it)
    int PyList_SetSlice(object to, Py_ssize_t start, Py_ssize_t end, object items) except -1
    int PyList_Append(object to, object item) except -1


cdef enum:
    MAX_RUN = 64      # frames that are matched before their events are made
    MIN_RUN = 8       # events for which a list of their own is worth its while
    MAX_PART = 4096   # bytes of a cut frame that are kept, besides those of its shape


cdef object _joined(ms_shape_text *texts, Py_ssize_t count, Buffer *to):
    """The str that payloads are, one after another. They were found well-formed."""
    cdef size_t n = 0
    cdef Py_ssize_t k
    cdef bint wide = False
    for k in range(count):
        n += texts[k].n
    to.n = 0
    buffer_reserve(to, n)
    for k in range(count):
        if texts[k].escaped:
            to.n += ms_shape_unescape(&texts[k], to.p + to.n)
        else:
            memcpy(to.p + to.n, texts[k].p, texts[k].n)
            to.n += texts[k].n
        wide = wide or texts[k].wide
    if wide:
        made = PyUnicode_DecodeUTF8(to.p, to.n, NULL)
    else:
        made = PyUnicode_New(to.n, 127)
        memcpy(PyUnicode_DATA(made), to.p, to.n)
    buffer_clear(to)
    return made


cdef class Frames:
    """The shapes of one stream, and the frame that the end of a chunk has cut. Base of FrameReader; not for use alone.

    Attributes:
        hits, misses, compiles: messages that matched a shape; that did not; shapes that were made.
        joins: frames one after another that match the same shape give one event, with all of their text, if it is one
            that rules could make: a text, and no refusal or tool call. How many that are depends on how the bytes were
            cut: only for who wants nothing but the text.
    """

    def __dealloc__(self):
        buffer_free(&self._part)
        buffer_free(&self._scratch)
        buffer_free(&self._later)

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

    cdef int _hits(self, const char *p, size_t n, size_t *off, list out) except -1:
        """Match as many frames as there are, and give their events. MISS or MORE: what p[off[0]..n) is."""
        cdef ms_shape_text texts[MAX_RUN]
        cdef Shape shape
        cdef size_t end = 0, start = 0
        cdef Py_ssize_t at, count, limit, k
        cdef int found, partly
        while off[0] < n:
            at = (<Shape>self._shape[self._last]).next
            shape = <Shape>self._shape[at]
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
                shape = <Shape>self._shape[k]
                found = shape.match(p + off[0], n - off[0], &end, texts)
                if found == MS_SHAPE_HIT:
                    break
                if found == MS_SHAPE_MORE:
                    partly = found
            else:
                return partly
            if end > self._max_frame:
                return MS_SHAPE_MISS
            (<Shape>self._shape[self._last]).next = k
            self._last = k
            self._give(shape, texts, 1, p + off[0], end, out)
            off[0] += end
        return MS_SHAPE_MISS

    cdef int _give(
        self, Shape shape, ms_shape_text *texts, Py_ssize_t count, const char *last, size_t n, list out
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
        if self.joins and count > 1 and layout.plain is not None and shape.sink is None and not shape.has_meta:
            PyList_Append(out, layout.copy(shape.pattern, _joined(texts, count, &self._scratch)))
            return 0
        if count < MIN_RUN or shape.sink is not None or shape.has_meta:
            for k in range(count):
                payload = text_of(&texts[k], &self._scratch)
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
            event = layout.copy(shape.pattern, text_of(&texts[k], &self._scratch))
            Py_INCREF(event)
            PyList_SET_ITEM(events, k, event)
        k = PyList_GET_SIZE(out)
        PyList_SetSlice(out, k, k, events)
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

    cdef bint _hold(self, const char *p, size_t n) except -1:
        """Keep the beginning of a frame, which fits so far, until the rest comes. False: it is too long for that."""
        if n > self._max_part():
            return False
        buffer_clear(&self._part)
        buffer_append(&self._part, p, n)
        self._given = False
        return True

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

    cdef int _keep_deferred(self) except -1:
        """Keep the deferred frame, as what it points into goes away."""
        buffer_clear(&self._later)
        buffer_append(&self._later, self._deferred, self._n_deferred)
        self._deferred = NULL
        return 0

    cdef size_t _max_part(self) noexcept:
        cdef size_t longest = 0
        cdef Py_ssize_t k
        for k in range(self._n):
            longest = max(longest, (<Shape>self._shape[k]).at.n_bytes)
        return min(longest + <size_t>MAX_PART, <size_t>self._max_frame)

    cdef int _add(self, Shape shape) except -1:
        """Try this shape too, and next."""
        cdef Py_ssize_t k = self._n
        self.compiles += 1
        if k < MAX_SHAPES:
            self._all.append(shape)
            self._n += 1
        else:
            k = self._victim
            self._all[k] = shape
            self._victim = (k + 1) % MAX_SHAPES
        self._shape[k] = <PyObject *>shape
        shape.next = k
        (<Shape>self._shape[self._last]).next = k
        self._last = k
        return 0

    cdef int _drop(self) except -1:
        self._n = self._last = self._victim = 0
        self._all = []
        return 0
