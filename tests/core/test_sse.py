"""SSEParser: the edges that SSE.md sections 1 and 4 name, options, limits, input types and misuse."""

from __future__ import annotations

import pickle
import sys

import pytest

from millstream.core import MAX_RETRY_MS, SSEMessage, SSEParser
from millstream.errors import ConcurrentUseError, InvalidJSON, InvalidUTF8, LimitExceeded, ParserClosed
from millstream.limits import DEFAULT_LIMITS
from reference import sse as oracle

BOM = b"\xef\xbb\xbf"


def pieces(data):
    return [data[i : i + 1] for i in range(len(data))]


def feed_all(parser, chunks):
    """Feed all, then nothing once more: an error that was put off comes out."""
    for chunk in [*chunks, b""]:
        parser.feed(chunk)


def parse(data, **options):
    """The messages, the same whether whole, byte by byte, or at any two-way split; and the parser."""
    expected = None
    for chunks in ([data], pieces(data), *([data[:i], data[i:]] for i in range(1, len(data)))):
        parser = SSEParser(**options)
        messages = [message for chunk in chunks for message in parser.feed(chunk)] + parser.close()
        assert expected is None or messages == expected
        expected = messages
    return messages, parser


def brief(messages):
    return [(m.event, m.data, m.id, m.retry) for m in messages]


def m(data="x", event="message", id="", retry=None):
    return (event, data, id, retry)


REPLACED = "\ufffd"
EDGES = {
    # SSE.md section 1, row by row.
    "retry-empty": (b"retry:\nretry\ndata: x\n\n", [m()]),
    "retry-clamped": (b"retry: 99999999999999999999999\ndata: x\n\n", [m(retry=MAX_RETRY_MS)]),
    "retry-at-the-cap": (b"retry: 2147483647\ndata: x\n\n", [m(retry=MAX_RETRY_MS)]),
    "retry-above-the-cap": (b"retry: 2147483648\ndata: x\n\n", [m(retry=MAX_RETRY_MS)]),
    "retry-leading-zeros": (b"retry: 00000000000000000000007\ndata: x\n\n", [m(retry=7)]),
    "retry-underscore": (b"retry: 1_0\ndata: x\n\n", [m()]),
    "retry-minus": (b"retry: -1\ndata: x\n\n", [m()]),
    "retry-plus": (b"retry: +5\ndata: x\n\n", [m()]),
    "retry-two-spaces": (b"retry:  10\ndata: x\n\n", [m()]),
    "retry-arabic-digits": ("retry: ١٠\ndata: x\n\n".encode(), [m()]),
    "event-then-empty-event": (b"event: a\nevent:\ndata: x\n\n", [m()]),
    "event-does-not-stick": (b"event: a\ndata: x\n\ndata: x\n\n", [m(event="a"), m()]),
    "event-without-data-is-forgotten": (b"event: a\n\ndata: x\n\n", [m()]),
    "bom": (BOM + b"data: x\n\n", [m()]),
    "two-boms": (BOM + BOM + b"data: 1\n\ndata: x\n\n", [m()]),
    "bom-before-a-comment": (BOM + b": hi\ndata: x\n\n", [m()]),
    "partial-bom": (b"\xef\xbbdata: 1\n\ndata: x\n\n", [m()]),
    "cr": (b"data: x\r\r", [m()]),
    "crlf": (b"data: x\r\n\r\n", [m()]),
    "lf-cr": (b"data: x\n\r", [m()]),
    "crlf-cr": (b"data: x\r\n\r", [m()]),
    "lf-crlf": (b"data: x\n\r\n", [m()]),
    "lone-cr-at-the-end": (b"data: trunc\r", []),
    "lone-crlf-at-the-end": (b"data: trunc\r\n", []),
    "id-nul": (b"id: 1\nid: a\0b\ndata: x\n\n", [m(id="1")]),
    "id-empty-value": (b"id: 1\ndata: x\n\nid:\ndata: x\n\n", [m(id="1"), m()]),
    "id-no-colon": (b"id: 1\ndata: x\n\nid\ndata: x\n\n", [m(id="1"), m()]),
    "id-sticks": (b"id: 1\ndata: x\n\ndata: x\n\n", [m(id="1"), m(id="1")]),
    "data-lines": (b"data: a\ndata: b\ndata: c\n\n", [m("a\nb\nc")]),
    "data-empty": (b"data\n\n", [m("")]),
    "data-empty-twice": (b"data\ndata:\n\n", [m("\n")]),
    "data-trailing-empty": (b"data: a\ndata\ndata\n\n", [m("a\n\n")]),
    "utf8-cut": ("data: é€😀\n\n".encode(), [m("é€😀")]),
    "utf8-ill-formed": (b"data: \xe2\x82x\xff\xf0\x9f\x98\n\n", [m(f"{REPLACED}x{REPLACED}{REPLACED}")]),
    "utf8-surrogate": (b"data: \xed\xa0\x80\n\n", [m(REPLACED * 3)]),
    # The rest of the standard.
    "one-space": (b"data:x\n\ndata: x\n\ndata:  x\n\ndata:\tx\n\n", [m(), m(), m(" x"), m("\tx")]),
    "colons-in-the-value": (b"data: a: b\n\ndata::\n\n", [m("a: b"), m(":")]),
    "name-is-case-sensitive": (b"Data: 1\nDATA: 1\n data: 1\ndata : 1\n\ndata: x\n\n", [m()]),
    "comments": (b": a\ndata: x\n:\n:data: y\n\n", [m()]),
    "nul-in-data": (b"data: a\0b\n\n", [m("a\0b")]),
    "not-a-terminator": ("data: a\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1eb\n\n".encode(),
                         [m("a\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1eb")]),
    "fields-in-any-order": (b"data: a\nid: 7\nevent: e\ndata: b\nretry: 5\n\n", [m("a\nb", "e", "7", 5)]),
    "blank-lines-alone": (b"\n\r\n\r\n\n\r", []),
    "nothing": (b"", []),
    # SSE.md section 4.
    "1-truncated-event-before-a-lone-cr": (b"data: x\r\rdata: trunc\r", [m()]),
    "2-mixed-terminators-are-not-late": (b"data: x\n\rdata: x\r\n\rdata: x\n\r\n", [m(), m(), m()]),
    "5-bom-keeps-the-first-event-and-a-bad-byte-the-stream": (BOM + b"data: \xff\n\ndata: x\n\n", [m(REPLACED), m()]),
    "7-never-windows-1252": (b"data: ok\xe2\x80\xa6\n\n", [m("ok…")]),
    "8-done-is-data": (b"data: [DONE]\n\n", [m("[DONE]")]),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), EDGES.values(), ids=EDGES)
def test_edge(data, expected):
    assert brief(parse(data)[0]) == expected
    assert brief(oracle.parse(data).messages) == expected


def test_retry_of_a_discarded_block_counts_but_its_id_does_not():
    messages, parser = parse(b"id: 1\ndata: x\n\nid: 2\nretry: 50\ndata: y\n")
    assert brief(messages) == [m(id="1")]
    assert (parser.last_event_id, parser.reconnection_time) == ("1", 50)


def test_id_of_a_block_without_data_is_committed():
    messages, parser = parse(b"id: 5\n\n")
    assert messages == []
    assert parser.last_event_id == "5"


def test_dispatch_at_the_cr_and_one_lf_is_swallowed_later():
    parser = SSEParser()
    assert brief(parser.feed(b"data: x\r\n\r")) == [m()]
    assert parser.feed(b"\n") == []
    assert brief(parser.feed(b"data: y\n\n")) == [m("y")]


def test_parsers_share_no_decoder_state():
    """Defect 3: one incremental decoder for all parsers."""
    one, other = SSEParser(), SSEParser()
    one.feed(b"data: \xe2\x82")
    assert brief(other.feed(b"data: x\n\n")) == [m()]
    assert brief(one.feed(b"\xac\n\n")) == [m("€")]


def test_named_offset_and_unterminated():
    messages, _ = parse(BOM + b"\n: hi\ndata: a\n\nevent:\nevent: message\ndata: b\n\ndata: c", at_eof="deliver")
    assert [(x.data, x.named, x.offset, x.unterminated) for x in messages] == [
        ("a", False, 9, False),
        ("b", True, 18, False),
        ("c", False, 49, True),
    ]


# --- modes and options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"retry: 10000\n\n", [m("", retry=10000)], id="retry"),
        pytest.param(b"event: ping\n\n", [m("", "ping")], id="event"),
        pytest.param(b"id: 1\n\n", [m("", id="1")], id="id"),
        pytest.param(b"id: 1\ndata: x\n\n\n: ping\n\n", [m(id="1")], id="sticky-id-gives-no-event"),
        pytest.param(b"retry: no\n\nid: \0\n\nfoo: x\n\n", [], id="fields-without-effect"),
        pytest.param(b"event: e", [m("", "e")], id="unterminated"),
    ],
)
def test_compat_mode(data, expected):
    assert brief(parse(data, mode="compat")[0]) == expected
    assert brief(oracle.parse(data, mode="compat").messages) == expected
    if not data.endswith(b"e"):
        assert [x for x in brief(parse(data)[0]) if x[1] == ""] == []


@pytest.mark.parametrize(
    ("mode", "at_eof", "n"),
    [("spec", None, 0), ("spec", "deliver", 1), ("compat", None, 1), ("compat", "discard", 0)],
)
def test_at_eof(mode, at_eof, n):
    messages, parser = parse(b"id: 1\ndata: x", mode=mode, at_eof=at_eof)
    assert len(messages) == n
    assert parser.last_event_id == ("1" if n else "")


def test_keep_unknown():
    data = b"error: a\nfoo\n\nfoo: b\ndata: x\n\ndata: y\n\n"
    messages, _ = parse(data, keep_unknown=True)
    assert [(x.data, x.unknown) for x in messages] == [("", "error: a\nfoo"), ("x", "foo: b"), ("y", "")]
    assert [(x.data, x.unknown) for x in parse(data)[0]] == [("x", ""), ("y", "")]


@pytest.mark.parametrize(
    ("data", "offset", "snippet"),
    [
        (b"data: a\n\ndata: b\xff\n\n", 16, b"\xff"),
        (b"data: \xe2\x82\n\n", 6, b"\xe2\x82"),
        (b"x\xf0\x9f\x98z: 1\n", 1, b"\xf0\x9f\x98z: 1"),
    ],
    ids=["data", "cut-off-by-the-line-end", "field-name"],
)
def test_strict_utf8(data, offset, snippet):
    for chunks in ([data], pieces(data)):
        parser = SSEParser(utf8="strict")
        with pytest.raises(InvalidUTF8) as caught:
            feed_all(parser, chunks)
        assert (caught.value.offset, caught.value.reason, caught.value.snippet) == (offset, "utf8", snippet)


def test_strict_utf8_does_not_look_at_comments():
    assert brief(parse(b": \xff\ndata: x\n\n", utf8="strict")[0]) == [m()]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "lax"},
        {"at_eof": "keep"},
        {"utf8": "ignore"},
        {"max_event_bytes": 0},
        {"max_event_bytes": -1},
        {"max_event_bytes": 2**40 + 1},
    ],
    ids=str,
)
def test_bad_option(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SSEParser(**options)


# --- limits and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        pytest.param(b"data: 5678901\n\n", 10, id="one-line"),
        pytest.param(b"data: 5678901", 10, id="unfinished-line"),
        pytest.param(b"data: 1\ndata: 234\n", 16, id="data-so-far"),
        pytest.param(b"event: 123\ndata: 23\n", 18, id="event-so-far"),
        pytest.param(b"id: 12345\ndata: 2\n", 15, id="id-so-far"),
        pytest.param(b"data: 1\n\ndata: 5678901", 19, id="second-block"),
        pytest.param(b"foo: 678901\n", 10, id="unknown"),
        pytest.param(b"\xef\xbb\xbfdata: 5678901", 13, id="after-bom"),
    ],
)
def test_limit(data, offset):
    assert oracle.parse(data, max_event_bytes=10).error == ("LimitExceeded", offset)
    for chunks in ([data], pieces(data)):
        parser = SSEParser(max_event_bytes=10)
        with pytest.raises(LimitExceeded) as caught:
            feed_all(parser, chunks)
        error = caught.value
        assert (error.offset, error.option, error.limit) == (offset, "max_event_bytes", 10)
        assert error.reason == "event_too_large"
        assert "max_event_bytes=10" in str(error)


def test_limit_is_inclusive_and_is_freed_by_dispatch():
    assert len(parse(b"data: 7890\n\n" * 3, max_event_bytes=10)[0]) == 3


def test_limit_counts_kept_unknown_lines_only():
    data = b"foo: 1\nfoo: 2\ndata\n\n"
    assert len(parse(data, max_event_bytes=10)[0]) == 1
    with pytest.raises(LimitExceeded):
        parse(data, max_event_bytes=10, keep_unknown=True)


def test_default_limit():
    n = DEFAULT_LIMITS.max_event_bytes
    assert len(SSEParser().feed(b"data: " + b"x" * (n - 6) + b"\n\n")[0].data) == n - 6
    with pytest.raises(LimitExceeded):
        SSEParser().feed(b"data: " + b"x" * (n - 5))


def test_huge_comment_passes_a_small_limit():
    parser = SSEParser(max_event_bytes=100)
    parser.feed(b":")
    for _ in range(10 * 1024):
        assert parser.feed(b"c" * 1024) == []
    assert brief(parser.feed(b"\ndata: x\n\n")) == [m()]


def test_error_comes_after_the_messages_before_it():
    parser = SSEParser(max_event_bytes=10)
    assert brief(parser.feed(b"data: x\n\ndata: 5678901\n\ndata: y\n\n")) == [m()]
    error = parser.error
    assert isinstance(error, LimitExceeded)
    with pytest.raises(LimitExceeded) as caught:
        parser.feed(b"data: z\n\n")
    assert caught.value is error
    with pytest.raises(ParserClosed) as closed:
        parser.feed(b"data: z\n\n")
    assert closed.value.__cause__ is error
    with pytest.raises(ParserClosed):
        parser.close()
    parser.reset()
    assert parser.error is None
    assert brief(parser.feed(b"data: z\n\n")) == [m("z")]


def test_pending_error_is_raised_by_close():
    parser = SSEParser(max_event_bytes=10)
    parser.feed(b"data: x\n\ndata: 5678901")
    with pytest.raises(LimitExceeded):
        parser.close()
    with pytest.raises(ParserClosed):
        parser.close()


def test_error_found_by_close():
    parser = SSEParser(at_eof="deliver", utf8="strict")
    parser.feed(b"data: \xff")
    with pytest.raises(InvalidUTF8):
        parser.close()


def test_after_close():
    parser = SSEParser()
    parser.feed(b"id: 1\nretry: 5\ndata: x\n\ndata: y")
    assert parser.offset == 31
    assert parser.close() == []
    assert parser.close() == []
    with pytest.raises(ParserClosed, match="reset"):
        parser.feed(b"")
    parser.reset()
    assert (parser.offset, parser.last_event_id, parser.reconnection_time) == (0, "", None)
    assert brief(parser.feed(BOM + b"data: x\n\n")) == [m()]


# --- input types and misuse --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(b"-" + data)[1:]])
def test_input_type(kind):
    assert brief(SSEParser().feed(kind(b"data: x\n\n"))) == [m()]


def test_input_is_not_kept():
    data = bytearray(b"data: x")
    parser = SSEParser()
    parser.feed(data)
    data[:] = b"-" * 100  # a BufferError here would mean that a view is still held
    assert brief(parser.feed(b"\n\n")) == [m()]


@pytest.mark.parametrize(
    ("data", "error"),
    [("data: x", TypeError), (None, TypeError), ([1], TypeError), (memoryview(b"abcdef")[::2], BufferError)],
    ids=["str", "None", "list", "strided"],
)
def test_bad_input_does_not_harm_the_parser(data, error):
    parser = SSEParser()
    parser.feed(b"data: ")
    with pytest.raises(error):
        parser.feed(data)
    assert brief(parser.feed(b"x\n\n")) == [m()]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ in Python is new in 3.12")
def test_an_exporter_may_use_the_parser():
    parser = SSEParser()
    inner = []

    class Exporter:
        def __buffer__(self, flags):
            inner.extend(parser.feed(b"data: in\n\n"))
            return memoryview(b"data: out\n\n")

    assert brief(parser.feed(Exporter())) == [m("out")]
    assert brief(inner) == [m("in")]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__release_buffer__ in Python is new in 3.12")
def test_release_may_use_the_parser():
    parser = SSEParser()
    seen = []

    class Exporter:
        def __buffer__(self, flags):
            return memoryview(b"data: out\n\n")

        def __release_buffer__(self, view):
            try:
                seen.extend(parser.feed(b"data: in\n\n"))
            except ConcurrentUseError as error:
                seen.append(error)

    assert brief(parser.feed(Exporter())) == [m("out")]
    assert brief(seen) == [m("in")]


def test_pickling_is_refused():
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(SSEParser())
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(SSEParser().feed(b"data\n\n")[0])


# --- messages ----------------------------------------------------------------------------------------------------


def one(data, **options):
    (message,) = SSEParser(**options).feed(data)
    return message


def test_message_is_made_by_the_parser_only():
    with pytest.raises(TypeError, match="made by SSEParser"):
        SSEMessage()
    with pytest.raises(TypeError):
        type("Mine", (SSEMessage,), {})


def test_message_is_immutable():
    with pytest.raises(AttributeError):
        one(b"data: x\n\n").data = "y"


def test_equality_and_hash():
    a, b = one(b"data: x\n\n"), one(b"\n\ndata:x\n\n")
    assert a == b
    assert hash(a) == hash(b)
    assert a.offset != b.offset
    assert a != one(b"data: y\n\n")
    assert a != one(b"data: x\nid: 1\n\n")
    assert a != "x"


def test_repr():
    assert repr(one(b"data: x\n\n")) == "SSEMessage(event='message', data='x')"
    assert repr(one(b"event: e\ndata: x\nid: 1\nretry: 2\n\n")) == "SSEMessage(event='e', data='x', id='1', retry=2)"
    parser = SSEParser(at_eof="deliver")
    parser.feed(b"data: x")
    assert repr(parser.close()[0]) == "SSEMessage(event='message', data='x', unterminated=True)"


@pytest.mark.parametrize("name", ["data", "event", "id"])
def test_repr_shows_little_of_a_huge_payload(name):
    text = repr(one(name.encode() + b": " + b"x" * 100_000 + b"\ndata\n\n"))
    assert 79 <= text.count("x") <= 80


def test_json():
    assert one(b'data: {"a":\ndata: [1, null]}\n\n').json() == {"a": [1, None]}


def test_json_error():
    message = one(b"\ndata: [DONE] and a text that is longer than forty bytes\n\n")
    with pytest.raises(InvalidJSON) as caught:
        message.json()
    assert (caught.value.offset, caught.value.reason, caught.value.line) == (1, "json", None)
    assert caught.value.snippet == b"[DONE] and a text that is longer than forty bytes"[:40]
    assert caught.value.__cause__ is None
