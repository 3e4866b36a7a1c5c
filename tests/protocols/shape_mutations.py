"""Windows of captures in which one message is damaged, and perhaps repeated so that it becomes the shape.

What servers have not sent yet is what a corpus cannot tell: the damage is of every kind that could confuse a match.
"""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from typing import Any

from protocols.captures import APIS, body_of
from protocols.shaped import SHAPED

FILES = [file for file, api in APIS.items() if api in SHAPED]

BYTES = [
    b'"',
    b"\\",
    b"\\u0041",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"\\udc00",
    b"\\x",
    b"\\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
]
BYTES += [b"\xc3\xa9", b"\xc3", b"\xef\xbb\xbf", b" ", b"}", b"{", b"]", b",", b":", b"0", b"-", b"e5", b".", b"1e999"]
FRAMING = [
    b"id: 7\n",
    b"retry: 9\n",
    b": comment\n",
    b"event: error\n",
    b"event: x\n",
    b"data: \n",
    b"data: {}\n",
    b"junk\n",
]
FRAMING += [b"\n", b"\r\n", b"\xef\xbb\xbf", b"data\n", b"id\n", b'error: {"a": 1}\n', b'{"error": 1}\n']
LEAVES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**17,
    10**18,
    10**25,
    "",
    "x",
    "\u00e9",
    "a\nb",
    "null",
    [],
    {},
    [1],
    {"a": 1},
]
LEAVES += ["stop", "function_call", "tool_use", "text_delta", "error", {"error": 1}, [{"type": "text", "text": "y"}]]


def frames_of(body: bytes) -> list[bytes]:
    ends = rb"\r?\n\r?\n" if re.search(rb"\r?\n\r?\n", body) else rb"\n"
    ats = [0, *(match.end() for match in re.finditer(ends, body)), len(body)]
    return [body[a:b] for a, b in pairwise(ats) if a < b]


def window(rng: random.Random) -> tuple[str, list[bytes]]:
    """A protocol and the frames of a stream: some of a capture's first, some later ones, one of them damaged."""
    file = rng.choice(FILES)
    frames = frames_of(body_of(file))
    at = rng.randrange(len(frames))
    first = frames[: rng.randrange(4)] if at > 3 else []
    here = frames[max(at - 2, 0) : at + 1] + frames[at : at + 1] * rng.randrange(2)
    bad = damaged(frames[at], rng)
    repeats = [bad] * rng.choice([1, 2, 3, 4])
    mixed = [bad, frames[at], bad] if rng.random() < 0.3 else []
    if rng.random() < 0.2:
        mixed += [damaged(bad, rng), bad]
    after = frames[at : at + rng.randrange(1, 5)]
    return APIS[file], [frame for frame in first + here + repeats + mixed + after if len(frame) < 20_000]


def damaged(frame: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    at = rng.randrange(len(frame) + 1)
    if kind == 0 and frame:
        at = rng.randrange(len(frame))
        return frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]
    if kind == 1:
        return frame[:at] + rng.choice(BYTES) + frame[at:]
    if kind == 2:
        return frame[:at] + frame[at + rng.randrange(1, 9) :]
    if kind == 3:
        lines = frame.splitlines(keepends=True)
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(FRAMING))
        return b"".join(lines)
    if kind == 4:
        return frame.replace(b"\n", b"\r\n") if b"\r" not in frame else frame.replace(b"\r", b"", rng.choice([1, -1]))
    head, found, tail = frame.partition(b"{")
    text, end, tail = (found + tail).rpartition(b"}")
    try:
        value = json.loads(text + end)
    except ValueError:
        return frame[:at] + rng.choice(BYTES) + frame[at:]
    if kind == 5:
        strings = list(re.finditer(rb'"((?:[^"\\]|\\.)*)"', text))
        if strings:
            place = rng.choice(strings).end() - 1
            return head + text[:place] + rng.choice(BYTES) + text[place:] + end + tail
    changed = json.dumps(spoilt(value, rng), ensure_ascii=rng.random() < 0.5, separators=(",", ":")).encode(
        errors="replace"
    )
    if kind == 6:
        changed = twice(changed, rng)
    return head + changed + b" " * rng.choice([0, 0, 0, 1, 5]) + tail


def spoilt(value: Any, rng: random.Random) -> Any:
    """The same JSON with a leaf changed, a key moved, added or gone."""
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        kind = rng.randrange(12)
        if kind == 0:
            return {name: value[name] for name in value if name != key}
        if kind == 1:
            return (
                {key: value[key]} | value
                if rng.random() < 0.5
                else {k: v for k, v in value.items() if k != key} | {key: value[key]}
            )
        if kind == 2:
            return value | {
                rng.choice(["id", "usage", "error", "type", "index", "logprobs", "delta", "x"]): rng.choice(LEAVES)
            }
        return value | {key: spoilt(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        if rng.random() < 0.1:
            return [*value, value[at]]
        return [*value[:at], spoilt(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return value + rng.choice(["", "x", "\u00e9", "\U0001f600", '"', "\\", "\n", "\x7f", "\u2028"])
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 10, 10**18])
    return rng.choice(LEAVES)


def twice(text: bytes, rng: random.Random) -> bytes:
    """A member once more, in the same object, perhaps with another value or an escaped key."""
    members = list(re.finditer(rb'"(\w+)":("(?:[^"\\]|\\.)*"|[-\w.]+)', text))
    if not members:
        return text
    member = rng.choice(members)
    key, value = member.group(1), rng.choice([member.group(2), b"null", b'"z"', b"7"])
    if rng.random() < 0.3:
        key = b"\\u%04x" % key[0] + key[1:]
    extra = b'"' + key + b'":' + value
    pair = [member.group(0), extra] if rng.random() < 0.5 else [extra, member.group(0)]
    return text[: member.start()] + b",".join(pair) + text[member.end() :]
