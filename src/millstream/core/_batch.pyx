"""The hot end of a stream: items served from the current batch without a coroutine for each, batches pulled without one
of our own, functions applied to one.

`async for` asks for an awaitable and sends into it; while the batch lasts both steps are C. An empty batch makes it a
`Refill`, which steps through the chain's `pull` itself and sees whether that ever suspends: one that does not needs
nothing that guards a wait, one that does has just let others have their turn. What is rare (opening, the end, errors,
a backend that needs a scope for each pull) is a coroutine of the subclass. Knows no event loop. What goes into the
slots of the awaitables, and why: _await.pyx. Cost: an item takes 10 ns on 3.11, where the slot `am_send` gives it to
the interpreter; since 3.12 that calls `tp_iternext`, and the StopIteration that carries the item makes it 35 ns.

A stream is for one task. Where there is no GIL, threads that share one all the same wait for each other, as they would
for the GIL, and no object is used again: how many references others hold cannot be known there.
Source: PEP 492, PEP 380, PEP 703, CPython's C API reference, "Async Object Structures".
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT

from millstream.core._await cimport (
    PYGEN_ERROR, PYGEN_NEXT, PYGEN_RETURN, PyIter_Send, PySendResult, Slots, Steps, Stop, Waiter, awaitable, iternext,
    raise_stop, throw_into,
)
from millstream.core._gil cimport GIL

from types import GenericAlias

__all__ = ["FAIR_PULLS", "Serving", "apply", "select"]

FAIR_PULLS = 64  # S17: after so many pulls that never suspended there is a real checkpoint,
FAIR_SECONDS = 0.001  # or after so long

cdef int fair_pulls = FAIR_PULLS
cdef double fair_seconds = FAIR_SECONDS

cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)


@cython.auto_pickle(False)
cdef class Serving(Waiter):
    """Serves items from the current batch and asks for the next one. A subclass defines `_refill` and `_settle`."""

    cdef list _items
    cdef Py_ssize_t _served
    cdef Next _spare  # the last one given out: if nobody kept it, it is used again
    cdef object _stop  # see `stop_with`
    cdef object _pull
    cdef public object _now  # returns seconds
    cdef int _pulls
    cdef double _fair_until  # 0.0: others have just had their turn; -1.0: nobody has yet

    __class_getitem__ = classmethod(GenericAlias)

    def __cinit__(self):
        self._items = []
        self._fair_until = -1.0

    def __aiter__(self):
        return self

    @cython.critical_section
    def __anext__(self):
        """Return the next item, once it is awaited.

        Raises: StreamClosed: it was closed before its end. StreamBusy: another consumer is waiting for an item.
            StreamNotEntered: an operator needs a background task, and nobody entered the stream with `async with`.
            Whatever the source or an operator raises, once; after that the stream is at its end.
        """
        if self._served >= len(self._items):
            return refill(self, False)
        cdef Next next_ = self._spare
        if not GIL or next_ is None or Py_REFCNT(next_) > 2:  # somebody has kept it
            next_ = Next.__new__(Next)
            if GIL:
                self._spare = next_
        elif next_._refill is not None:
            next_._refill = None
        next_._owner = self
        return next_

    def _next_batch(self):
        """Return the next batch when awaited, or what is left of this one. Raises: as `__anext__`."""
        return refill(self, True)

    @cython.critical_section
    def _rest(self):
        """Return what was pulled and not served yet; it is served no more."""
        rest = self._items[self._served :]
        self._items, self._served = [], 0
        return rest

    @cython.critical_section
    def _pull_with(self, pull):
        """From now on call `pull`, without asking `_refill`; None: ask again."""
        self._pull = pull

    @cython.critical_section
    def _breathed(self):
        """Note a checkpoint."""
        self._pulls, self._fair_until = 0, 0.0

    def _refill(self):
        """Return the next batch, or [] at the end, when awaited; called when there is nothing to pull with, or when it
        is time to let others have their turn. May end with `await self._pulled()`.
        """
        raise NotImplementedError

    def _settle(self, batch, error):
        """Say, when awaited, what became of a pull that gave no items, raised, or was interrupted: return [] or raise.
        """
        raise NotImplementedError

    @cython.critical_section
    def _pulled(self):
        """Return the next batch, or [] at the end, when awaited: now, whoever waits for a turn."""
        cdef Refill pulling = refill(self, True)
        pulling._raw = True
        pulling.begin()
        return pulling

    @cython.critical_section
    def _must_breathe(self):
        """Whether a checkpoint is due (S17)."""
        return self.must_breathe()

    cdef bint must_breathe(self) except -1:
        cdef double now = self._now()
        if self._fair_until == 0.0:
            self._fair_until = now + fair_seconds
            self._pulls = 0
        self._pulls += 1
        return self._pulls > fair_pulls or now >= self._fair_until


cdef enum:
    NEW
    ASKED  # a coroutine of the subclass runs
    PULLING
    OVER


@cython.final
@cython.auto_pickle(False)
cdef class Refill(Steps):
    """What `__anext__` returns when the batch is used up: pulls, and gives the first item, or the whole batch.

    Behaves as a coroutine does, see `Next`.
    """

    cdef Serving _owner
    cdef object _inner  # what it waits for
    cdef int _phase
    cdef bint _whole
    cdef bint _raw  # an empty batch is a result
    cdef bint _suspended
    cdef bint _running  # in `_inner`, which must not go away meanwhile

    def __await__(self):
        return self

    def throw(self, *error):
        """Raise an exception where it is suspended. Raises: that; or as `send`."""
        cdef PyObject *found = NULL
        if self._phase == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        if self._phase == NEW:  # as a coroutine that has not begun: it is over, and nothing has happened
            self._phase = OVER
            return self._owner._refill().throw(*error)
        cdef PySendResult status
        with cython.critical_section(self, self._owner):
            status = self.go(NULL, error, &found)
        result = <object>found
        Py_DECREF(result)
        if status == PYGEN_RETURN:
            raise StopIteration(result)
        return result

    def close(self):
        """Give it up."""
        if self._phase == NEW:
            self._phase = OVER
        if self._phase == OVER:
            return
        try:
            self.throw(GeneratorExit())
        except (GeneratorExit, StopIteration):
            return
        raise RuntimeError("coroutine ignored GeneratorExit")

    def __del__(self):
        # As a coroutine that is dropped: the source is closed as far as that goes without waiting.
        if self._phase == PULLING:
            self.close()

    cdef int begin(self) except -1:
        self._inner = awaitable(self._owner._pull())
        self._phase = PULLING
        self._owner.begin()
        return 0

    cdef PySendResult go(self, PyObject *value, tuple error, PyObject **found) except PYGEN_ERROR:
        """Let what it waits for go on, with a value or an error."""
        cdef PySendResult status
        cdef Serving owner = self._owner
        if self._running:
            raise ValueError("coroutine already executing")
        while True:
            failure = None
            self._running = True
            try:
                if error is None:
                    status = PyIter_Send(<PyObject *>self._inner, value, found)
                else:
                    status = throw_into(self._inner, error, found)
                self._running = False
            except BaseException as raised:
                self._running = False
                if self._phase != PULLING:
                    self._phase, self._inner = OVER, None
                    raise
                failure = raised
                status = PYGEN_ERROR
            if status == PYGEN_NEXT:
                if self._phase == PULLING and not self._suspended:
                    self._suspended = True
                    owner.suspended()
                return PYGEN_NEXT
            batch = None
            if status == PYGEN_RETURN:
                batch = <object>found[0]
                Py_DECREF(batch)
                found[0] = NULL
            if self._phase == PULLING:
                owner._waiting = False
                if self._suspended:
                    owner._fair_until = 0.0
                if status == PYGEN_ERROR or not batch or owner._ending:
                    self._phase = ASKED
                    self._inner = owner._settle(batch, failure)
                    value, error = <PyObject *>None, None
                    continue
            self._phase, self._inner = OVER, None
            if self._raw:
                item = batch
            elif not batch:
                raise StopAsyncIteration
            elif self._whole:
                item = batch
            else:
                owner._items, owner._served = batch, 1
                item = (<list>batch)[0]
            Py_INCREF(item)
            found[0] = <PyObject *>item
            return PYGEN_RETURN


cdef PySendResult refill_send(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    """Begin, or go on: what `send` does, without an exception for the result."""
    cdef Refill self = <Refill>op
    cdef Serving owner = self._owner
    if self._phase == OVER:
        raise RuntimeError("cannot reuse already awaited coroutine")
    if self._phase == NEW:
        if value != <PyObject *>None:
            raise TypeError("can't send non-None value to a just-started coroutine")
        if owner._served < len(owner._items):  # another consumer has pulled meanwhile
            self._phase = OVER
            item = owner._rest() if self._whole else owner._items[owner._served]
            owner._served += not self._whole
            Py_INCREF(item)
            found[0] = <PyObject *>item
            return PYGEN_RETURN
        if owner._pull is None or owner._waiting or owner.must_breathe():
            self._phase = ASKED
            self._inner = owner._refill()
        else:
            self.begin()
    return self.go(value, None, found)


cdef Refill refill(Serving owner, bint whole):
    cdef Refill self = Refill.__new__(Refill)
    self._owner = owner
    self._whole = whole
    return self


@cython.final
@cython.auto_pickle(False)
cdef class Next(Steps):
    """What `__anext__` returns while the batch lasts. As with a coroutine, nothing happens before it is awaited, which
    can be done once, and a task can be made of it; but nobody is warned if it never is, as nothing is lost then.

    If others have emptied the batch by the time it is awaited, it hands over to a `Refill`.
    """

    cdef Serving _owner  # None when it is over
    cdef Refill _refill

    def __await__(self):
        return self

    def throw(self, *error):
        """Raise an exception where it is suspended. Raises: that; or as `send`."""
        return self._handed_over().throw(*error)

    def close(self):
        """Give it up."""
        if self._owner is not None or self._refill is not None:
            self._handed_over().close()

    cdef Refill _handed_over(self):
        with cython.critical_section(self):
            if self._refill is None:
                if self._owner is None:
                    raise RuntimeError("cannot reuse already awaited coroutine")
                self._refill, self._owner = refill(self._owner, False), None
            return self._refill


cdef PySendResult next_send(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    """Begin, or go on: what `send` does, without an exception for the result."""
    cdef Serving owner = (<Next>op)._owner
    if owner is not None and value != <PyObject *>None:
        raise TypeError("can't send non-None value to a just-started coroutine")
    if owner is None or owner._served >= len(owner._items):
        refill_ = (<Next>op)._handed_over()
        return refill_send(<PyObject *>refill_, value, found)
    (<Next>op)._owner = None
    if GIL:
        found[0] = PyList_GET_ITEM(owner._items, owner._served)
        Py_INCREF(<object>found[0])
    else:
        item = owner._items[owner._served]  # the batch may be a list that somebody else has, too
        Py_INCREF(item)
        found[0] = <PyObject *>item
    owner._served += 1
    return PYGEN_RETURN


cdef PyObject *next_iternext(PyObject *op) except NULL:
    """As `send(None)`."""
    cdef PyObject *found = NULL
    cdef Serving owner = (<Next>op)._owner
    cdef PySendResult status = next_send(op, <PyObject *>None, &found)
    if status == PYGEN_NEXT:
        return found
    stop_with(owner, found)
    return NULL


cdef PyObject *refill_iternext(PyObject *op) except NULL:
    """As `send(None)`."""
    cdef PyObject *found = NULL
    cdef PySendResult status = refill_send(op, <PyObject *>None, &found)
    if status == PYGEN_NEXT:
        return found
    stop_with((<Refill>op)._owner, found)
    return NULL


cdef int stop_with(Serving owner, PyObject *found) except -1:
    """Set StopIteration with a value; the caller returns NULL. Since 3.12 every item leaves here, so the exception that
    carries it is used again: a new one would cost 60 ns. Not if anybody has kept or caught it.
    """
    stop = None if owner is None or not GIL else owner._stop
    cdef Stop *fields = <Stop *><PyObject *>stop
    if stop is None or Py_REFCNT(stop) > 2 or fields.traceback != NULL or fields.context != NULL:
        stop = StopIteration()
        if GIL and owner is not None:
            owner._stop = stop
    return raise_stop(stop, found)


cdef PySendResult next_send_locked(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    with cython.critical_section(<object>op):
        owner = (<Next>op)._owner
        with cython.critical_section(<object>op if owner is None else owner):
            return next_send(op, value, found)


cdef PySendResult refill_send_locked(PyObject *op, PyObject *value, PyObject **found) except PYGEN_ERROR:
    with cython.critical_section(<object>op, (<Refill>op)._owner):
        return refill_send(op, value, found)


(<Slots *>Next).tp_as_async.am_send = next_send if GIL else next_send_locked
(<Slots *>Next).tp_iternext = next_iternext if GIL else iternext
(<Slots *>Refill).tp_as_async.am_send = refill_send if GIL else refill_send_locked
(<Slots *>Refill).tp_iternext = refill_iternext if GIL else iternext


def apply(fn, items, list out not None, object plain):
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


def select(fn, items, list out not None, object plain):
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
