"""Async streams: sources, operators, and the `Stream` that holds a chain of them. anyio starts on this floor."""

from millstream.streams import filters
from millstream.streams._open import stream
from millstream.streams._stream import Stream
from millstream.streams.monitor import StreamHealth, StreamMonitor
from millstream.streams.operators.pull import END
from millstream.streams.operators.retry import RESTART
from millstream.streams.pools import BufferPool
from millstream.streams.processor import StreamProcessor
from millstream.streams.progress import ProgressReport, TextProgress
from millstream.streams.retry import RetryBudget, RetryPolicy
from millstream.streams.runnable import Runnable, TextStream
from millstream.streams.timeouts import Timeouts

__all__ = [
    "END",
    "RESTART",
    "BufferPool",
    "ProgressReport",
    "RetryBudget",
    "RetryPolicy",
    "Runnable",
    "Stream",
    "StreamHealth",
    "StreamMonitor",
    "StreamProcessor",
    "TextProgress",
    "TextStream",
    "Timeouts",
    "filters",
    "stream",
]
