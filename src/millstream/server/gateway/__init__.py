"""The gateway: models of any provider behind one address, for clients of OpenAI and for `useChat`.

    app = Gateway({"fast": ms.provider("openai:gpt-5.1")}, keys=Keys([os.environ["GATEWAY_KEY"]]))

An ASGI application. Imports no provider: a model is whatever has `stream_text`.
"""

from millstream.server.gateway._chats import GatewayLimits
from millstream.server.gateway.app import Gateway, Resume
from millstream.server.gateway.keys import Keys

__all__ = ["Gateway", "GatewayLimits", "Keys", "Resume"]
