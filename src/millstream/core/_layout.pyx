"""Where a class of events keeps its fields, so that an event is made by copying another one's, without its `__init__`.

Knows nothing of the classes: it reads their slots, and makes one instance both ways before it says that they are sound.
Source: SHAPES.md, 9.9.
"""

cimport cython
from cpython.object cimport PyObject

from types import MemberDescriptorType

__all__ = ["Layout", "layouts_of"]

cdef extern from "Python.h":
    ctypedef struct PyMemberDef:
        Py_ssize_t offset

    ctypedef struct PyMemberDescrObject:
        PyMemberDef *d_member

    unsigned long Py_TPFLAGS_HAVE_GC


@cython.final
cdef class Layout:
    """Where a class of events keeps its fields. None of them runs code when it is made, so a copy can be made of slots.

    Attributes: sound: whether instances can be made from slots at all; checked by making one both ways.
    """

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


def layouts_of(dict fields not None, whole):
    """The layouts of event classes, given the name of each one's payload. That of class `whole` is a whole message."""
    return {cls: Layout(cls, payload, cls is whole) for cls, payload in fields.items()}
