"""A body read the naive way, apart from all of millstream: which JSON values are in it, in which order.

What an event says must come from here: `test_mutations.py` holds damaged captures to it. Lenient on purpose: checksums
are not looked at, and what is not JSON is left out, so a value that is missing here was made up.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

LINE_END = re.compile(r"\r\n|\r|\n")


def values(body: bytes, media_type: str) -> list[Any]:
    """The decoded JSON of each message, in the order of the body."""
    match media_type:
        case "text/event-stream":
            texts = list(_data(body.decode(errors="replace").removeprefix("\ufeff")))
        case "application/vnd.amazon.eventstream":
            texts = [payload.decode(errors="replace") for payload in _payloads(body)]
        case "application/json":
            return list(_elements(body.decode(errors="replace").removeprefix("\ufeff")))
        case _:
            texts = body.decode(errors="replace").split("\n")
    return [value for text in texts for value in _json(text)]


def leaves(value: Any) -> Iterator[Any]:
    """The value itself, and all that it contains, depth first; names of members too."""
    yield value
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member)


def under(value: Any, *names: str) -> Iterator[str]:
    """The strings that are a member of one of these names, anywhere."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in names and isinstance(member, str):
                yield member
            yield from under(member, *names)
    elif isinstance(value, list):
        for member in value:
            yield from under(member, *names)


def _data(text: str) -> Iterator[str]:
    data: list[str] = []
    for line in [*LINE_END.split(text), ""]:
        name, _, value = line.partition(":")
        if not line:
            yield "\n".join(data)
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))


def _json(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict) and value.keys() & {"bytes"}:  # Bedrock's `chunk`: JSON in base64
        try:
            return _json(b64decode(value["bytes"]).decode())
        except (TypeError, ValueError):
            return []
    return [value]


def _payloads(body: bytes) -> Iterator[bytes]:
    at = 0
    while at + 16 <= len(body):
        total, headers = struct.unpack_from(">II", body, at)
        if not 16 + headers <= total <= len(body) - at:
            return
        yield body[at + 12 + headers : at + total - 4]
        at += total


def _elements(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] in " \t\r\n,[":
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield value
