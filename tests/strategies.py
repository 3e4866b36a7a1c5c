"""Hypothesis strategies: streams that look like the real thing often enough to reach every branch, and their cuts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

BOM = b"\xef\xbb\xbf"
# Pieces of UTF-8: whole, cut off, overlong, a surrogate, above U+10FFFF; and separators that are not line ends.
ODD_BYTES = [
    *(c.encode() for c in ("é", "€", "😀", "\u2028", "\u0085", "\ufeff", "\ufffd")),
    b"\xe2\x82", b"\xf0\x9f\x98", b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\0", b"\x0b", b"\x0c", b"\x1c", b"\x1e", b"\t",
]  # fmt: skip


def chunkings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in pieces; empty pieces too."""

    def cut(at: list[int]) -> list[bytes]:
        bounds = [0, *sorted(at), len(data)]
        return [data[a:b] for a, b in pairwise(bounds)]

    some = st.lists(st.integers(0, len(data)), max_size=12).map(cut)
    return some | st.just([data]) | st.just([data[i : i + 1] for i in range(len(data))])


_eol = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"])
_text = st.lists(st.sampled_from([b"a", b"b", b" ", b":", b"1", *ODD_BYTES]), max_size=6).map(b"".join)
_digits = st.text("0123456789", min_size=1, max_size=14).map(str.encode)
_field = st.tuples(
    st.sampled_from([b"data", b"data", b"event", b"id", b"retry", b"", b"Data", b"error", b"x", b"\xef\xbb\xbfdata"]),
    st.sampled_from([b":", b": ", b":  ", b"", b" :", b":\t"]),
    _text | _digits,
).map(b"".join)
_line = st.one_of(_field, _field, _field, st.just(b""), st.just(b""), _text)


@st.composite
def sse_streams(draw: st.DrawFn) -> bytes:
    """Bytes that are mostly fields, comments and blank lines, with any terminators; sometimes any bytes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    start = draw(st.sampled_from([b"", b"", b"", BOM, BOM + BOM, BOM[:1], BOM[:2], b"\n"]))
    lines = draw(st.lists(st.tuples(_line, _eol).map(b"".join), max_size=12))
    end = draw(st.sampled_from([b"", b"\n", b"\r", b"data: cut", b"id: cut", b": cut", b"\xe2\x82"]))
    return start + b"".join(lines) + end


_json = st.sampled_from([
    b"{}", b"[]", b"null", b"true", b"0", b"-1.5e3", b'"a"', b'{"a":1}', b'{"a": [1, "\\u00e9"]}', b'[1,\r2]',
    '"é€😀"'.encode(), b' {"b" : null} ',
])  # fmt: skip
_not_json = st.sampled_from(
    [b"{", b"tru", b'{"a":', b"NaN", b'"\xff"', b"{}{}", b"'a'", b'"a', b"01", b"\0", BOM + b"1"]
)
_ndjson_line = st.one_of(
    _json, _json, _json, _json, _not_json, st.text(" \t\r", max_size=3).map(str.encode), st.binary(max_size=6)
)


@st.composite
def ndjson_streams(draw: st.DrawFn) -> bytes:
    """Lines of mostly valid JSON, among blank and bad ones; the last may lack its newline."""
    start = draw(st.sampled_from([b"", b"", b"", BOM, BOM[:1], BOM[:2]]))
    lines = draw(st.lists(st.tuples(_ndjson_line, st.sampled_from([b"\n", b"\n", b"\r\n"])).map(b"".join), max_size=10))
    return start + b"".join(lines) + draw(st.just(b"") | _ndjson_line)


_json_piece = st.sampled_from([
    b"{", b"}", b"[", b"]", b",", b":", b'"k":', b'{"a":', b',"a":', b'"a"', b"0", b"-0", b"12", b"-1.5e+3", b"1E9",
    b"0.25", b"1e999", b"123456789", b"01", b"-", b"1.", b"true", b"false", b"null", b"nul", b"NaN", b"Infinity",
    b"-Infinity", b" ", b"\n", b"\t\r", b'""',
    '"é€😀"'.encode(), b'"\\u00e9\\n\\\\"', b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\\ude00"',
    b'"\\x"', b'"\\u12', b'"\x01"', b'"open', b'"', b"\\", *ODD_BYTES,
])  # fmt: skip


def json_texts() -> st.SearchStrategy[bytes]:
    """Whole values, some of them cut off or followed by more; or the pieces of values in any order."""
    value = st.recursive(
        st.sampled_from([b"0", b"-1.5e3", b'"a"', '"é😀"'.encode(), b'"\\ud83d\\ude00\\n"', b"null", b" true ", b"12"]),
        lambda inner: (
            st.lists(inner, max_size=4).map(lambda items: b"[" + b",".join(items) + b"]")
            | st.lists(
                st.tuples(st.sampled_from([b'"a":', b' "b" : ', b'"\\u0061":', '"é":'.encode()]), inner), max_size=4
            ).map(lambda members: b"{" + b",".join(key + item for key, item in members) + b"}")
        ),
        max_leaves=8,
    )
    pieces = st.lists(_json_piece, max_size=10).map(b"".join)
    shortened = st.tuples(value, st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]])
    return value | shortened | st.tuples(value, pieces).map(b"".join) | pieces
