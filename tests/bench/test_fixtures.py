"""The loads of the benchmarks are what they say, by a parser too simple to be wrong in the same way as ours."""

import statistics

import pytest
from bench.fixtures import Message, Shape

from bench import fixtures


def parse(data: bytes) -> list[Message]:
    messages, event, lines, last_id = [], "", [], ""
    for line in data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if lines:
                messages.append((event or "message", "\n".join(lines), last_id))
            event, lines = "", []
        elif name == "data":
            lines.append(value)
        elif name == "event":
            event = value
        elif name == "id":
            last_id = value
        else:
            assert name == "", f"no shape has a field {name!r}"
    return messages


@pytest.fixture(params=fixtures.names())
def shape(request: pytest.FixtureRequest) -> Shape:
    return fixtures.shape(request.param)


def test_names() -> None:
    assert fixtures.names() == sorted(
        ["steady", "tiny_chunk", "huge_line_drip", "idle", "crlf", "multibyte", "anthropic"]
    )


def test_gives_the_messages_it_claims(shape: Shape) -> None:
    assert parse(b"".join(shape.chunks)) == shape.messages


def test_is_deterministic(shape: Shape) -> None:
    assert shape is fixtures.shape(shape.name)
    fixtures._SHAPES[shape.name].cache_clear()
    again = fixtures.shape(shape.name)
    assert again is not shape
    assert again == shape


def test_has_no_empty_chunks(shape: Shape) -> None:
    assert all(shape.chunks)


def test_varies(shape: Shape) -> None:
    assert len({data for _, data, _ in shape.messages}) > 0.3 * len(shape.messages)  # short words do come again


def test_steady_has_deltas_of_200_bytes_in_16_kib_chunks() -> None:
    shape = fixtures.shape("steady")
    assert 180 <= statistics.median(len(data.encode()) for _, data, _ in shape.messages) <= 220
    assert {len(chunk) for chunk in shape.chunks[:-1]} == {16 * 1024}


def test_tiny_chunk_has_one_event_per_chunk() -> None:
    shape = fixtures.shape("tiny_chunk")
    assert [parse(chunk) for chunk in shape.chunks] == [[message] for message in shape.messages]


def test_huge_line_drip_is_one_line() -> None:
    shape = fixtures.shape("huge_line_drip")
    assert b"".join(shape.chunks).count(b"\n") == 2
    assert len(shape.chunks) > 4000


def test_idle_is_mostly_comments() -> None:
    chunks = fixtures.shape("idle").chunks
    assert sum(chunk.startswith(b":") for chunk in chunks) > 0.9 * len(chunks)


def test_crlf_is_cut_between_cr_and_lf() -> None:
    chunks = fixtures.shape("crlf").chunks
    assert any(chunk.endswith(b"\r") for chunk in chunks)
    assert b"".join(chunks).count(b"\n") == b"".join(chunks).count(b"\r\n")


def test_multibyte_is_cut_inside_characters() -> None:
    def is_whole(chunk: bytes) -> bool:
        try:
            chunk.decode()
        except UnicodeDecodeError:
            return False
        return True

    assert not all(map(is_whole, fixtures.shape("multibyte").chunks))
