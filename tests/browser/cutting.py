"""The example's application behind something that cuts its answers: `uvicorn browser.cutting:app`.

Every connection that reads an answer breaks off after CUT_AFTER bytes, wherever in a message that is.
"""

from __future__ import annotations

import os
from typing import Any

from examples.answers.app import app as whole

CUT_AFTER = int(os.environ["CUT_AFTER"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    left = CUT_AFTER

    async def cut(message: Any) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message.get("body", b"")[:left]
        left -= len(body)
        await send({**message, "body": body})
        if left == 0:
            raise ConnectionAbortedError("cut, as the test wants it")  # uvicorn then closes the connection

    answers = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/answers/")
    await whole(scope, receive, cut if answers else send)
