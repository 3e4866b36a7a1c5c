"""The hot end of a stream: items served from the current batch without a coroutine for each, functions applied to one.

`async for` asks for an awaitable and sends into it; while the batch lasts both steps are C. Only an empty batch needs a
coroutine, `_first`, which a subclass defines; so what suspends is always one, for event loops and debuggers to see.
Knows no event loop. Cost: an item takes 10 ns on 3.11, where the interpreter takes the result from the slot `am_send`;
since 3.12 it calls `tp_iternext`, and the StopIteration that carries the item makes that 35 ns. Cython cannot write
these two, so they are put in at the end of the file; what Python code calls (`send`, `__next__`) does the same.
Source: PEP 492, PEP 380, CPython's C API reference, "Async Object Structures".
"""

cimport cython
from cpython.exc cimport PyErr_Restore
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT, Py_XDECREF

from types import GenericAlias

__all__ = ["Serving", "apply", "select"]

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR
    ctypedef PyObject *(*iternextfunc)(PyObject *) except NULL
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct Slots "PyTypeObject":
        PyAsyncMethods *tp_as_async
        iternextfunc tp_iternext

    ctypedef struct Stop "PyStopIterationObject":
        PyObject *traceback
        PyObject *context
        PyObject *value

    PySendResult PyIter_Send(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR


@cython.auto_pickle(False)
cdef class Serving:
    """Serves items from the current batch and asks for the next one. A subclass defines `_first`."""

    cdef list _items
    cdef Py_ssize_t _served
    cdef object _stop  # see `next_iternext`

    __class_getitem__ = classmethod(GenericAlias)

    def __cinit__(self):
        self._items = []

    def __aiter__(self):
        return self

    def __anext__(self):
        """Return the next item, once it is awaited.

        Raises: StreamClosed: it was closed before its end. StreamBusy: another consumer is waiting for an item.
            StreamNotEntered: an operator needs a background task, and nobody entered the stream with `async with`.
            Whatever the source or an operator raises, once; after that the stream is at its end.
        """
        if self._served >= len(self._items):
            return self._first()
        cdef Next next_ = Next.__new__(Next)
        next_._owner = self
        return next_

    def _rest(self):
        """Return what was pulled and not served yet; it is served no more."""
        rest = self._items[self._served :]
        self._items, self._served = [], 0
        return rest

    def _serve(self, list batch not None):
        """Make this the current batch and return its first item. Raises: StopAsyncIteration: it is empty."""
        self._items, self._served = batch, 0
        if not batch:
            raise StopAsyncIteration
        self._served = 1
        return batch[0]

    def _first(self):
        """Return the first item of the next batch, when awaited: an `async def` that ends with `_serve`."""
        raise NotImplementedError


@cython.final
@cython.freelist(16)
@cython.auto_pickle(False)
cdef class Next:
    """What `__anext__` returns while the batch lasts. As with a coroutine, nothing happens before it is awaited, which
    can be done once, and a task can be made of it; but nobody is warned if it never is, as nothing is lost then.

    If others have emptied the batch by the time it is awaited, it hands over to `_first`.
    """

    cdef Serving _owner  # None when it is over
    cdef object _first

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Begin, or go on. Raises: StopIteration: its value is the item."""
        cdef PyObject *found = NULL
        cdef PySendResult status = next_send(<PyObject *>self, <PyObject *>value, &found)
        result = <object>found
        Py_DECREF(result)
        if status == PYGEN_RETURN:
            raise StopIteration(result)
        return result

    def throw(self, *error):
        """Raise an exception where it is suspended. Raises: that; or as `send`."""
        return self._coroutine().throw(*error)

    def close(self):
        """Give it up."""
        if self._owner is not None or self._first is not None:
            self._coroutine().close()

    cdef object _coroutine(self):
        if self._first is None:
            if self._owner is None:
                raise RuntimeError("cannot reuse already awaited coroutine")
            self._first, self._owner = self._owner._first(), None
        return self._first


cdef PySendResult next_send(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    """Begin, or go on: what `send` does, without an exception for the result."""
    cdef Next self = <Next>op
    cdef Serving owner = self._owner
    if owner is not None and value != <PyObject *>None:
        raise TypeError("can't send non-None value to a just-started coroutine")
    if owner is None or owner._served >= len(owner._items):
        first = self._coroutine()
        return PyIter_Send(<PyObject *>first, value, found)
    self._owner = None
    item = owner._items[owner._served]
    owner._served += 1
    Py_INCREF(item)
    found[0] = <PyObject *>item
    return PYGEN_RETURN


cdef PyObject *next_iternext(PyObject *op) except NULL:
    """As `send(None)`. Since 3.12 every item leaves here, so the exception that carries it is used again: a new one
    would cost 60 ns. Not if anybody has kept or caught it. No traceback is added, as a `raise` here would do.
    """
    cdef PyObject *found = NULL
    cdef Serving owner = (<Next>op)._owner
    cdef PySendResult status = next_send(op, <PyObject *>None, &found)
    if status == PYGEN_NEXT:
        return found
    stop = None if owner is None else owner._stop
    cdef Stop *fields = <Stop *><PyObject *>stop
    if stop is None or Py_REFCNT(stop) > 2 or fields.traceback != NULL or fields.context != NULL:
        stop = StopIteration()
        fields = <Stop *><PyObject *>stop
        if owner is not None:
            owner._stop = stop
    cdef PyObject *before = fields.value
    fields.value = found
    Py_XDECREF(before)
    Py_INCREF(StopIteration)
    Py_INCREF(stop)
    PyErr_Restore(<PyObject *>StopIteration, <PyObject *>stop, NULL)
    return NULL


(<Slots *>Next).tp_as_async.am_send = next_send
(<Slots *>Next).tp_iternext = next_iternext


def apply(fn, items, list out not None, type plain):
    """Append `fn(item)` to `out` for each item, as long as it is a `plain`; return the first (item, result) else.

    Args: items: an iterator; what follows that item is left in it. Returns: None: no items are left.
    Raises: what `fn` or the iterator raises; what came before is in `out` then.
    """
    for item in items:
        result = fn(item)
        if type(result) is not plain:
            return item, result
        out.append(result)
    return None


def select(fn, items, list out not None, type plain):
    """Append to `out` items for which `fn(item)` is true, as long as that is a bool or a `plain`; else as `apply`."""
    for item in items:
        result = fn(item)
        if result is True:
            out.append(item)
        elif result is not False:
            if type(result) is not plain:
                return item, result
            if result:
                out.append(item)
    return None
