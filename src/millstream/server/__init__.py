"""ASGI and WSGI responses over any encoder, a limit for them, and the replay server that plays recordings."""

from millstream.server.drain import Drain
from millstream.server.limit import Admission, StreamLimit
from millstream.server.replay import ReplayApp
from millstream.server.responses import EventStreamResponse
from millstream.server.wsgi import AsyncEventStreamBody, EventStreamBody

__all__ = [
    "Admission",
    "AsyncEventStreamBody",
    "Drain",
    "EventStreamBody",
    "EventStreamResponse",
    "ReplayApp",
    "StreamLimit",
]
