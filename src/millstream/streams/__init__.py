"""Async streams: sources, operators, and the `Stream` that holds a chain of them. anyio starts on this floor."""

from millstream.streams import filters
from millstream.streams._open import stream
from millstream.streams._stream import BufferedStream, Stream
from millstream.streams._weight import PROCESS_BUFFERS, BufferBudget
from millstream.streams.accumulator import TextAccumulator
from millstream.streams.combine import fan_out, merge
from millstream.streams.monitor import StreamHealth, StreamMonitor
from millstream.streams.operators.keep_alive import KEEP_ALIVE
from millstream.streams.operators.pull import END
from millstream.streams.operators.retry import RESTART
from millstream.streams.overflow import CallerRuns, Conflate, DropAfter, join_text
from millstream.streams.pipeline import pipeline, sink, stage
from millstream.streams.pools import BufferPool
from millstream.streams.processor import StreamProcessor
from millstream.streams.progress import ProgressReport, TextProgress
from millstream.streams.retry import RetryBudget, RetryPolicy
from millstream.streams.runnable import Runnable, TextStream
from millstream.streams.timeouts import Timeouts

__all__ = [
    "END",
    "KEEP_ALIVE",
    "PROCESS_BUFFERS",
    "RESTART",
    "BufferBudget",
    "BufferPool",
    "BufferedStream",
    "CallerRuns",
    "Conflate",
    "DropAfter",
    "ProgressReport",
    "RetryBudget",
    "RetryPolicy",
    "Runnable",
    "Stream",
    "StreamHealth",
    "StreamMonitor",
    "StreamProcessor",
    "TextAccumulator",
    "TextProgress",
    "TextStream",
    "Timeouts",
    "fan_out",
    "filters",
    "join_text",
    "merge",
    "pipeline",
    "sink",
    "stage",
    "stream",
]
