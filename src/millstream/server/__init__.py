"""ASGI and WSGI responses over any encoder, and the replay server that plays recordings as a provider would."""

from millstream.server.drain import Drain
from millstream.server.replay import ReplayApp
from millstream.server.responses import EventStreamResponse
from millstream.server.wsgi import AsyncEventStreamBody, EventStreamBody

__all__ = ["AsyncEventStreamBody", "Drain", "EventStreamBody", "EventStreamResponse", "ReplayApp"]
