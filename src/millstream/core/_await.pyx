"""Awaitables in C: what all of them do for Python code, and one that can be ended from outside.

`async for` and `await` step through an awaitable by the slot `am_send`, and since 3.12 by `tp_iternext`. Cython cannot
write these two, so each class has functions that are put into its slots at the end of its file. What Python code calls
(`send`, `__next__`) goes through the slot, and so does the same.

Where there is no GIL, the functions in the slots take the locks of what they change.
Source: PEP 492, PEP 703, CPython's C API reference, "Async Object Structures".
"""

cimport cython
from cpython.exc cimport PyErr_Restore
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF

from millstream.core._gil cimport GIL

from types import CoroutineType

__all__ = ["Steps", "Waiter", "Watched"]


@cython.auto_pickle(False)
cdef class Steps:
    """Base of awaitables that are their own iterator, as a coroutine's is. Not for use by itself.

    A subclass has `__await__`, without which it would have no slot of its own for `am_send`.
    """

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Begin, or go on. Raises: StopIteration: its value is the result."""
        cdef PyObject *found = NULL
        cdef PySendResult status = PyIter_Send(<PyObject *>self, <PyObject *>value, &found)
        result = <object>found
        Py_DECREF(result)
        if status == PYGEN_RETURN:
            raise StopIteration(result)
        return result


@cython.auto_pickle(False)
cdef class Waiter:
    """Whose coroutine is waited for, and where: what `streams/_interrupt.py` needs to end the wait from outside.

    Attributes:
        _find_task: returns the task that runs; None: nobody will ask.
        _waiting: a pull runs.
        _consumer: the task that it suspended in, None if it did not yet.
        _cancelling: how often that task had been cancelled before it waited.
        _ending: the wait is to end, whatever it gives.
        _asked: how often the task was cancelled for that.
        _again: the timer after which that is repeated.
    """

    cdef int begin(self) except -1:
        self._waiting = True
        self._consumer = None
        self._ending = False
        return 0

    cdef int suspended(self) except -1:
        if self._find_task is not None and self._consumer is None:
            self._consumer = self._find_task()
            self._cancelling = self._consumer.cancelling()
        return 0


cdef awaitable(value):
    """Return what can be sent into."""
    return value if type(value) is CoroutineType else value.__await__()


cdef PySendResult throw_into(inner, tuple error, PyObject **found) except PYGEN_ERROR:
    try:
        result = inner.throw(*error)
    except StopIteration as stop:
        result = stop.value
        Py_INCREF(result)
        found[0] = <PyObject *>result
        return PYGEN_RETURN
    Py_INCREF(result)
    found[0] = <PyObject *>result
    return PYGEN_NEXT


cdef PyObject *iternext(PyObject *op) except NULL:
    """For the slot: as `send(None)`."""
    cdef PyObject *found = NULL
    cdef PySendResult status = PyIter_Send(op, <PyObject *>None, &found)
    if status == PYGEN_NEXT:
        return found
    raise_stop(StopIteration(), found)
    return NULL


cdef int raise_stop(stop, PyObject *found) except -1:
    """Set a StopIteration, with this value; the caller returns NULL. Returns 0, which is no error to Cython: for one it
    would add a traceback, at 200 ns, and `stop` could not be used again.
    """
    cdef Stop *fields = <Stop *><PyObject *>stop
    cdef PyObject *before = fields.value
    fields.value = found
    Py_XDECREF(before)
    Py_INCREF(StopIteration)
    Py_INCREF(stop)
    PyErr_Restore(<PyObject *>StopIteration, <PyObject *>stop, NULL)
    return 0


@cython.final
@cython.auto_pickle(False)
cdef class Watched(Steps):
    """Awaits a coroutine for a `Waiter`, and has `on_wait()` called when it suspends for the first time."""

    cdef Waiter _waiter
    cdef object _inner
    cdef object _on_wait

    def __init__(self, Waiter waiter not None, coroutine, on_wait):
        self._waiter = waiter
        self._inner = awaitable(coroutine)
        self._on_wait = on_wait
        waiter.begin()

    def __await__(self):
        return self

    def throw(self, *error):
        """Raise an exception where it is suspended. Raises: that; or as `send`."""
        over = True
        try:
            result = self._inner.throw(*error)
            over = False
        finally:
            self._waiter._waiting = not over
        return result

    def close(self):
        """Give it up."""
        self._waiter._waiting = False
        self._inner.close()


cdef PySendResult watched_send(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    """What `send` does, without an exception for the result."""
    cdef Watched self = <Watched>op
    cdef PySendResult status = PYGEN_ERROR
    try:
        status = PyIter_Send(<PyObject *>self._inner, value, found)
    finally:
        if status != PYGEN_NEXT:
            self._waiter._waiting = False
    if status == PYGEN_NEXT and self._waiter._consumer is None:
        self._waiter.suspended()
        self._on_wait()
    return status


cdef PySendResult watched_send_locked(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    with cython.critical_section(<object>op, (<Watched>op)._waiter):
        return watched_send(op, value, found)


(<Slots *>Watched).tp_as_async.am_send = watched_send if GIL else watched_send_locked
(<Slots *>Watched).tp_iternext = iternext
