"""One step of a JSON document's growth, and the sign for "nothing yet". Made by `_json.pyx`; knows no parser."""

cimport cython

__all__ = ["MISSING", "Delta"]

cdef str _SET = "set", _APPEND = "append", _END = "end"


@cython.final
cdef class _Missing:
    """The type of `MISSING`: no value has begun yet. False as a condition."""

    def __bool__(self):
        return False

    def __repr__(self):
        return "MISSING"

    def __reduce__(self):
        return "MISSING"


MISSING = _Missing()


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Delta:
    """One step of a document's growth. Made by `JSONParser`, immutable, unpacks as `(path, op, value)`.

    Attributes:
        path: keys and indices from the root, () for the root itself.
        op: "set" puts `value` at `path`; "append" adds text to the string there; "end" says that what stands there is
            complete: a container, or a string that had been given in part by an earlier feed.
        value: what to set (a fresh [] or {} for a container); the text to append; for "end", the byte span
            (start, end) of the container or string in the input.
        complete: whether the value at `path` is complete after this delta.
    """

    def __init__(self):
        raise TypeError("Delta is made by JSONParser.feed")

    @property
    def path(self):
        if self._parent is None:
            return ()
        return (*self._parent, self._index if self._key is None else self._key)

    @property
    def op(self):
        return _END if self._op == END else _APPEND if self._op == APPEND else _SET

    @property
    def value(self):
        if self._op == SET_OBJECT:
            return {}
        if self._op == SET_ARRAY:
            return []
        if self._op == END:
            return (self._start, self._end)
        return self._value

    def __iter__(self):
        return iter((self.path, self.op, self.value))

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return (self.path, self.op, self.value)[index]

    def __eq__(self, other):
        if isinstance(other, Delta):
            return tuple(self) == tuple(other)
        if isinstance(other, tuple):
            return tuple(self) == other
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"Delta({self.path!r}, {self.op!r}, {self.value!r})"

    def __reduce__(self):
        raise TypeError("Delta cannot be pickled; keep tuple(delta)")
