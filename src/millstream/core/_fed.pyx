"""The base of decoders: a chunk of frames that all match shapes is read here and in _frames.pyx, and nowhere else."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE

from millstream.errors import ParserClosed

__all__ = ["Fed"]


cdef class Fed:
    """The base of decoders: `feed`, for as long as shapes match. All else is the subclass's.

    The subclass gives `_run(data, out)`, which reads a chunk (None: the end of the body) with its slow way, `_message`,
    `_latest` and `_sink`.

    Attributes: ended: the wire's own end was seen, or a fatal error: whatever else the body holds is ignored.
    """

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
        if data is None:
            raise TypeError("decoders read bytes, not None: to say that the body has ended, call close()")
        return self._run(data, out)
