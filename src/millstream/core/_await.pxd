# What an awaitable in C needs: to send into others, to be stepped through from Python, to be ended from outside.
from cpython.object cimport PyObject


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


cdef class Steps:
    pass


cdef class Waiter:
    cdef public object _find_task
    cdef public bint _waiting
    cdef public object _consumer
    cdef public Py_ssize_t _cancelling
    cdef public bint _ending
    cdef public Py_ssize_t _asked
    cdef public object _again

    cdef int begin(self) except -1
    cdef int suspended(self) except -1


cdef awaitable(value)
cdef PySendResult throw_into(inner, tuple error, PyObject **found) except PYGEN_ERROR
cdef PyObject *iternext(PyObject *op) except NULL
cdef int raise_stop(stop, PyObject *found) except -1
