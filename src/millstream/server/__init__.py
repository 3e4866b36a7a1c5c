"""ASGI responses over any encoder, and the replay server that plays recordings as a provider would."""

from millstream.server.replay import ReplayApp
from millstream.server.responses import EventStreamResponse

__all__ = ["EventStreamResponse", "ReplayApp"]
