"""core/_reader.pyx: values of which the latest counts, and messages that are read in full between hits."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.shaped import check_twins, frame, warm


def test_fail_and_close_give_the_latest_usage() -> None:
    frames = [frame("a", more=f',"usage":{{"total_tokens":{n}}}') for n in range(6)]
    for end in (lambda it: it.close(), lambda it: it.fail(ms.ConnectionFailed("lost"))):
        decoder = ms.decoder("openai-chat")
        for one in frames:
            decoder.feed(one)
        assert decoder.stats.hits == 4
        assert end(decoder)[-1].usage.total_tokens == 5


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("last", "total"),
    [
        (b'data: {"choices":[],"usage":{"total_tokens":9}}\n\n', 9),  # newer than that of the hits
        (b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n', 5),  # none of its own
        (b"data: [DONE]\n\n", 5),
        (b'data: {"choices":5}\n\n', 5),  # raises
        (b'data: {"choices":5,"usage":{"total_tokens":9}}\n\n', 9),  # raises after it was read
        (b'data: {"choices":[],"usage":[1]}\n\n', 5),
        (b"data: {\n\n", 5),
    ],
)
def test_the_usage_of_hits_gives_way_to_a_newer_one_only(last: bytes, total: int, together: bool) -> None:
    frames = [*(frame("a", more=f',"usage":{{"total_tokens":{n}}}') for n in range(6)), last]
    found = []
    for options in ({}, {"shapes": False}):
        decoder = ms.decoder("openai-chat", **options)
        for one in [b"".join(frames)] if together else frames:
            decoder.feed(one)
        assert decoder.stats.hits == (0 if options else 4)
        found.append(decoder.close() or decoder._usage)
        assert decoder._usage.total_tokens == total
    assert found[0] == found[1]


@pytest.mark.parametrize("shapes", [True, False])
@pytest.mark.parametrize("text", ["é", "漢字 😀", "\u2028"])
def test_what_is_not_ascii_is_read_from_the_bytes_as_from_the_text(text: str, shapes: bool) -> None:
    body = frame(text)
    for ill in (b"", b"\xff", b"\xed\xa0\x80"):  # ill-formed: U+FFFD, as the standard says
        given = [
            it.text for it in ms.decoder("openai-chat", shapes=shapes).feed(body.replace(b'"}}', ill + b'"}}'))[1:]
        ]
        assert given == [text + ill.decode(errors="replace")]


def test_errors_after_hits_have_the_offset_and_line_that_they_have_without() -> None:
    check_twins("openai-chat", [frame("a")] * 5 + [b'data: {"choices": 5}\n\n'])
    check_twins("openai-chat", [frame("a")] * 5 + [b"data: {\n\n"])
    line = b'{"model":"m","response":"x","done":false}\n'
    check_twins("ollama-generate", [line] * 5 + [b"{nonsense\n"])
    check_twins("ollama-generate", [line] * 5 + [b"null\n"])


def test_a_decoder_used_from_inside_its_own_message_is_refused() -> None:
    decoder = warm(3)
    caught = []

    def _object(*_: object) -> None:
        for misuse in (lambda: decoder.feed(frame("x")), decoder.close, decoder.reset):
            with pytest.raises(ms.errors.ConcurrentUseError):
                misuse()
            caught.append(misuse)

    decoder._object = _object
    decoder.feed(b"data: {}\n\n")
    assert len(caught) == 3
