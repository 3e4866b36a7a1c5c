"""The loads that benchmarks measure: named shapes with a fixed seed.

A shape knows its chunks and the messages that must come out of them, as (event, data, id); the messages are known from
the making, not from a parser. Payloads vary in words, length and numbers, as those of a provider do: a load of equal
lines flatters branch prediction and string caches. Tested in tests/bench/test_fixtures.py.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

SEED = 20260101
CHUNK_BYTES = 16 * 1024

_ENGLISH = (
    "the a of to and in is that it for as with on be at by this from or an are which not but what all when there can "
    "more if out so up into than them some could time these two may then do first any my now such like our over even "
    "most after also did many before must through back years where much your way well down should because each just "
    'function return value stream parser buffer token latency protocol throughput "quoted" back\\slash C:\\new '
)
_FOREIGN = "größer café naïve 東京 日本語 한국어 Привет мир שלום مرحبا 🚀 👩‍🔬 € – “so” ½ ελληνικά ไทย"
WORDS, FOREIGN = _ENGLISH.split(), _FOREIGN.split()

Message = tuple[str, str, str]


@dataclass(frozen=True)
class Shape:
    """`chunks` fed in this order give `messages` and nothing else."""

    name: str
    chunks: list[bytes]
    messages: list[Message]

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.chunks))

    def __repr__(self) -> str:
        return f"Shape({self.name}: {self.n_bytes} bytes, {len(self.chunks)} chunks, {len(self.messages)} messages)"


def shape(name: str) -> Shape:
    """Build the shape of this name (once)."""
    return _SHAPES[name]()


def names() -> list[str]:
    return sorted(_SHAPES)


def cut(data: bytes, n: int = CHUNK_BYTES) -> list[bytes]:
    return [data[i : i + n] for i in range(0, len(data), n)]


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_SHAPES: dict[str, Callable[[], Shape]] = {}


def _shape(make: Callable[[random.Random], tuple[list[bytes], list[Message]]]) -> Callable[[], Shape]:
    name = make.__name__
    _SHAPES[name] = cache(lambda: Shape(name, *make(random.Random(f"{SEED} {name}"))))
    return _SHAPES[name]


def _text(rng: random.Random, words: list[str] = WORDS) -> str:
    return "".join(" " + rng.choice(words) for _ in range(rng.choice((1, 1, 1, 1, 2, 3))))


def _deltas(rng: random.Random, n: int, words: list[str] = WORDS) -> Iterator[str]:
    """OpenAI chat deltas; with English words about 200 bytes of data each."""
    answer = f"chatcmpl-{rng.getrandbits(64):016x}"
    for _ in range(n):
        choice = {"index": 0, "delta": {"content": _text(rng, words)}, "finish_reason": None}
        yield dumps(
            {
                "id": answer,
                "object": "chat.completion.chunk",
                "created": 1767225600,
                "model": "gpt-5-mini",
                "choices": [choice],
                "obfuscation": f"{rng.getrandbits(44):x}"[: rng.randrange(4, 12)],
            }
        )


def _openai(deltas: list[str], eol: str = "\n") -> tuple[bytes, list[Message]]:
    deltas.append("[DONE]")
    wire = "".join(f"data: {data}{eol}{eol}" for data in deltas)
    return wire.encode(), [("message", data, "") for data in deltas]


@_shape
def steady(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """Deltas of about 200 bytes that arrive in 16 KiB chunks: a fast model behind a buffering proxy."""
    wire, messages = _openai(list(_deltas(rng, 5000)))
    return cut(wire), messages


@_shape
def tiny_chunk(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """One event in each chunk, the usual case of a direct connection."""
    wire, messages = _openai(list(_deltas(rng, 5000)))
    return [event + b"\n\n" for event in wire.split(b"\n\n")[:-1]], messages


@_shape
def huge_line_drip(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """An inline image: one line of 1 MiB that arrives in 256-byte chunks."""
    image = rng.randbytes(1 << 19).hex()
    data = dumps({"type": "image_generation.partial_image", "b64_json": image})
    return cut(f"data: {data}\n\n".encode(), 256), [("message", data, "")]


@_shape
def idle(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """A model that thinks: heartbeats as comments, and a delta now and then, each in its own chunk."""
    chunks, messages = [], []
    for data in _deltas(rng, 200):
        for _ in range(rng.randrange(10, 30)):
            chunks.append(rng.choice((b": ping\n\n", b": OPENROUTER PROCESSING\n\n", b":\n\n", b":keep-alive\n")))
        chunks.append(f"data: {data}\n\n".encode())
        messages.append(("message", data, ""))
    return chunks, messages


@_shape
def crlf(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """CRLF line ends (ASP.NET, sse-starlette); some of the 1000-byte cuts fall between CR and LF."""
    wire, messages = _openai(list(_deltas(rng, 5000)), "\r\n")
    return cut(wire, 1000), messages


@_shape
def multibyte(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """Text in many scripts, unescaped; most 997-byte cuts fall into a line and some into a character."""
    wire, messages = _openai(list(_deltas(rng, 5000, FOREIGN)))
    return cut(wire, 997), messages


@_shape
def anthropic(rng: random.Random) -> tuple[list[bytes], list[Message]]:
    """`event:` and `data:` in each block, several blocks to a chunk."""
    blocks: list[dict[str, object]] = [
        {"type": "message_start", "message": {"id": "msg_01X", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    for _ in range(5000):
        delta = {"type": "text_delta", "text": _text(rng)}
        blocks.append({"type": "content_block_delta", "index": 0, "delta": delta})
    blocks.append({"type": "content_block_stop", "index": 0})
    blocks.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5000}})
    blocks.append({"type": "message_stop"})
    messages = [(str(block["type"]), dumps(block), "") for block in blocks]
    wire = "".join(f"event: {event}\ndata: {data}\n\n" for event, data, _ in messages).encode()
    sizes = [rng.randrange(100, 1500) for _ in range(len(wire) // 100)]
    ends = [0, *accumulate(sizes)]
    return [wire[a:b] for a, b in pairwise(ends) if a < len(wire)], messages
