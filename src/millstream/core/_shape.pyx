"""Shapes: what a protocol declares of its messages, and one frame of a stream as the pattern of those that follow.

A frame is cut at the tokens that stand at declared paths; what is between them are the literals. Another frame with the
same literals, and a token of the same kind in each hole, is the same message but for the text.

Knows nothing of providers, nor of events beyond their layout. Source: SHAPES.md. Kernels: csrc/ms_shape.h,
ms_shape_make.h.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp

from millstream.core._buffer cimport Buffer
from millstream.core._layout cimport Layout, text_of
from millstream.core.kernels cimport (
    MS_SHAPE_ANSWER, MS_SHAPE_ANY, MS_SHAPE_BYTES, MS_SHAPE_ECHO, MS_SHAPE_HIT, MS_SHAPE_HOLES, MS_SHAPE_IGNORED,
    MS_SHAPE_LATEST, MS_SHAPE_PATHS, MS_SHAPE_PAYLOAD, MS_SHAPE_SELDOM, ms_shape_cut, ms_shape_cut_up, ms_shape_scan,
    ms_shape_size, ms_shape_sse, ms_shape_step, ms_shape_string, ms_shape_text,
)

__all__ = ["Shape", "Shapes"]


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
cdef class Shape:
    """One shape of one stream, and what a match of it becomes."""

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


cdef Shape shape_of(
    Shapes declared, Layout layout, payload, list sink, const char *frame, size_t n, bint lines, Buffer *scratch,
    bint *pure
):
    """Make a shape of a frame that gave one event with this payload. None: it cannot be one, or the message was not
    `pure`: its text is not at one declared path, unchanged.
    """
    cdef ms_shape_cut cuts[MS_SHAPE_HOLES]
    cdef size_t n_cuts = 0, start = 0, end = n
    cdef Shape shape
    pure[0] = True
    if lines:
        if frame[n - 1] != c"\n":
            return None
    elif not ms_shape_sse(frame, n, &start, &end):
        return None
    if not ms_shape_scan(frame, start, end, declared.paths, declared.n, declared.padded, cuts, &n_cuts):
        return None
    if layout.whole:
        payload = sink[len(sink) - 1] if sink else None  # what was taken out of the message, if anything was
    n_cuts = _choose(frame, n, cuts, n_cuts, payload, scratch)
    if n_cuts == 0:
        pure[0] = False
        return None
    shape = Shape.__new__(Shape)
    if not shape.make(frame, n, cuts, n_cuts):
        return None
    shape.whole = layout.whole
    shape.head = start
    shape.tail = n - end
    shape.layout = layout
    shape.sink = sink
    return shape


cdef size_t _choose(
    const char *frame, size_t n, ms_shape_cut *cuts, size_t n_cuts, payload, Buffer *scratch
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
            if payload is not None and text_of(&text, scratch) != payload:
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
