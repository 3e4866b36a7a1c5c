"""A raw ASGI client: it collects what an application sends, can leave, and can wait for things without sleeping."""

import anyio


class Client:
    """One request. `received` are the messages; `disconnect()` hangs up.

    Args: spec: version of ASGI; from 2.4 on `send` raises OSError once the client has gone. deaf: `receive` never tells
        that it has. stuck_after: the `send` that comes after so many pieces of body never returns.
    """

    def __init__(
        self, path="/", method="POST", headers=(), leave_after=None, spec="2.3", deaf=False, stuck_after=None, query=b""
    ):
        self._spec = tuple(map(int, spec.split(".")))
        self._deaf = deaf
        self._stuck_after = stuck_after
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec},
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
        }
        self.received = []
        self.n_refused = 0
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
        if self._deaf:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await anyio.lowlevel.checkpoint()
        if self._gone.is_set() and self._spec >= (2, 4):
            self.n_refused += 1
            raise OSError("the client has gone")
        if self._stuck_after is not None and len(self.bodies) >= self._stuck_after:
            await anyio.sleep_forever()
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
