"""A raw ASGI client: it collects what an application sends, can leave, and can wait for things without sleeping."""

import anyio


class Client:
    """One request. `received` are the messages; `disconnect()` hangs up."""

    def __init__(self, path="/", method="POST", headers=(), leave_after=None):
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
        }
        self.received = []
        self.times = []
        self._leave_after = leave_after
        self._gone = anyio.Event()
        self._asked = False

    def disconnect(self):
        self._gone.set()

    async def receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await anyio.lowlevel.checkpoint()
        self.received.append(message)
        self.times.append(anyio.current_time())
        if self._leave_after is not None and len(self.bodies) >= self._leave_after:
            self.disconnect()

    async def run(self, app):
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        return self.received[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.received[0]["headers"]}

    @property
    def bodies(self):
        return [message["body"] for message in self.received if message["type"] == "http.response.body"]

    @property
    def body(self):
        return b"".join(self.bodies)

    @property
    def is_ended(self):
        return self.received[-1].get("more_body") is False
