"""Each way to a value that grows, as one function: a document in deltas -> its value after each.

The loop stands in each function, as a user would write it: take the next delta, feed it, read the value. A parser that
must parse again gets what has come so far in the cheapest way, as one slice. Peers run in their default mode, or in the
one that shows unfinished strings; ijson has none, which is to its advantage. jsonriver and partial-json-parser take
str: their deltas are as many characters.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import ijson.backends.yajl2_c  # without it ijson falls back to slower ones silently
import jiter
import jsonriver
import orjson
import partial_json_parser
import pydantic_core
import streaming_json_parser
import streaming_json_parser_native  # noqa: F401 (likewise)

from millstream.core import JSONParser, parse_partial_json

See = Callable[[Any], object]


def _no(value: Any) -> None:
    """Look at a value, no more."""


def millstream(data: bytes, n: int, see: See | None = None) -> Any:
    return _millstream(JSONParser(deltas=False), data, n, see)


def millstream_deltas(data: bytes, n: int, see: See | None = None) -> Any:
    return _millstream(JSONParser(), data, n, see)


def _millstream(parser: JSONParser, data: bytes, n: int, see: See | None) -> Any:
    feed = parser.feed
    if see is None:
        for i in range(0, len(data), n):
            feed(data[i : i + n])
            value = parser.value
    else:
        for i in range(0, len(data), n):
            feed(data[i : i + n])
            value = parser.value
            see(value)
    return value


def streaming_parser(data: bytes, n: int, see: See | None = None) -> Any:
    feed = streaming_json_parser.StreamingJsonParser().feed
    if see is None:
        for i in range(0, len(data), n):
            value = feed(data[i : i + n]).value
    else:
        for i in range(0, len(data), n):
            value = feed(data[i : i + n]).value
            see(value)
    return value


def ijson_push(data: bytes, n: int, see: See | None = None) -> Any:
    events = ijson.utils.sendable_list()
    builder = ijson.common.ObjectBuilder()
    push = ijson.backends.yajl2_c.basic_parse_coro(events, use_float=True).send
    for i in range(0, len(data), n):
        push(data[i : i + n])
        for event, value in events:
            builder.event(event, value)
        events.clear()
        value = builder.value
        if see is not None:
            see(value)
    return value


def river(data: bytes, n: int, see: See | None = None) -> Any:
    text = data.decode(errors="ignore")  # which is cut where the document is, perhaps inside a character

    async def deltas() -> AsyncIterator[str]:
        for i in range(0, len(text), n):
            yield text[i : i + n]

    async def run() -> Any:
        try:
            async for value in jsonriver.parse(deltas()):
                if see is not None:
                    see(value)
        except ValueError:
            pass  # only the first part of the document was given; the answer is compared all the same
        return value

    try:
        run().send(None)  # nothing in it waits, so it needs no event loop
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def jiter_again(data: bytes) -> Any:
    return jiter.from_json(data, partial_mode="trailing-strings")


def pydantic_again(data: bytes) -> Any:
    return pydantic_core.from_json(data, allow_partial="trailing-strings")


def partial_again(data: str) -> Any:
    return partial_json_parser.loads(data)


@dataclass(frozen=True)
class Peer:
    """`stream` reads deltas; `again` parses a prefix, `text` says as str."""

    name: str
    stream: Callable[..., Any] | None = None
    again: Callable[[Any], Any] | None = None
    text: bool = False
    strings: bool = True  # whether it shows unfinished strings
    slow: bool = False  # takes seconds for 1 MB, once


OWN = "millstream"
DELTAS = "millstream, with deltas"
PEERS = [
    Peer(OWN, millstream),
    Peer(DELTAS, millstream_deltas),
    Peer("jiter, again", again=jiter_again),
    Peer("pydantic_core, again", again=pydantic_again),
    Peer("partial-json-parser, again", again=partial_again, text=True, slow=True),
    Peer("streaming-json-parser", streaming_parser),
    Peer("jsonriver", river),
    Peer("ijson", ijson_push, strings=False),
]


def parser_whole(data: bytes) -> Any:
    parser = JSONParser(deltas=False)
    parser.feed(data)
    parser.close()
    return parser.value


# A complete document at once.
WHOLE: dict[str, Callable[[bytes], Any]] = {
    "millstream": parse_partial_json,
    "JSONParser": parser_whole,
    "jiter": jiter.from_json,
    "orjson": orjson.loads,
}
