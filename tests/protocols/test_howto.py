"""The code of `docs/howto/add_a_protocol.md` works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import millstream as ms
from millstream.messages import Message, Request

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add_a_protocol.md"


def code() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(dedent(block), names)
    return names


def test_decoder_encoder_and_body_of_the_how_to() -> None:
    names = code()
    body = b'data: {"say":"hi"}\n\ndata: {"end":"done"}\n\n'
    decoder, encoder = names["MyWireDecoder"](), names["MyWireEncoder"]()
    events = decoder.feed(body) + decoder.close()
    assert events == [ms.Start(), ms.TextDelta("hi"), ms.Finish(ms.FinishReason.STOP, "done")]
    assert b"".join(map(encoder.encode, events)) + encoder.close() == body
    failed = names["MyWireDecoder"]()
    (_, error, _) = failed.feed(names["MyWireEncoder"]().encode(ms.Error(ms.StreamError("no"))))
    assert error.error.message.endswith("no")
    request = Request(model="m", messages=[Message("user", "hello")], max_tokens=5)
    written = names["MyWireBody"](request, "my-wire", stream=True).write()
    assert written == {"model": "m", "ask": [{"who": "user", "say": "hello"}], "limit": 5}
