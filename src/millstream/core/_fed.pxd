# The state of a decoder that is read and set in C.
from millstream.core._frames cimport Frames


cdef class Fed:
    cdef public Frames _reader       # a FrameReader; None: the framing has none
    cdef public bint ended, _closed, _busy
    cdef public bint _moved          # the present message changed what later ones mean
    cdef public bint _begun          # `Start` is out
    cdef public bint _interrupted    # by an exception that was not the input's fault
    cdef public bint _usual          # the rules hold: nothing was said that they do not know of
    cdef public str _model, _id
    cdef public set _heard           # numbers of which there was a message: of rules with `heard`, and of the protocol
    cdef public list _out
    cdef public object _usage
    cdef public dict _reasons        # why each choice ended
    cdef public object _tools, _parser, limits, provider
    cdef public object _grown        # the list that the present message's text went to, if _object says so
