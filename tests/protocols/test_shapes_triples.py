"""Messages at the edge of what a shape may match, in all ordered pairs and with three followers.

In each stream the first message becomes the shape (or must not), the second tries to be mistaken for it, and the
follower shows what the two have left behind.
"""

from __future__ import annotations

import pytest

from protocols.shaped import check_twins

HEAD = b'{"id":"i","choices":[{"index":0,"delta":{"content":'
TAIL = b'},"finish_reason":null}]'


def frame(text: bytes, more: bytes = b"", before: bytes = b"", end: bytes = b"\n", field: bytes = b"data: ") -> bytes:
    return before + field + HEAD + text + TAIL + more + b"}" + end + end


def usage(tokens: bytes) -> bytes:
    return frame(b'"u"', b',"usage":{"total_tokens":' + tokens + b"}")


TEXTS = [
    b'"a"', b'"bc"', b'""', b'"\\n"', b'"\\u00e9"', b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\\ude00"', b'"\\x"',
    b'"\\u12"', b'"\xc3\xa9"', b'"\xf0\x9f\x98\x80"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xff"', b'"\x7f"', b'"\x01"',
    b'"a\\"b"', b'"\\\\"', b"null", b"7", b"[]", b'[{"type":"text","text":"p"}]', b'"' + b"long " * 20 + b'"',
]  # fmt: skip
EDGES = [
    *map(frame, TEXTS),
    *map(
        usage,
        [
            b"1",
            b"-0",
            b"1e5",
            b"1e999",
            b"12345678901234567890123456",
            b"0.5",
            b"01",
            b"null",
            b"1.",
            b"123456789012345678",
        ],
    ),
    frame(b'"d"', b',"id":"j"'),
    frame(b'"d"', b',"\\u0069d":"k"'),
    frame(b'"d"', b',"obfuscation":"x"'),
    frame(b'"d"', b',"obfuscation":"\xff"'),
    frame(b'"d"', b',"obfuscation":"\\ud800"'),
    frame(b'"d"', b',"obfuscation":""'),
    frame(b'"d"', b',"created":1,"obfuscation":"y"'),
    frame(b'"e"', end=b"\r\n"),
    frame(b'"e"', end=b"\r"),
    frame(b'"e"', before=b"event: x\n"),
    frame(b'"e"', before=b"event: error\n"),
    frame(b'"e"', before=b": comment\n"),
    frame(b'"e"', before=b": comment\n\n"),
    frame(b'"e"', before=b"id: 5\n"),
    frame(b'"e"', before=b"retry: 5\n"),
    frame(b'"e"', before=b"\n"),
    frame(b'"e"', before=b"\xef\xbb\xbf"),
    frame(b'"e"', field=b"data:"),
    frame(b'"e"')[:-1] + b"event: late\n\n",
    frame(b'"e"')[:-1] + b"data: \n\n",
    frame(b'"e"')[:-1] + b"\r\n",
    frame(b'"e"', b" "),
    frame(b'"e","content":"f"'),
    frame(b'"e","reasoning_content":"e"'),
    frame(b'"e","reasoning":"g"'),
    frame(b'"e","tool_calls":[{"index":0,"id":"t","function":{"name":"n","arguments":"{}"}}]'),
    frame(b'null,"tool_calls":[{"index":0,"function":{"arguments":"1"}}]'),
    frame(b'null,"tool_calls":[{"index":1,"function":{"arguments":"2"}}]'),
    frame(b'null,"tool_calls":[{"function":{"arguments":"3"}}]'),
    frame(b'null,"reasoning":"r","reasoning_details":[{"type":"t","text":"r"}]'),
    frame(b'null,"reasoning":"r","reasoning_details":[{"type":"u","text":"r"}]'),
    frame(b'"h"').replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
    frame(b'"h"').replace(b'"finish_reason":null', b'"finish_reason":"length"'),
    frame(b'"h"').replace(b'"index":0', b'"index":1'),
    b"data: [DONE]\n\n",
    b"data: {}\n\n",
    # The leaf at a declared path is shadowed, and the text comes from elsewhere.
    b'data: {"choices":[{"index":1,"delta":{"content":"e"},"delta":null,"message":{"content":"e"}}]}\n\n',
    b'data: {"choices":[{"index":1,"delta":{"content":"e"},"d\\u0065lta":null,"message":{"content":"e"}}]}\n\n',
]
FOLLOWERS = [frame(b'"z"'), usage(b"9"), frame(b'null,"tool_calls":[{"function":{"arguments":"4"}}]')]
START = frame(b'"s"')


@pytest.mark.parametrize("first", range(len(EDGES)))
def test_pairs(first: int) -> None:
    for second in EDGES:
        for follower in FOLLOWERS:
            frames = [START, EDGES[first], EDGES[first], second, second, EDGES[first], follower, follower]
            whole = (len(second) + len(follower)) % 2
            check_twins("openai-chat", [b"".join(frames)] if whole else frames)
