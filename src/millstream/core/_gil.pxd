# Whether other threads wait while this one is in C. Known to the C compiler: what asks for it costs nothing.
cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define MS_GIL 0
    #else
    #define MS_GIL 1
    #endif
    """
    bint GIL "MS_GIL"
